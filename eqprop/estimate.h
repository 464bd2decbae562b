// The gradient estimates of the method: which phases a minibatch runs after
// its free phase, and how two of them become a gradient.

#ifndef EQPROP_ESTIMATE_H_
#define EQPROP_ESTIMATE_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "common/training/optimizer.h"
#include "eqprop/equilibrium.h"
#include "eqprop/network.h"
#include "eqprop/phases.h"

namespace altprop::eqprop {

//   one-sided     s* and s_beta                      bias O(beta)
//   random sign   the same, beta of either sign      O(beta^2) in the mean
//   symmetric     s_beta and s_-beta                 O(beta^2)
//   five-phase    (4 g(beta) - g(2 beta)) / 3,       O(beta^4)
//                 g the symmetric estimate
enum class Estimator { kOneSided, kRandomSign, kSymmetric, kFivePhase };

// Where the authors' program and the paper's mathematics part (README, "Two
// semantics"). kReference computes what the authors' program computes.
enum class Semantics { kReference, kCorrected };

// How two phases become a gradient.
struct Rule {
  bool same_update = false;  // vector fields: one update for W and B
  ContrastOrder order = ContrastOrder::kContrastFirst;
  Semantics semantics = Semantics::kReference;
};

// The gradient from a contrast of two phases, by the rule of the network's
// kind. `free`: s*, what is presynaptic in a vector field with different
// updates. (In a VFMLP the reference takes contrast.a's state instead, which is
// s* in the one-sided estimate but s_beta in the symmetric one.)
std::vector<at::Tensor> GradientOf(const Network& network, const Clamped& input,
                                   const State& free, const Contrast& contrast,
                                   const Rule& rule);

// The contrast in the memory layout in which its gradient is fastest. The fused
// path's float32 images have the channels of a pixel together, for which the
// convolutions and the pooling take half the time (double precision has no such
// kernels). The gradient is the same up to the order of sums.
Contrast LaidOut(Contrast contrast, Path path);

struct EstimateOptions {
  Estimator estimator = Estimator::kOneSided;
  double beta_1 = 0, beta_2 = 0;
  int64_t steps = 0;  // T2
  Dynamics dynamics;
  Path path = Path::kFused;
  Rule rule;
};

// Runs the nudged phases from s* and returns the estimate of dl/dtheta, in the
// order of Parameters(network). `sign`: of beta_2, RandomSign() for
// kRandomSign, else 1.
std::vector<at::Tensor> EstimateGradient(const Network& network,
                                         const Clamped& input,
                                         const State& free,
                                         const at::Tensor& target, double sign,
                                         const EstimateOptions& options);

// Continual equilibrium propagation (Ernoult et al. 2020, arXiv:2005.04169):
// the weights change at every step of the nudged phase. From s*, T2 steps at
// beta_2, each followed by an update from the contrast with the state before;
// for kSymmetric then T2 steps back at beta 0 and T2 updates at -beta_2.
//
// The update after step k is divided by (1 - lr wd)^(T2 - 1 - k), which undoes
// the decay that the remaining steps add to it. In the reference semantics the
// positive half is divided by beta and the negative half by 2 beta (1.5 times
// the gradient in all), and a softmax readout gets its full gradient at every
// step; corrected, both halves are divided by 2 beta and the readout's gradient
// by T2.
//
// `x`: the network's input; it is clamped anew after each update. A symmetric
// model. `network` holds the parameters that `optimizer` updates.
void ContinualUpdates(const Network& network, const at::Tensor& x,
                      const State& free, const at::Tensor& target, double sign,
                      const EstimateOptions& options,
                      training::Optimizer& optimizer);

// The same with learning rates scaled by 6e-5, after which the weights'
// displacement over that rate is the gradient of one ordinary update from where
// they were: continual updates in the limit of small ones, for comparison with
// EstimateGradient().
void ContinualUpdatesAsOne(const Network& network, const at::Tensor& x,
                           const State& free, const at::Tensor& target,
                           double sign, const EstimateOptions& options,
                           training::Optimizer& optimizer);

// The weight decay by which T2 updates at rate `learning_rate` shrink a weight
// by 1 - 0.1 * weight_decay in all: [1 - (1 - 0.1 wd)^(1/T2)] / lr.
double ContinualWeightDecay(double weight_decay, double learning_rate,
                            int64_t steps);

}  // namespace altprop::eqprop

#endif  // EQPROP_ESTIMATE_H_
