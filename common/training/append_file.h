#ifndef COMMON_TRAINING_APPEND_FILE_H_
#define COMMON_TRAINING_APPEND_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::training {

// A log: bytes are added at the end, and each addition is in the file (for
// other processes to read) when Append returns. Not fsynced: logs can be drawn
// again.
class AppendFile {
 public:
  // Opens or creates `path`; the error names it.
  static absl::StatusOr<AppendFile> Open(const std::string& path);

  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  // Writes all of `bytes`. Where that fails (a full disk) the file is cut back
  // to its length before the call, so that no torn line stays, and the error
  // names the file: "runs/a/metrics.jsonl: cannot write: No space left on
  // device".
  absl::Status Append(absl::string_view bytes);

  const std::string& path() const { return path_; }

 private:
  AppendFile(std::string path, int descriptor)
      : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_APPEND_FILE_H_
