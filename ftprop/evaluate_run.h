// --test-model, and //ftprop:evaluate.

#ifndef FTPROP_EVALUATE_RUN_H_
#define FTPROP_EVALUATE_RUN_H_

#include "absl/status/status.h"
#include "common/training/position.h"
#include "common/training/start.h"
#include "ftprop/flags.h"
#include "ftprop/network.h"

namespace altprop::ftprop {

// Prints loss, top 1 and top 5 of the test set, and of the validation set where
// `validation`. Weights from `start`, or from --init_from.
absl::Status EvaluateRun(const Options& options, const training::Start& start,
                         bool validation);

// "test accuracy 0.5812 (5812 of 10000), top 5 0.951, loss 1.1572".
std::string ScoreText(absl::string_view split, const training::Score& score);

// The weights as a .safetensors file.
absl::Status ExportNetwork(const std::string& path, const Options& options,
                           const Network& network);

}  // namespace altprop::ftprop

#endif  // FTPROP_EVALUATE_RUN_H_
