// A training run on MNIST or CIFAR-10.

#ifndef ITERBIN_TRAIN_H_
#define ITERBIN_TRAIN_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/cli/program.h"
#include "common/training/start.h"
#include "iterbin/flags.h"
#include "iterbin/state.h"

namespace altprop::iterbin {

struct Outcome {
  std::string run_dir;
  Best best;                // of the evaluated split
  int64_t first_layer = 0;  // 0-based: the first to become binary
};

// Trains from `start` to the end. A signal ends it early, with a checkpoint:
// InterruptedError. `name`: of the default run directory; none: dataset-model.
absl::StatusOr<Outcome> TrainRun(const Options& options,
                                 const training::Start& start,
                                 const std::string& name = "");

}  // namespace altprop::iterbin

#endif  // ITERBIN_TRAIN_H_
