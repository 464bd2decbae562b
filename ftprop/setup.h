// What a training run consists of between two minibatches, and how it travels
// through a checkpoint.

#ifndef FTPROP_SETUP_H_
#define FTPROP_SETUP_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/training/optimizer.h"
#include "common/training/position.h"
#include "common/training/start.h"
#include "common/training/value.h"
#include "ftprop/flags.h"
#include "ftprop/network.h"
#include "ftprop/statistics.h"

namespace altprop::ftprop {

// The checkpoint that --resume names, or else --test-model, or nothing.
// --test-model may be weights alone (--export), a .safetensors file.
absl::StatusOr<training::Start> FindStart();

// All flags: those given, else those of the checkpoint, else the defaults.
// `training`: as OptionsFromFlags().
absl::StatusOr<Options> OptionsWithStart(const cli::ParsedArguments& arguments,
                                         const training::Start& start,
                                         bool training);

// The network as initialised, or from --init_from, or from the checkpoint;
// `classes` of the data where the options leave them open. Its parameters
// require gradients.
//
// Files of the authors' program are read, too: weights under "model_state",
// names with the "module." of data parallelism, no "num_batches_tracked".
absl::StatusOr<Network> BuildNetwork(const Options& options,
                                     const training::Start& start,
                                     int64_t classes);

// One group of all parameters.
training::Optimizer MakeOptimizer(const Options& options,
                                  const Network& network);

// The learning rate of a 0-based epoch.
double LearningRate(const Options& options, int64_t epoch);

// Whether batch norm can train on minibatches of `samples` samples: usage error
// where a last one that the run comes to (--max_steps) has a single sample and
// a layer one value per channel.
absl::Status CheckLastBatch(const Options& options, int64_t samples);

// Everything a run needs to go on with the next minibatch as if it had never
// stopped. The random draws are functions of the seed and the position, so
// these are the whole state of the generators.
training::Value ToCheckpoint(const Options& options, const Network& network,
                             const training::Optimizer& optimizer,
                             const training::Position& position,
                             const StatisticsProbe* probe);

// Weights, by name, into a network: what LoadModel and --test-final-model use.
absl::Status LoadWeights(const training::Value& root, const std::string& file,
                         const Network& network);

}  // namespace altprop::ftprop

#endif  // FTPROP_SETUP_H_
