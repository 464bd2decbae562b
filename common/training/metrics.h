#ifndef COMMON_TRAINING_METRICS_H_
#define COMMON_TRAINING_METRICS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::training {

// One measurement: a line of metrics.jsonl, a point in each curve.
struct MetricsLine {
  std::string split;  // "train", "test"
  int64_t epoch =
      0;  // epochs begun, 1-based: 1 during and at the end of the first
  int64_t step =
      0;  // optimizer steps done since training began, over all resumes
  // "loss", "accuracy" (a fraction), and the method's own quantities under the
  // paper's names; a value that is not finite is written as null.
  std::vector<std::pair<std::string, double>> values;
  // Seconds of training since the run began, without the pauses between a stop
  // and a resume. RunDirectory::Log fills it in.
  double wall_time = 0;
};

// {"split":"test","epoch":1,"step":240,"wall_time":3.125,"loss":0.034,...},
// without a newline; numbers so that reading them gives the same double.
std::string MetricsJson(const MetricsLine& line);

// The reverse: null becomes NaN. An error for anything else than such an
// object.
absl::StatusOr<MetricsLine> ParseMetricsJson(absl::string_view text);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_METRICS_H_
