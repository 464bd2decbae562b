#include "common/data/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"

namespace altprop::data {
namespace {

constexpr size_t kPackedChunk = size_t{1} << 18;
constexpr uint64_t kMostDeflatePacks = 1032;
constexpr int kGzipWindowBits = 15 + 16;  // the largest window; a gzip header

absl::Status CannotRead(const std::string& path) {
  return absl::NotFoundError(
      absl::StrCat(path, ": cannot be read: ", std::strerror(errno)));
}

// A file descriptor that closes itself.
class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  File(File&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&&) = delete;
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }

  // As read(2), again after a signal.
  ssize_t Read(void* to, size_t size) const {
    ssize_t got = 0;
    do {
      got = read(descriptor_, to, size);
    } while (got < 0 && errno == EINTR);
    return got;
  }

  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

class PlainSource : public ByteSource {
 public:
  PlainSource(std::string path, File file, uint64_t size)
      : ByteSource(std::move(path), /*packed=*/false),
        file_(std::move(file)),
        size_(size) {}

  std::optional<uint64_t> size() const override { return size_; }

 protected:
  uint64_t RemainingAtMost() const override {
    return size_ - std::min(size_, offset());
  }

  absl::StatusOr<size_t> ReadSome(void* to, size_t size) override {
    const ssize_t got = file_.Read(to, size);
    if (got < 0) return CannotRead(path());
    return static_cast<size_t>(got);
  }

 private:
  File file_;
  uint64_t size_;
};

class GzipSource : public ByteSource {
 public:
  GzipSource(std::string path, File file, uint64_t size)
      : ByteSource(std::move(path), /*packed=*/true),
        file_(std::move(file)),
        size_(size) {}
  ~GzipSource() override {
    if (started_) inflateEnd(&stream_);
  }

  std::optional<uint64_t> size() const override { return std::nullopt; }

 protected:
  uint64_t RemainingAtMost() const override {
    return (size_ - std::min(size_, PackedOffset())) * kMostDeflatePacks +
           kGzipWindow;
  }

  absl::StatusOr<size_t> ReadSome(void* to, size_t size) override {
    stream_.next_out = static_cast<Bytef*>(to);
    stream_.avail_out = static_cast<uInt>(
        std::min<size_t>(size, std::numeric_limits<uInt>::max()));
    const uInt wanted = stream_.avail_out;
    while (stream_.avail_out == wanted) {
      if (!in_member_) {
        ALTPROP_ASSIGN_OR_RETURN(const bool more, StartMember());
        if (!more) return 0;
      }
      ALTPROP_RETURN_IF_ERROR(Inflate());
    }
    return size_t{wanted} - stream_.avail_out;
  }

 private:
  static constexpr uint64_t kGzipWindow = uint64_t{1} << 15;

  uint64_t PackedOffset() const { return fed_ - stream_.avail_in; }

  absl::Status Damaged(absl::string_view why) const {
    return absl::DataLossError(
        absl::StrFormat("%s: damaged gzip data (%s), at byte %d of the file",
                        path(), why, PackedOffset()));
  }

  // Refills an empty input buffer; false at the end of the file.
  absl::StatusOr<bool> Feed() {
    if (stream_.avail_in > 0) return true;
    const ssize_t got = file_.Read(packed_.data(), packed_.size());
    if (got < 0) return CannotRead(path());
    fed_ += static_cast<uint64_t>(got);
    stream_.next_in = packed_.data();
    stream_.avail_in = static_cast<uInt>(got);
    return got > 0;
  }

  // False where the file ends instead of another member.
  absl::StatusOr<bool> StartMember() {
    ALTPROP_ASSIGN_OR_RETURN(const bool more, Feed());
    if (!more) return false;
    if (started_ && *stream_.next_in != 0x1F) {
      return absl::DataLossError(
          absl::StrFormat("%s: the gzip data end but the file goes on, at byte "
                          "%d of the file",
                          path(), PackedOffset()));
    }
    const int code = started_ ? inflateReset(&stream_)
                              : inflateInit2(&stream_, kGzipWindowBits);
    if (code != Z_OK) {
      return absl::InternalError(absl::StrCat(path(), ": zlib: ", code));
    }
    started_ = in_member_ = true;
    return true;
  }

