#ifndef COMMON_TRAINING_EVENT_FILE_H_
#define COMMON_TRAINING_EVENT_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/training/append_file.h"
#include "common/training/histogram.h"

namespace altprop::training {

// TensorBoard's event files, written without TensorFlow: TFRecords (length,
// masked CRC-32C, bytes, masked CRC-32C) of `Event` protocol buffers with
// scalar
// (`simple_value`) and histogram (`histo`) summaries.
class EventFile {
 public:
  // Makes DIRECTORY/events.out.tfevents.<seconds>.<host>.<pid>.<number>.
  static absl::StatusOr<std::unique_ptr<EventFile>> Create(
      const std::string& directory);

  // `wall_time`: seconds since 1970. Each record reaches the file at once,
  // whole or, when the disk is full, not at all (an error that names the file).
  absl::Status AddScalar(absl::string_view tag, int64_t step, double wall_time,
                         double value);
  absl::Status AddHistogram(absl::string_view tag, int64_t step,
                            double wall_time, const Histogram& histogram);

  const std::string& path() const { return file_.path(); }

 private:
  explicit EventFile(AppendFile file) : file_(std::move(file)) {}

  AppendFile file_;
};

// Drops from every event file in `directory` the events of steps after
// `last_step`, and a torn record at the end, which a killed process leaves.
absl::Status KeepEventsUpTo(const std::string& directory, int64_t last_step);

// The bytes behind the above; exposed for tests.
uint32_t MaskedCrc32c(absl::string_view bytes);
std::string TfRecord(absl::string_view bytes);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_EVENT_FILE_H_
