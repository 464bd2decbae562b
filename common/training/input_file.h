// A file to read at random positions, and why it could not be read.
#ifndef COMMON_TRAINING_INPUT_FILE_H_
#define COMMON_TRAINING_INPUT_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace altprop::training {

// A regular file, its size taken when it is opened. A file that is replaced by
// rename meanwhile (AtomicFile) stays readable as it was.
class InputFile {
 public:
  // NotFound: no such file; InvalidArgument: a directory, a device, empty. The
  // line begins with `path`.
  static absl::StatusOr<InputFile> Open(const std::string& path);

  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }

  // Fills `out` with the `length` bytes from `offset` on. Beyond the end is
  // DataLoss, before anything is read. These errors leave `path` to the caller.
  absl::Status Read(uint64_t offset, uint64_t length, void* out) const;
  // The same, into a new string; memory is taken only for bytes that exist.
  absl::StatusOr<std::string> Read(uint64_t offset, uint64_t length) const;

 private:
  InputFile(std::string path, int descriptor, uint64_t size);

  std::string path_;
  int descriptor_;
  uint64_t size_;
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_INPUT_FILE_H_
