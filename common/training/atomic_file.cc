#include "common/training/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"

namespace altprop::training {
namespace {

constexpr size_t kBufferBytes = 1 << 16;

absl::Status SystemError(const std::string& path, absl::string_view doing,
                         int error) {
  return absl::UnavailableError(
      absl::StrCat(path, ": ", std::strerror(error), " (while ", doing, ")"));
}

// Where a symbolic link leads; a link to nothing stays the link.
std::string Resolve(const std::string& path) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  return error ? path : real.string();
}

std::string Folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

bool IsSameFile(int descriptor, const std::string& path) {
  struct stat opened;
  struct stat named;
  return fstat(descriptor, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

// Opens `temporary` for us alone and empties it. The lock goes with the
// process, so what a killed one left is taken over. Another writer may rename
// the file between our opening and locking it: then it is no longer the one of
// that name, and we start again.
absl::StatusOr<int> OpenAlone(const std::string& path,
                              const std::string& temporary) {
  while (true) {
    const int descriptor = open(
        temporary.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0) return SystemError(path, "creating it", errno);
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      close(descriptor);
      return absl::UnavailableError(
          absl::StrCat(path, ": another process is writing it"));
    }
    if (IsSameFile(descriptor, temporary)) {
      if (ftruncate(descriptor, 0) == 0) return descriptor;
      const int error = errno;
      close(descriptor);
      return SystemError(path, "creating it", error);
    }
    close(descriptor);
  }
}

absl::Status SyncFolder(const std::string& path) {
  const int folder = open(Folder(path).c_str(), O_RDONLY | O_DIRECTORY);
  if (folder < 0) return SystemError(path, "opening its folder", errno);
  // Some network file systems cannot flush a folder and say EINVAL.
  const int error = fsync(folder) == 0 || errno == EINVAL ? 0 : errno;
  close(folder);
  return error == 0 ? absl::OkStatus()
                    : SystemError(path, "flushing its folder", error);
}

}  // namespace

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  const std::string target = Resolve(path);
  struct stat info;
  if (stat(target.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, S_ISDIR(info.st_mode) ? ": is a directory, expected a file"
                                    : ": is not a regular file"));
  }
  const std::string temporary = target + ".tmp";
  ALTPROP_ASSIGN_OR_RETURN(const int descriptor, OpenAlone(path, temporary));
  return AtomicFile(target, temporary, descriptor);
}

AtomicFile::AtomicFile(std::string path, std::string temporary, int descriptor)
    : path_(std::move(path)),
      temporary_(std::move(temporary)),
      descriptor_(descriptor) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      buffer_(std::move(other.buffer_)),
      written_(other.written_),
      status_(std::move(other.status_)) {}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  // Removed before the lock goes with the descriptor.
  unlink(temporary_.c_str());
  close(descriptor_);
}

absl::Status AtomicFile::Fail(absl::string_view doing, int error) {
  status_ = SystemError(path_, doing, error);
  return status_;
}

absl::Status AtomicFile::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = write(descriptor_, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      return Fail(absl::StrFormat("writing, after %d bytes", written_), errno);
    }
    bytes.remove_prefix(static_cast<size_t>(done));
    written_ += done;
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Append(absl::string_view bytes) {
  if (!status_.ok()) return status_;
  if (buffer_.size() + bytes.size() < kBufferBytes) {
    buffer_.append(bytes);
    return absl::OkStatus();
  }
  ALTPROP_RETURN_IF_ERROR(Write(buffer_));
  buffer_.clear();
  return Write(bytes);
}

absl::Status AtomicFile::Commit() {
  if (!status_.ok()) return status_;
  ALTPROP_RETURN_IF_ERROR(Write(buffer_));
  if (fsync(descriptor_) != 0) return Fail("flushing it to disk", errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    return Fail("renaming it into place", errno);
  }
  close(std::exchange(descriptor_, -1));
  return SyncFolder(path_);
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view contents) {
  ALTPROP_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  file.Append(contents).IgnoreError();  // Commit returns it
  return file.Commit();
}

}  // namespace altprop::training
