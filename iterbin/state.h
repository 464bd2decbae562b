// What a training run consists of between two minibatches, and how it travels
// through a checkpoint.

#ifndef ITERBIN_STATE_H_
#define ITERBIN_STATE_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/training/optimizer.h"
#include "common/training/position.h"
#include "common/training/start.h"
#include "iterbin/binarize.h"
#include "iterbin/flags.h"
#include "iterbin/network.h"
#include "iterbin/schedule.h"

namespace altprop::iterbin {

// The best evaluations of a split so far; epochs are 1-based, 0: none yet.
struct Best {
  double accuracy = 0;
  int64_t accuracy_epoch = 0;
  double loss = std::numeric_limits<double>::infinity();
  int64_t loss_epoch = 0;
};

struct State {
  Network network;
  training::Optimizer optimizer;
  training::Position at;
  double base_rate = 0;  // before any milestone
  double momentum = 0;   // SGD's
  LayerOrder order;      // as it is used, so reversed where asked; float: empty
  Flags binary;          // of this epoch
  LastForward last;      // kReference, between the epoch's last update and its
                         // evaluation
  std::vector<at::Tensor> signs;  // of the masters when the epoch began
  Best evaluated, trained;        // of the evaluated split, of the training one
};

// The rate of a 1-based epoch.
double LearningRate(const Options& options, const State& state, int64_t epoch);

// The flags of the epoch that follows `finished` ones.
Flags FlagsOfEpoch(const Options& options, const State& state,
                   int64_t finished);

// Adam or SGD over all parameters of a network; `momentum`: SGD's.
training::Optimizer MakeOptimizer(const Options& options,
                                  const Network& network, double momentum);

// Seeded weights, then those of --init_from or --load_last, or all of the
// checkpoint. Errors name the file.
absl::StatusOr<State> MakeState(const Options& options,
                                const training::Start& start);

// The checkpoint's flags, but for those given; then all of them. Refuses
// another model, order or semantics than the checkpoint's.
absl::StatusOr<Options> OptionsWithStart(const cli::ParsedArguments& arguments,
                                         const training::Start& start);

training::Value ToCheckpoint(const Options& options, const State& state);

// Which layers were binary in the last epoch of a checkpoint's run, also of an
// ImageNet one.
absl::StatusOr<Flags> BinaryLayersOf(const training::Value& checkpoint,
                                     size_t layers);

// The files of --save_progress and --save_last, with the authors' keys. `loss`:
// the metric that led to it.
training::Value ToAuthorsCheckpoint(const Options& options, const State& state,
                                    int64_t epoch, double loss);

}  // namespace altprop::iterbin

#endif  // ITERBIN_STATE_H_
