// What a classification run tells while it trains: its directory, its progress
// line, its report.
#ifndef COMMON_TRAINING_RECORD_H_
#define COMMON_TRAINING_RECORD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/training/metrics.h"
#include "common/training/options.h"
#include "common/training/position.h"
#include "common/training/progress.h"
#include "common/training/report.h"
#include "common/training/run_directory.h"

namespace altprop::training {

struct RecordOptions {
  // The folder; resumed_step is taken from the position. With an empty path,
  // run.run_dir decides, and then RunDirectory's default.
  RunDirectory::Options directory;
  std::string title;  // of the report: "Equilibrium propagation: MLP on mnist"
  std::string subtitle;  // the paper
  int64_t epochs = 0;
  int64_t batches = 0;  // minibatches of an epoch
  // Also logs and shows accuracy5, the label among the five largest outputs.
  bool top5 = false;
};

using MetricValues = std::vector<std::pair<std::string, double>>;

class Record {
 public:
  // Makes the run directory, or goes on in it.
  static absl::StatusOr<std::unique_ptr<Record>> Create(RecordOptions options,
                                                        const RunOptions& run,
                                                        const Position& at);

  const std::string& path() const { return directory_->path(); }
  std::string File(absl::string_view name) const {
    return directory_->File(name);
  }
  // For histograms, charts and metrics of the method's own.
  RunDirectory& directory() { return *directory_; }

  // After an update: `at` counts it, `minibatch` was measured before it. Every
  // --log_every steps a line of metrics, with `more` at its end.
  absl::Status Minibatch(const Position& at, const Score& minibatch,
                         const MetricValues& more = {});

  // After the last minibatch of an epoch and its evaluations; `at` still stands
  // in that epoch. A line of metrics for the training, with `more` at its end,
  // and one for each evaluation, by its split ("val", "test").
  absl::Status Epoch(
      const Position& at, const MetricValues& more,
      const std::vector<std::pair<std::string, Score>>& evaluations);

  // Draws the report page. `text`: how the run stands, for people.
  absl::Status Report(RunState state, absl::string_view text);

  // "epoch 3 of 10": the report of a run that goes on after an epoch.
  absl::Status ReportEpoch(const Position& at);

 private:
  Record(RecordOptions options, const RunOptions& run, int64_t first_step)
      : options_(std::move(options)), run_(run), progress_(first_step) {}

  MetricsLine Line(absl::string_view split, const Position& at,
                   const Score& score) const;
  std::string Text(const Score& score) const;

  RecordOptions options_;
  RunOptions run_;
  int64_t trained_ = 0;  // samples, by this process
  Progress progress_;
  std::unique_ptr<RunDirectory> directory_;
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_RECORD_H_
