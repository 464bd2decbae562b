// Dropout in a CNN, as in the authors' branch of that name: a list of keep
// probabilities q_0 q_1 ... q_S, q_0 the input's. A minibatch draws one mask
// per layer, m_l ~ Bernoulli(q_l) / q_l for every unit of every sample, for all
// of its phases; the drive of layer l is multiplied by q_l before sigma, in
// training and in evaluation.

#ifndef EQPROP_DROPOUT_H_
#define EQPROP_DROPOUT_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "eqprop/equilibrium.h"
#include "eqprop/estimate.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

// The factors of the drives of s_1 ... s_S from the list. The reference takes
// the top layer's from the entry before the last, but for a linear output (the
// cross-entropy without a readout); corrected, it is the last.
std::vector<double> DropoutFactors(const std::vector<double>& keep,
                                   bool linear_output, Semantics semantics);

// The masked input and the network's dropout for one minibatch: draws are a
// function of `seed` and of the minibatch's number `step` alone. Clamp() takes
// both. `x`: [B, C, H, W].
struct DroppedInput {
  at::Tensor x;
  Dropout dropout;
};
DroppedInput DrawDropout(const Network& network, const at::Tensor& x,
                         const std::vector<double>& keep,
                         std::vector<double> factors, uint64_t seed,
                         int64_t step);

}  // namespace altprop::eqprop

#endif  // EQPROP_DROPOUT_H_
