// The program behind //eqprop:evaluate and --todo evaluate.

#ifndef EQPROP_EVALUATE_RUN_H_
#define EQPROP_EVALUATE_RUN_H_

#include "absl/status/status.h"
#include "eqprop/flags.h"
#include "eqprop/setup.h"

namespace altprop::eqprop {

// Prints the accuracy of the loaded network on the whole train and test set
// after T1 free steps. --export writes the network, --save appends to the
// folder's hyperparameters.txt.
absl::Status EvaluateRun(const Options& options, const Start& start);

// --export: the weights for sharing, `path` ending in .safetensors.
absl::Status ExportNetwork(const std::string& path, const Options& options,
                           const Network& network);

}  // namespace altprop::eqprop

#endif  // EQPROP_EVALUATE_RUN_H_
