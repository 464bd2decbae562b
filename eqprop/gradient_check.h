// The gradient check: equilibrium propagation computes, step by step and
// forwards in time, what backpropagation through time computes backwards
// (Ernoult et al. 2019, "Updates of Equilibrium Prop Match Gradients of
// Backprop Through Time in an RNN with Static Input", arXiv:1905.13633).
//
// With the free phase at its fixed point s(T1) = s*, beta -> 0 and symmetric
// weights, for every t < T2,
//
//   -(1/beta) mean[dPhi/dtheta(s(t+1)) - dPhi/dtheta(s(t))]
//        = the contribution of free step T1 - t to dL/dtheta,
//   (s(t+1) - s(t)) / beta = sigma'(u*) (-B dL/ds(T1 - t)),
//
// s(t): the nudged phase from s(0) = s*; L: the loss after T1 steps, averaged
// over the batch of B samples.

#ifndef EQPROP_GRADIENT_CHECK_H_
#define EQPROP_GRADIENT_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/strings/string_view.h"
#include "eqprop/equilibrium.h"
#include "eqprop/estimate.h"
#include "eqprop/network.h"
#include "eqprop/phases.h"

namespace altprop::eqprop {

struct GradientCheckOptions {
  int64_t t1 = 0, t2 = 0;         // 1 <= T2 <= T1
  double beta_1 = 0, beta_2 = 0;  // beta_1 != beta_2
  Dynamics dynamics;
  Rule rule;
  // Of the first T1 - T2 steps. The others are plain: the check divides
  // differences of states by beta, so both halves have to round alike.
  Path path = Path::kFused;
};

// Both sides of one of the equations, for t = 0 ... T2 - 1: [T2, *parameter],
// or [T2, B, *state].
struct GradientCheckRow {
  // A name of Parameters(network), or "neurons_0", the first layer after the
  // input, ...
  std::string key;
  at::Tensor bptt;
  at::Tensor ep;
  // Of neurons: bptt times sigma'(u*). The authors' program compares ep with
  // bptt, without that factor; those rows do not agree. Else undefined.
  at::Tensor corrected;

  // What ep tends to as beta does to 0.
  const at::Tensor& expected() const {
    return corrected.defined() ? corrected : bptt;
  }
};

// The parameters in the order of Parameters(network), then the layers.
struct GradientCheck {
  std::vector<GradientCheckRow> rows;
};

// Runs T1 steps from zero at beta_1 and backpropagates through the last T2 of
// them; then T2 steps at beta_2. The update of each of these is the contrast of
// the two states around it, with beta_2 in both, over beta_1 - beta_2.
//
// A softmax readout does not agree by construction: backpropagation has its
// whole gradient at t = 0, the contrasts have only its change. A vector field
// agrees as far as its Jacobian is symmetric. No parameter is changed.
GradientCheck CheckGradient(const Network& network, const Clamped& input,
                            const at::Tensor& target,
                            const GradientCheckOptions& options);

// How far two rows agree.
struct Agreement {
  // sqrt(mean_t (ep - bptt)^2) / max(sqrt(mean_t ep^2), sqrt(mean_t bptt^2)),
  // averaged over the elements; between 0 and 2.
  double rmse = 0;
  // The fraction of all entries in which the signs are opposite.
  double sign_error = 0;
  // Between the sums over t; NaN where one of them is zero.
  double cosine = 0;
};
Agreement Compare(const at::Tensor& ep, const at::Tensor& bptt);

// "synapses_0_weight\t RMSE = 0.0255\t SIGN err = 0.0", the line of the
// authors' program.
std::string AgreementLine(absl::string_view key, const Agreement& agreement);

// The sums of the first j entries of `terms`, [T2, ...], for j = 0 ... T2 - 1.
// So the last one lacks an entry, as in the authors' program; corrected, j goes
// to T2.
at::Tensor Integrated(const at::Tensor& terms, Semantics semantics);

// The last of Integrated(): the estimate of the gradient. [...]
at::Tensor IntegratedEstimate(const at::Tensor& terms, Semantics semantics);

// Whether `key` is that of a weight, W_l or B_l.
bool IsWeight(absl::string_view key);

// How much closer to `bptt` the mean of two one-sided estimates is than they
// are themselves: the mean over elements of
//   2 |(ep + ep_minus)/2 - bptt| / (|ep - bptt| + |ep_minus - bptt|),
// 1 where that is 0/0. 1: no closer; 0: exact.
double BarHeight(const at::Tensor& ep, const at::Tensor& ep_minus,
                 const at::Tensor& bptt);

}  // namespace altprop::eqprop

#endif  // EQPROP_GRADIENT_CHECK_H_
