// What the programs share: the options with what a checkpoint knows, the
// network, its optimizers and rates, scoring, and what a run leaves behind.
#ifndef SEDONA_SETUP_H_
#define SEDONA_SETUP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ATen/core/Generator.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/training/optimizer.h"
#include "common/training/position.h"
#include "common/training/record.h"
#include "common/training/start.h"
#include "common/training/stop.h"
#include "sedona/flags.h"
#include "sedona/input.h"
#include "sedona/memory.h"
#include "sedona/network.h"

namespace altprop::sedona {

using training::Position;
using training::Score;
using training::Start;

// Reads --resume's checkpoint, sets the flags that it holds and the command
// line does not, and reads all flags.
struct Setup {
  Start start;
  Options options;
};
absl::StatusOr<Setup> ReadSetup(Task task,
                                const cli::ParsedArguments& arguments);

// Initial weights or the start's, in the run's type, on its device, recording
// gradients.
absl::StatusOr<Network> PrepareNetwork(Network network, const Options& options,
                                       const Start& start);

// A group for each list of parameters, at the rate of iteration 0.
training::Optimizer MakeOptimizer(
    const Options& options, const std::vector<training::NamedTensors>& groups);

// One optimizer for a whole supernet, a group per unit.
training::Optimizer MakeSupernetOptimizer(const Options& options,
                                          const Network& network);

// eta(t); `t` counts from 0.
double LearningRate(const Options& options, int64_t t);
void SetLearningRate(double rate, training::Optimizer& optimizer);

// The dropout masks of iteration `step` (and inner step `part`).
at::Generator DropoutGenerator(const Options& options, int64_t step,
                               int64_t part = 0);

// The type of products in training and scoring, where it is not the
// parameters'.
std::optional<at::ScalarType> AutocastType(const Options& options);

// The smoothed loss of the head, and its (or the last `ensemble` blocks')
// errors, over the first `batches` batches of a feed (0: all), in evaluation
// mode. Cancelled by a signal.
absl::StatusOr<Score> ScoreFeed(const Options& options, const Network& network,
                                Feed& feed, const training::StopSignal& stop,
                                int64_t ensemble = 1, int64_t batches = 0);

// `<mem-dir>/<network>/<key>`, and what its snapshots must have been made with.
std::string MemoryFolder(const Options& options);
MemorySettings SettingsOf(const Options& options);

// The run directory, its progress line and its report.
absl::StatusOr<std::unique_ptr<training::Record>> MakeRecord(
    const Options& options, const Start& start, const Position& at,
    const std::string& title, const std::string& name, int64_t iterations,
    int64_t batches);

// A checkpoint's entries that all programs have.
training::Dict CheckpointEntries(const Options& options, const Network& network,
                                 const Position& position);

// --export.
absl::Status ExportNetwork(const Options& options, const Network& network);

}  // namespace altprop::sedona

#endif  // SEDONA_SETUP_H_
