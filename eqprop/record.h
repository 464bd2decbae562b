// What a run tells while it trains: its directory, its progress line, its
// report.

#ifndef EQPROP_RECORD_H_
#define EQPROP_RECORD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/training/progress.h"
#include "common/training/run_directory.h"
#include "eqprop/equilibrium.h"
#include "eqprop/setup.h"

namespace altprop::eqprop {

class Record {
 public:
  // Makes the run directory, or goes on in it when `start` has a checkpoint.
  // `batches`: minibatches of an epoch. Keeps a reference to `options`.
  static absl::StatusOr<std::unique_ptr<Record>> Create(const Options& options,
                                                        const Start& start,
                                                        const Position& at,
                                                        int64_t batches);

  const std::string& path() const { return directory_->path(); }
  std::string File(absl::string_view name) const {
    return directory_->File(name);
  }

  // After an update: `at` counts it, `minibatch` was measured before it.
  absl::Status Minibatch(const Position& at, const Score& minibatch);

  // The distribution of each layer's activity at s*.
  absl::Status Activity(const Position& at, const State& free);

  // How the free phase converged, for the report page: `residuals`[t] is the
  // largest change of any unit in step t + 1.
  void Convergence(const Position& at, const std::vector<double>& residuals);

  // After the last minibatch of an epoch and the test; `at` still stands in
  // that epoch.
  // `angles`: between forward and backward weights, in degrees.
  absl::Status Epoch(const Position& at, const Score& test,
                     double learning_rate, const std::vector<double>& angles);

  // Draws the report page. `text`: how the run stands, for people.
  absl::Status Report(training::RunState state, absl::string_view text);

 private:
  Record(const Options& options, int64_t first_step, int64_t batches)
      : options_(options), batches_(batches), progress_(first_step) {}

  const Options& options_;
  int64_t batches_;
  int64_t trained_ = 0;  // samples, by this process
  training::Progress progress_;
  std::unique_ptr<training::RunDirectory> directory_;
};

}  // namespace altprop::eqprop

#endif  // EQPROP_RECORD_H_
