// Equilibrium propagation, after A. Laborieux, M. Ernoult, B. Scellier,
// Y. Bengio, J. Grollier, D. Querlioz, "Scaling Equilibrium Propagation to Deep
// ConvNets by Drastically Reducing Its Gradient Estimator Bias", Frontiers in
// Neuroscience 15:633674, 2021. Plain functions on tensors, in the order of the
// method.
//
//   paper            here
//   x = s_0          Clamped::x, [B, n_0], held fixed
//   s_1 ... s_S      State, layer l is state[l - 1], [B, n_l]
//   W_l, b_l         Network::edges[l - 1]
//   y, one-hot       target, [B, n_S]
//   Phi              Phi, the primitive function, [B]
//   sigma            Network::activation
//   loss, l(s, y)    Loss, LossPerSample, [B]
//   beta             Nudge::beta, [B, 1]: a sample's own nudging strength
//   s*, s_beta       what Relax returns: free without, nudged with a Nudge
//
// Nothing here records an autograd graph: every derivative is a closed form.
// Tensors are float32 or float64, on the network's device, of its dtype.
// Shapes that do not fit are our mistakes, and end in a c10::Error.

#ifndef EQPROP_EQUILIBRIUM_H_
#define EQPROP_EQUILIBRIUM_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

using State = std::vector<at::Tensor>;

// kMse: 1/2 sum_k (s_k - y_k)^2.  kCel: -log softmax(s)_y.
enum class Loss { kMse, kCel };

absl::string_view LossName(Loss loss);
absl::StatusOr<Loss> ParseLoss(absl::string_view name);

// How the network moves. With the cross-entropy the output layer is linear,
// s_S = u_S; everywhere else s = sigma(u).
struct Dynamics {
  Loss loss = Loss::kMse;
  bool linear_output = false;
};

Dynamics TrainingDynamics(Loss loss);

// `squash_output` reproduces the authors' evaluation, which squashes the output
// layer by sigma even where training leaves it linear; without it evaluation
// moves as training does.
Dynamics EvaluationDynamics(Loss loss, bool squash_output);

// The clamped input and what it alone decides: the bottom-up drive of layer 1,
// W_1 x + b_1, which no time step changes.
struct Clamped {
  at::Tensor x;      // [B, n_0]
  at::Tensor drive;  // [B, n_1]
};

// `x`: [B, ...], flattened to [B, n_0].
Clamped Clamp(const Network& network, const at::Tensor& x);

// The pull towards the target. Default: none, the free phase.
struct Nudge {
  at::Tensor beta;    // [B, 1]
  at::Tensor target;  // [B, n_S]
};

// One-hot rows of `classes` for `labels` [B], int64 in [0, classes), of the
// dtype and device of `like`.
at::Tensor OneHot(const at::Tensor& labels, int64_t classes,
                  const at::Tensor& like);

// The same beta for every sample. beta = 0 gives the free phase's Nudge.
Nudge NudgeTowards(const at::Tensor& target, double beta);

// l(s, y), [B]; `output`, `target`: [B, n_S].
at::Tensor LossPerSample(Loss loss, const at::Tensor& output,
                         const at::Tensor& target);

// -dl/ds_S, [B, n_S]: y - s for kMse, y - softmax(s) for kCel.
at::Tensor NudgeForce(Loss loss, const at::Tensor& output,
                      const at::Tensor& target);

// Phi_beta(x, s, theta, y) = sum_l <s_l, W_l s_{l-1} + b_l> - beta l(s_S, y),
// per sample, [B].
at::Tensor Phi(const Network& network, const Clamped& input, const State& state,
               const Nudge& nudge, Loss loss);

// E = sum rho(s) - Phi, [B]: stationary at the fixed points of Step.
at::Tensor Energy(const Network& network, const Clamped& input,
                  const State& state, const Nudge& nudge, Loss loss);

// u_l = dPhi_beta/ds_l = W_l s_{l-1} + b_l + W_{l+1}^T s_{l+1}, and for the
// output layer W_S s_{S-1} + b_S + beta (-dl/ds_S).
State Drive(const Network& network, const Clamped& input, const State& state,
            const Nudge& nudge, Loss loss);

// s_l(t+1) = sigma(u_l(t)), all layers at once.
State Step(const Network& network, const Clamped& input, const State& state,
           const Nudge& nudge, const Dynamics& dynamics);

// Zeros: where every free phase starts.
State ZeroState(const Network& network, const Clamped& input);

// `steps` times Step. The plain form; phases.h has the fast one.
State Relax(const Network& network, const Clamped& input, State state,
            int64_t steps, const Nudge& nudge, const Dynamics& dynamics);

// The class of the largest output, [B], int64.
at::Tensor Prediction(const State& state);

// (1/B) sum over the batch of dPhi/dtheta = s_l (x) s_{l-1} and s_l, in the
// order of Parameters(network).
std::vector<at::Tensor> PhiGradient(const Clamped& input, const State& state);

// How the contrast of two states is evaluated. kContrastFirst takes differences
// of the states, then products:
//   v^b w^b - v^a w^a = (v^b - v^a)(w^b + w^a)/2 + (v^b + v^a)/2 (w^b - w^a),
// which keeps the precision of small differences. kSumsFirst subtracts two
// batch sums, as the authors' program does.
enum class ContrastOrder { kContrastFirst, kSumsFirst };

// Every estimate of dl/dtheta is the contrast of two phases,
//
//   g = [D(s^b) - D(s^a)] / (beta_a - beta_b),   D = PhiGradient,
//
// averaged over the batch, with the sign of a gradient (an optimizer subtracts
// it), in the order of Parameters(network). beta_a must differ from beta_b.
//   one-sided:   a = (s*, beta_1),      b = (s_beta, beta_2);  bias O(beta)
//   random sign: the same with beta_2 of either sign
//   symmetric:   a = (s_beta, +beta),   b = (s_-beta, -beta);  bias O(beta^2)
std::vector<at::Tensor> ContrastGradient(
    const Clamped& input, const State& a, double beta_a, const State& b,
    double beta_b, ContrastOrder order = ContrastOrder::kContrastFirst);

}  // namespace altprop::eqprop

#endif  // EQPROP_EQUILIBRIUM_H_
