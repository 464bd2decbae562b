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
#include "common/training/position.h"
#include "common/training/start.h"
#include "common/training/value.h"
#include "eqprop/evaluation.h"
#include "eqprop/flags.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

using training::Position;
using training::Start;

// The checkpoint that the flags name (--resume or --load_path), or nothing.
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

// Refuses to write over a good checkpoint with parameters that are not finite.
absl::Status SaveFinite(const std::string& path, const Options& options,
                        const Network& network,
                        const training::Optimizer& optimizer,
                        const Position& position);

}  // namespace altprop::eqprop

#endif  // EQPROP_SETUP_H_
