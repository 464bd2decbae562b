// The gradient check as a program and during training: how well the updates of
// equilibrium propagation agree, step by step, with backpropagation through
// time.

#ifndef EQPROP_GRADIENT_CHECK_RUN_H_
#define EQPROP_GRADIENT_CHECK_RUN_H_

#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "eqprop/flags.h"
#include "eqprop/network.h"
#include "eqprop/setup.h"

namespace altprop::eqprop {

// The table of the check on the first 5 samples of a minibatch, a line per
// parameter and layer. `x`: the training input; `target`: one-hot.
std::string TheoremTable(const Options& options, const Network& network,
                         const at::Tensor& x, const at::Tensor& target);

// --todo=gducheck: the check on the first minibatch of the training data, 20
// samples at most, of the network as initialised or loaded. Prints the table
// and writes the run directory with the tensors and the report page.
absl::Status GradientCheckRun(const Options& options, const Start& start);

}  // namespace altprop::eqprop

#endif  // EQPROP_GRADIENT_CHECK_RUN_H_
