// The time loop of equilibrium.h's Relax for convolutional networks (CNN,
// VFCNN) on the CPU, in float32 and float64.
//
// Samples are independent given the weights, so a thread takes a few of them
// through all time steps: one parallel region a phase, nothing to wait for
// between steps, states and weights in the core's own cache. Per edge and step
// there is one convolution upwards, one pass that pools and lists what max
// pooling lets through, and the adjoint on those entries alone: a quarter of
// the products of a convolution downwards, fewer where units rest at zero.
// Weights are reordered once a phase. Elsewhere (other devices, other types)
// this is Relax itself.
//
// The result of a sample does not depend on the number of threads. It differs
// from Relax's by rounding; equal windows of an image give equal results to the
// last bit, so ties of the max pooling fall as they do there.

#ifndef EQPROP_RELAX_CONV_H_
#define EQPROP_RELAX_CONV_H_

#include <cstdint>

#include "eqprop/equilibrium.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

// kSynchronous: all layers at once, the method as published. kAlternating: in
// each step layers 1, 3, ... move, and then layers 2, 4, ... from their new
// states. A layer's drive depends on its neighbours alone, so the fixed points
// are the same, reached in fewer steps; where max pooling leaves
// several, it may be another one of them.
enum class Updates { kSynchronous, kAlternating };

// What leaves the published dynamics. The defaults are those dynamics.
struct RelaxOptions {
  // Stop before the last step once no unit of a group of samples moved by this
  // much in a step; asked every 10 steps. 0: never. Of use in a free phase; in
  // a nudged one the number of steps is a part of the estimator.
  double tolerance = 0;
  // Where Relax takes over, all layers move at once.
  Updates updates = Updates::kSynchronous;
};

// As Relax in equilibrium.h.
State RelaxConvolutional(const Network& network, const Clamped& input,
                         const State& state, int64_t steps, const Nudge& nudge,
                         const Dynamics& dynamics,
                         const RelaxOptions& options = {});

}  // namespace altprop::eqprop

#endif  // EQPROP_RELAX_CONV_H_
