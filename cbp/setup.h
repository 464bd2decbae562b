// What a run consists of between two minibatches, and how it travels through a
// checkpoint.

#ifndef CBP_SETUP_H_
#define CBP_SETUP_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cbp/flags.h"
#include "cbp/images.h"
#include "cbp/learner.h"
#include "cbp/network.h"
#include "common/training/position.h"
#include "common/training/start.h"

namespace altprop::cbp {

// Of the epoch so far: of its iterations, each before its step.
struct EpochSums {
  double lagrangian = 0;  // Lsum
  double constraint = 0;  // sum of lambda cs
};

// Options with the data's classes and channels in the architecture.
Options ForImages(Options options, const Images& images);

// The network as initialised, in full precision.
Network MakeNetwork(const Options& options);

LearnerOptions LearnerOptionsOf(const Options& options);

// A run goes on with the --quant it began with. Usage error.
absl::Status CheckQuant(const training::Start& start);

// Fills network and learner from --init_from, or from the checkpoint.
absl::Status LoadStart(const Options& options, const training::Start& start,
                       Network& network, Learner& learner);

absl::StatusOr<EpochSums> ReadSums(const training::Start& start);

// Everything a run needs to go on with the next minibatch as if it had never
// stopped. The random draws are functions of the seed and the position.
training::Value ToCheckpoint(const Options& options, const Network& network,
                             const Learner& learner,
                             const training::Position& at,
                             const EpochSums& sums);

// The rate in full precision for a 0-based epoch of `epochs`: a tenth in their
// last quarter (the last one of two or three).
double PlainRate(double initial, int64_t epoch, int64_t epochs);

}  // namespace altprop::cbp

#endif  // CBP_SETUP_H_
