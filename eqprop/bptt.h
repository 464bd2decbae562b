// Backpropagation through the last T2 steps of the free phase: the gradient
// that equilibrium propagation is measured against, as a closed form (no
// autograd). With the drive u(t), pre-activations z(t) and states s(t) of a
// step, and delta = dL/ds after it,
//
//   e_l      = sigma'(u_l) delta_l                 (linear output: delta_S)
//   gW_l    += wgrad(s_{l-1}, U_l(e_l)) + wgrad(e_{l-1}, U_l(s_l))
//   gb_l    += sum of e_l over space
//   delta_l <- G_l(A_l(e_{l-1})) + A_{l+1}^T U_{l+1}(e_{l+1}).
//
// A vector field takes B_l for W_l in the terms that come from the way down.

#ifndef EQPROP_BPTT_H_
#define EQPROP_BPTT_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "ATen/core/Tensor.h"
#include "eqprop/equilibrium.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

// What one step adds, as backpropagation reaches it.
struct BackwardStep {
  int64_t t;  // 0: the last step, 1: the one before it, ...
  // Its contribution to dL/dtheta, L = mean of l over the batch; the readout's
  // whole gradient belongs to t = 0.
  std::vector<at::Tensor> gradient;
  // dL/ds of the state after the step, and sigma'(u) where that state came
  // from.
  State delta, slope;
};

// Runs `steps` steps from `start` under `nudge` (the gradient check may have a
// beta_1 that is not 0; training has none), measures the loss at their end and
// goes back through all of them. Returns the last state.
State BackpropagateSteps(const Network& network, const Clamped& input,
                         const State& start, int64_t steps, const Nudge& nudge,
                         const at::Tensor& target, const Dynamics& dynamics,
                         const std::function<void(BackwardStep)>& visit);

// The sum over the steps: the truncated gradient of the batch-mean loss, in the
// order of Parameters(network).
struct BpttResult {
  State state;  // at the end
  std::vector<at::Tensor> gradient;
};
BpttResult BpttGradient(const Network& network, const Clamped& input,
                        const State& start, int64_t steps,
                        const at::Tensor& target, const Dynamics& dynamics);

}  // namespace altprop::eqprop

#endif  // EQPROP_BPTT_H_
