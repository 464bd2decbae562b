// What a run tells while it trains, beyond every classification run's: the
// authors' folder names, the activities, the convergence of the free phase, the
// angles.

#ifndef EQPROP_RECORD_H_
#define EQPROP_RECORD_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/training/position.h"
#include "common/training/record.h"
#include "common/training/start.h"
#include "eqprop/equilibrium.h"
#include "eqprop/flags.h"

namespace altprop::eqprop {

// Makes the run directory, or goes on in it when `start` has a checkpoint.
// `batches`: minibatches of an epoch.
absl::StatusOr<std::unique_ptr<training::Record>> MakeRecord(
    const Options& options, const training::Start& start,
    const training::Position& at, int64_t batches);

// The distribution of each layer's activity at s*.
absl::Status LogActivity(training::Record& record, const training::Position& at,
                         const State& free);

// How the free phase converged, for the report page: `residuals`[t] is the
// largest change of any unit in step t + 1.
void SetConvergence(training::Record& record, const training::Position& at,
                    const std::vector<double>& residuals);

// An epoch's metrics: "learning_rate" and, for vector fields, "angle_0", ...:
// between forward and backward weights, in degrees.
training::MetricValues EpochValues(double learning_rate,
                                   const std::vector<double>& angles);

}  // namespace altprop::eqprop

#endif  // EQPROP_RECORD_H_
