#include "common/training/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace altprop::training {
namespace {

absl::Status SystemError(int error) {
  return error == ENOENT || error == ENOTDIR
             ? absl::NotFoundError(std::strerror(error))
             : absl::FailedPreconditionError(std::strerror(error));
}

}  // namespace

absl::StatusOr<InputFile> InputFile::Open(const std::string& path) {
  // Non-blocking, so that opening a named pipe returns; files do not mind.
  const int descriptor =
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return Annotate(SystemError(errno), path);
  InputFile file(path, descriptor, 0);
  struct stat info;
  if (fstat(descriptor, &info) != 0) {
    return Annotate(SystemError(errno), path);
  }
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is a directory, expected a file"));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is not a regular file"));
  }
  if (info.st_size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is empty"));
  }
  file.size_ = static_cast<uint64_t>(info.st_size);
  return file;
}

InputFile::InputFile(std::string path, int descriptor, uint64_t size)
    : path_(std::move(path)), descriptor_(descriptor), size_(size) {}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status InputFile::Read(uint64_t offset, uint64_t length,
                             void* out) const {
  if (offset > size_ || length > size_ - offset) {
    return absl::DataLossError(absl::StrCat("is truncated: ", length,
                                            " bytes expected at byte ", offset,
                                            " of ", size_));
  }
  char* to = static_cast<char*>(out);
  while (length > 0) {
    const ssize_t got =
        pread(descriptor_, to, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(errno);
    if (got == 0) {
      return absl::DataLossError("became shorter while it was read");
    }
    to += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> InputFile::Read(uint64_t offset,
                                            uint64_t length) const {
  std::string bytes;
  if (offset <= size_ && length <= size_ - offset) bytes.resize(length);
  ALTPROP_RETURN_IF_ERROR(Read(offset, length, bytes.data()));
  return bytes;
}

}  // namespace altprop::training
