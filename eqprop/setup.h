// What a training run consists of between two minibatches, and how it travels
// through a checkpoint.

#ifndef EQPROP_SETUP_H_
#define EQPROP_SETUP_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/data/dataset.h"
#include "common/training/optimizer.h"
#include "common/training/value.h"
#include "eqprop/evaluation.h"
#include "eqprop/flags.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

// Where training stands.
struct Position {
  int64_t epoch = 0;  // epochs finished
  int64_t batch = 0;  // minibatches done of the next one
  int64_t step = 0;   // updates since training began
  Score running;      // this epoch so far, each minibatch before its update
  int64_t best_correct = -1;  // of the test set, over all epochs
  int64_t best_epoch = 0;     // 1-based; 0: none yet
};

// The checkpoint that `options` starts from (--resume or --load_path), or
// nothing (a None value, an empty path).
struct Start {
  std::string file;
  training::Value checkpoint;
};
absl::StatusOr<Start> FindStart();

// Parses what the checkpoint knows and the command line does not say: sets the
// flags from it and from the defaults of --task=glyphs, then reads all flags.
absl::StatusOr<Options> OptionsWithStart(const cli::ParsedArguments& arguments,
                                         const Start& start);

// The data, with labels and shapes that fit the network, on the run's device.
absl::StatusOr<data::Dataset> LoadData(const Options& options);

// The network as initialised, or from --init_from, or from the checkpoint.
absl::StatusOr<Network> BuildNetwork(const Options& options,
                                     const Start& start);

// SGD or Adam with a group per edge, at the rates of epoch 0.
training::Optimizer MakeOptimizer(const Options& options,
                                  const Network& network);

// Gives every group its rate for a 0-based epoch.
void SetLearningRates(const Options& options, int64_t epoch,
                      training::Optimizer& optimizer);

// Everything a run needs to go on with the next minibatch as if it had never
// stopped. The random draws are functions of the seed and the position, so
// these are the whole state of the generators.
training::Value ToCheckpoint(const Options& options, const Network& network,
                             const training::Optimizer& optimizer,
                             const Position& position);

// The reverse, but for the network (BuildNetwork): fills `optimizer` and
// returns the position. Without a checkpoint: the beginning. Errors name the
// file.
absl::StatusOr<Position> RestoreTraining(const Start& start,
                                         training::Optimizer& optimizer);

// Whether the position fits epochs of `batches` minibatches of --mbs samples.
absl::Status CheckPosition(const Start& start, const Position& at,
                           int64_t batch_size, int64_t batches);

// Refuses to write over a good checkpoint with parameters that are not finite.
absl::Status SaveFinite(const std::string& path, const Options& options,
                        const Network& network,
                        const training::Optimizer& optimizer,
                        const Position& position);

}  // namespace altprop::eqprop

#endif  // EQPROP_SETUP_H_
