// One step of a perceptron without an autograd graph.

#ifndef ITERBIN_PERCEPTRON_H_
#define ITERBIN_PERCEPTRON_H_

#include "ATen/core/Tensor.h"
#include "iterbin/network.h"

namespace altprop::iterbin {

// Whether all layers are linear, each with its batch norm.
bool IsPerceptron(const Network& network);

// What LossGradients gives, written out: the same products and reductions, in
// the type of `x`, without a graph and what it keeps. CHECKs IsPerceptron.
Gradients PerceptronGradients(const Network& network, const Flags& binary,
                              const at::Tensor& x, const at::Tensor& labels);

}  // namespace altprop::iterbin

#endif  // ITERBIN_PERCEPTRON_H_
