// Files that are replaced as a whole or not at all.
#ifndef COMMON_TRAINING_ATOMIC_FILE_H_
#define COMMON_TRAINING_ATOMIC_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::training {

// Writes to a temporary file beside `path`, and on Commit flushes it to disk,
// renames it over `path` and flushes the folder. Until Commit has returned OK a
// reader of `path` sees the old file, whole; after a crash or power cut too.
// When anything fails (disk full, quota, permissions), or without Commit, the
// temporary file is removed; only a kill leaves it, as `path`.tmp, which the
// next writer of `path` takes over. A second writer at the same time is refused
// (Unavailable: `...: another process is writing it`).
//
// A `path` that is a symbolic link stays one: the file it points to is
// replaced. Errors are one line: `runs/a/checkpoint.pt: No space left on device
// (while writing, after 1048576 bytes)`.
class AtomicFile {
 public:
  // The folder must exist.
  static absl::StatusOr<AtomicFile> Create(const std::string& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Adds to the end. After the first failure further calls do nothing and
  // Commit returns that failure, so a caller may look at Commit's result only.
  absl::Status Append(absl::string_view bytes);

  absl::Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary, int descriptor);
  absl::Status Fail(absl::string_view doing, int error);
  absl::Status Write(absl::string_view bytes);

  std::string path_;
  std::string temporary_;
  int descriptor_;      // -1 once closed
  std::string buffer_;  // bytes not yet handed to the system
  int64_t written_ = 0;
  absl::Status status_;
};

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view contents);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_ATOMIC_FILE_H_