  absl::Status Inflate() {
    ALTPROP_ASSIGN_OR_RETURN(const bool more, Feed());
    if (!more) return Damaged("it ends early");
    const int code = inflate(&stream_, Z_NO_FLUSH);
    if (code == Z_STREAM_END) in_member_ = false;
    if (code == Z_OK || code == Z_STREAM_END) return absl::OkStatus();
    return Damaged(stream_.msg != nullptr ? stream_.msg : zError(code));
  }

  File file_;
  uint64_t size_;
  uint64_t fed_ = 0;  // bytes handed to zlib, used or not
  bool started_ = false;
  bool in_member_ = false;
  z_stream stream_{};
  std::vector<Bytef> packed_ = std::vector<Bytef>(kPackedChunk);
};

bool NamedAsGzip(absl::string_view path) {
  return absl::EndsWithIgnoreCase(path, ".gz") ||
         absl::EndsWithIgnoreCase(path, ".tgz");
}

}  // namespace

ByteSource::ByteSource(std::string path, bool packed)
    : path_(std::move(path)), packed_(packed) {}

absl::StatusOr<std::unique_ptr<ByteSource>> ByteSource::Open(
    const std::string& path) {
  File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.descriptor() < 0) return CannotRead(path);
  struct stat info {};
  if (fstat(file.descriptor(), &info) != 0) return CannotRead(path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  std::array<uint8_t, 2> magic{};
  const ssize_t got =
      pread(file.descriptor(), magic.data(), magic.size(), /*offset=*/0);
  if (got < 0) return CannotRead(path);
  if (got == 2 && magic[0] == 0x1F && magic[1] == 0x8B) {
    return std::make_unique<GzipSource>(path, std::move(file), size);
  }
  if (NamedAsGzip(path)) {
    return absl::DataLossError(absl::StrFormat(
        "%s: not gzip data: it starts with %02x %02x, expected 1f 8b, at byte 0"
        "%s",
        path, magic[0], magic[1], got < 2 ? " (the file ends there)" : ""));
  }
  return std::make_unique<PlainSource>(path, std::move(file), size);
}

absl::Status ByteSource::Error(absl::string_view message, uint64_t at) const {
  return absl::DataLossError(
      absl::StrCat(path_, ": ", message, ", at byte ", at,
                   packed_ ? " of the unpacked data" : ""));
}

absl::Status ByteSource::Read(void* to, size_t size, absl::string_view what) {
  auto* out = static_cast<char*>(to);
  size_t done = 0;
  if (peeked_.has_value() && size > 0) {
    out[done++] = *std::exchange(peeked_, std::nullopt);
    ++offset_;
  }
  while (done < size) {
    ALTPROP_ASSIGN_OR_RETURN(const size_t got,
                             ReadSome(out + done, size - done));
    if (got == 0) {
      return Error(absl::StrCat("ends early: ", size - done, " of ", size,
                                " bytes missing of ", what),
                   offset_);
    }
    done += got;
    offset_ += got;
  }
  return absl::OkStatus();
}

absl::Status ByteSource::Skip(uint64_t size, absl::string_view what) {
  std::array<char, 4096> unused;  // NOLINT: filled before it is looked at
  while (size > 0) {
    const size_t part = std::min<uint64_t>(size, unused.size());
    ALTPROP_RETURN_IF_ERROR(Read(unused.data(), part, what));
    size -= part;
  }
  return absl::OkStatus();
}

absl::Status ByteSource::CheckHolds(uint64_t size, absl::string_view what,
                                    uint64_t at) const {
  const uint64_t most = RemainingAtMost();
  if (size <= most) return absl::OkStatus();
  return Error(
      absl::StrCat("ends early: ", what, " need ", offset_ + size,
                   " bytes, the file ", packed_ ? "holds at most " : "has ",
                   offset_ + most),
      packed_ ? at : offset_ + most);
}

absl::StatusOr<bool> ByteSource::AtEnd() {
  if (peeked_.has_value()) return false;
  char next = 0;
  ALTPROP_ASSIGN_OR_RETURN(const size_t got, ReadSome(&next, 1));
  if (got > 0) peeked_ = next;
  return got == 0;
}

absl::Status ByteSource::ExpectEnd(absl::string_view what) {
  ALTPROP_ASSIGN_OR_RETURN(const bool at_end, AtEnd());
  if (at_end) return absl::OkStatus();
  return Error(absl::StrCat(what, " end here but the file goes on"), offset_);
}

}  // namespace altprop::data
