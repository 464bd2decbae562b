#ifndef COMMON_TRAINING_RUN_DIRECTORY_H_
#define COMMON_TRAINING_RUN_DIRECTORY_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/training/append_file.h"
#include "common/training/event_file.h"
#include "common/training/metrics.h"
#include "common/training/report.h"

namespace altprop::training {

// The folder of one run: flags.txt, environment.json, metrics.jsonl,
// TensorBoard event files, report.html; the training program adds its
// checkpoints.
class RunDirectory {
 public:
  struct Options {
    std::string path;    // --run_dir; "" means runs/<method>/<name>/<time>
    std::string method;  // "eqprop"
    std::string name;    // the experiment, or dataset-arch: "mnist-784-512-10"
    // Every flag and its value (cli::FlagValues); flags.txt.
    std::vector<std::pair<std::string, std::string>> flags;
    // For --resume: the checkpoint file, and the step it was written at. With
    // an empty `path` the run goes on in the checkpoint's own folder.
    std::string resumed_from;
    int64_t resumed_step = 0;
    // What the method writes beside the usual files, to be moved with an
    // earlier run: names, or endings after a star ("*.tar").
    std::vector<std::string> files = {};
  };

  // Makes the folder and its first files. Paths are relative to where the user
  // stands (cli::ResolvePath). A run that is already there and is not being
  // resumed is moved to <path>/earlier-<time>/, never written over. A resumed
  // run keeps the metrics and events up to `resumed_step` and drops later ones,
  // those that the steps about to be repeated had written; in a new folder it
  // starts with a copy of those metrics. Errors name the folder or file.
  static absl::StatusOr<std::unique_ptr<RunDirectory>> Create(
      const Options& options);

  const std::string& path() const { return path_; }
  std::string File(absl::string_view name) const;  // path()/name

  // Adds `line` to metrics.jsonl, with the wall time, and to the event file,
  // each value under the tag metric/split. In the file when this returns.
  // A process can be killed between such a line and the checkpoint after it: in
  // a resumed run a line of the step it resumed at that is there already, value
  // by value, is not added again.
  absl::Status Log(MetricsLine line);

  // To the event file; the last one of each tag is drawn in the report.
  absl::Status LogHistogram(absl::string_view tag, int64_t step,
                            const at::Tensor& values);

  // A chart of the method's own for the report; one of the same title is
  // replaced.
  void SetChart(Chart chart);

  // Draws report.html again from all that was logged, resumed lines included,
  // in one atomic replacement.
  absl::Status WriteReport(const ReportHeader& header) const;

  // Every line so far, oldest first.
  const std::vector<MetricsLine>& lines() const { return lines_; }

 private:
  RunDirectory(std::string path, AppendFile metrics,
               std::unique_ptr<EventFile> events,
               std::vector<MetricsLine> lines);

  double SecondsOfTraining() const;
  bool IsRepeated(const MetricsLine& line) const;

  std::string path_;
  AppendFile metrics_;
  std::unique_ptr<EventFile> events_;
  std::vector<MetricsLine> lines_;
  std::vector<std::pair<std::string, Histogram>> histograms_;
  std::vector<FactTable> facts_;
  std::vector<Chart> charts_;
  size_t resumed_lines_ = 0;   // how many of lines_ came from before a resume
  double seconds_before_ = 0;  // of training, before a resume
  std::chrono::steady_clock::time_point start_;
};

// flags.txt: a line --name=value per flag. What belongs to one execution and
// not to the result (--run_dir, --resume, --check_flags) stands in comments, so
// the file makes the same run again, from its start and in a folder of its own.
std::string RunFlagsText(
    const std::vector<std::pair<std::string, std::string>>& flags);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_RUN_DIRECTORY_H_
