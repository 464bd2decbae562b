// A file read from front to back, unpacked on the way where it is gzip.
//
// Offsets count what is delivered: the file's own bytes, or the unpacked ones.
// Every error is one line with the path and the byte. Gzip checksums and
// lengths are verified; concatenated members are read through.
#ifndef COMMON_DATA_BYTE_SOURCE_H_
#define COMMON_DATA_BYTE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::data {

class ByteSource {
 public:
  // Gzip is recognised by its first two bytes; a path that ends in .gz or .tgz
  // must be gzip. Errors: missing, unreadable, a folder.
  static absl::StatusOr<std::unique_ptr<ByteSource>> Open(
      const std::string& path);
  virtual ~ByteSource() = default;

  // Fills `size` bytes at `to`. Error when the data ends before, naming `what`
  // was being read ("60000 images of 28x28 pixels").
  absl::Status Read(void* to, size_t size, absl::string_view what);

  // Reads over `size` bytes.
  absl::Status Skip(uint64_t size, absl::string_view what);

  // Error unless `size` more bytes can come, before anything is allocated for
  // `what`, which byte `at` asked for. Gzip is believed up to 1032 times what
  // is left of the file, the most that deflate packs.
  absl::Status CheckHolds(uint64_t size, absl::string_view what,
                          uint64_t at) const;

  // Whether everything was read.
  absl::StatusOr<bool> AtEnd();

  // Error unless everything was read; `what` names what should have been last.
  absl::Status ExpectEnd(absl::string_view what);

  // `PATH: message, at byte N`, with "of the unpacked data" for gzip.
  absl::Status Error(absl::string_view message, uint64_t at) const;

  // A plain file's size; for gzip only reading tells.
  virtual std::optional<uint64_t> size() const = 0;
  uint64_t offset() const { return offset_; }
  const std::string& path() const { return path_; }

 protected:
  ByteSource(std::string path, bool packed);

  // No more bytes than this can come.
  virtual uint64_t RemainingAtMost() const = 0;

  // Up to `size` bytes at `to`; 0 means the end.
  virtual absl::StatusOr<size_t> ReadSome(void* to, size_t size) = 0;

 private:
  std::string path_;
  bool packed_;
  uint64_t offset_ = 0;
  std::optional<char> peeked_;  // by AtEnd(): the byte at offset_
};

}  // namespace altprop::data

#endif  // COMMON_DATA_BYTE_SOURCE_H_
