#include "common/data/svhn.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/data/byte_source.h"
#include "common/data/download.h"
#include "common/data/resample.h"
#include "common/status.h"

namespace altprop::data {
namespace {

constexpr int64_t kSide = 32, kChannels = 3, kClasses = 10;
constexpr int64_t kPixels = kSide * kSide;

// Checksums as torchvision publishes them.
const std::vector<RemoteFile>& Files() {
  static const auto* const files = new std::vector<RemoteFile>{
      {"train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"},
      {"extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7"},
      {"test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"}};
  return *files;
}

// ---- MATLAB files, version 5 ----

// The types of data elements that occur.
enum ElementType : uint32_t {
  kInt8 = 1,
  kUint8 = 2,
  kInt16 = 3,
  kUint16 = 4,
  kInt32 = 5,
  kUint32 = 6,
  kSingle = 7,
  kDouble = 9,
  kMatrix = 14,
  kCompressed = 15,
};
constexpr uint32_t kUint8Class = 9;
constexpr uint32_t kFirstNumericClass = 6, kLastNumericClass = 15;

struct Tag {
  uint32_t type = 0;
  uint32_t size = 0;               // bytes of data, without padding
  std::array<uint8_t, 4> small{};  // a small element's data stand in its tag
  bool is_small = false;
};

uint32_t Word(const uint8_t* bytes) {
  return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 |
         uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

// What a top-level element holds: the file's bytes, or those that its zlib
// stream unpacks to.
class Element {
 public:
  Element(ByteSource& file, const Tag& tag)
      : file_(file), left_(tag.size), packed_(tag.type == kCompressed) {
    if (packed_) ready_ = inflateInit(&stream_) == Z_OK;
  }
  ~Element() {
    if (packed_ && ready_) inflateEnd(&stream_);
  }
  Element(const Element&) = delete;
  Element& operator=(const Element&) = delete;

  absl::Status Error(absl::string_view message) const {
    return file_.Error(message, file_.offset());
  }

  absl::Status Read(void* to, size_t size, absl::string_view what) {
    if (!packed_) {
      if (size > left_) return EndsEarly(what);
      left_ -= size;
      return file_.Read(to, size, what);
    }
    if (!ready_) return Error("zlib cannot start");
    stream_.next_out = static_cast<Bytef*>(to);
    while (size > 0) {
      const auto part = static_cast<uInt>(
          std::min<size_t>(size, std::numeric_limits<uInt>::max()));
      stream_.avail_out = part;
      ALTPROP_RETURN_IF_ERROR(Inflate(what));
      size -= part;
    }
    return absl::OkStatus();
  }

  absl::Status Skip(uint64_t size, absl::string_view what) {
    std::array<uint8_t, 4096> dropped;  // NOLINT: only filled
    while (size > 0) {
      const size_t part = std::min<uint64_t>(size, dropped.size());
      ALTPROP_RETURN_IF_ERROR(Read(dropped.data(), part, what));
      size -= part;
    }
    return absl::OkStatus();
  }

  // A zlib stream to its end: its checksum counts, too. Nothing may follow.
  absl::Status Finish() {
    if (!packed_) return left_ == 0 ? absl::OkStatus() : MoreThanExpected();
    uint8_t extra = 0;
    stream_.next_out = &extra;
    stream_.avail_out = 1;
    while (!ended_) {
      ALTPROP_RETURN_IF_ERROR(Refill("the end of the packed data"));
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (stream_.avail_out == 0) return MoreThanExpected();
      ALTPROP_RETURN_IF_ERROR(Check(result));
    }
    return left_ == 0 && stream_.avail_in == 0 ? absl::OkStatus()
                                               : MoreThanExpected();
  }

 private:
  absl::Status MoreThanExpected() const {
    return Error("an element is longer than its contents");
  }
  absl::Status EndsEarly(absl::string_view what) const {
    return Error(absl::StrCat("an element ends within ", what));
  }

  absl::Status Refill(absl::string_view what) {
    if (stream_.avail_in > 0) return absl::OkStatus();
    if (left_ == 0) return EndsEarly(what);
    const size_t part = std::min<uint64_t>(left_, input_.size());
    ALTPROP_RETURN_IF_ERROR(file_.Read(input_.data(), part, what));
    left_ -= part;
    stream_.next_in = input_.data();
    stream_.avail_in = static_cast<uInt>(part);
    return absl::OkStatus();
  }

  absl::Status Check(int result) {
    if (result == Z_STREAM_END) ended_ = true;
    if (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR) {
      return absl::OkStatus();
    }
    return Error(absl::StrCat("packed data are damaged (",
                              stream_.msg != nullptr ? stream_.msg : "zlib",
                              ")"));
  }

  // Fills avail_out.
  absl::Status Inflate(absl::string_view what) {
    while (stream_.avail_out > 0) {
      if (ended_) return EndsEarly(what);
      ALTPROP_RETURN_IF_ERROR(Refill(what));
      ALTPROP_RETURN_IF_ERROR(Check(inflate(&stream_, Z_NO_FLUSH)));
    }
    return absl::OkStatus();
  }

  ByteSource& file_;
  uint64_t left_;  // of the file's bytes
  bool packed_;
  bool ready_ = false, ended_ = false;
  z_stream stream_{};
  std::vector<uint8_t> input_ = std::vector<uint8_t>(size_t{1} << 18);
};

Tag ReadTag(const std::array<uint8_t, 8>& bytes) {
  Tag tag;
  const uint32_t first = Word(bytes.data());
  if (first >> 16 != 0) {
    tag.type = first & 0xFFFF;
    tag.size = first >> 16;
    tag.is_small = true;
    std::copy(bytes.begin() + 4, bytes.end(), tag.small.begin());
  } else {
    tag.type = first;
    tag.size = Word(bytes.data() + 4);
  }
  return tag;
}

absl::StatusOr<Tag> NextTag(Element& element, absl::string_view what) {
  std::array<uint8_t, 8> bytes{};
  ALTPROP_RETURN_IF_ERROR(element.Read(bytes.data(), bytes.size(), what));
  const Tag tag = ReadTag(bytes);
  if (tag.is_small && tag.size > tag.small.size()) {
    return element.Error(
        absl::StrCat(what, ": a small element of ", tag.size, " bytes"));
  }
  return tag;
}

uint64_t Padding(const Tag& tag) {
  return tag.is_small ? 0 : (8 - tag.size % 8) % 8;
}

// A short element's data, at most `most` bytes.
absl::StatusOr<std::vector<uint8_t>> ReadShort(Element& element, size_t most,
                                               absl::string_view what) {
  ALTPROP_ASSIGN_OR_RETURN(const Tag tag, NextTag(element, what));
  if (tag.size > most) {
    return element.Error(absl::StrCat(what, " takes ", tag.size,
                                      " bytes, expected at most ", most));
  }
  if (tag.is_small) {
    return std::vector<uint8_t>(tag.small.begin(),
                                tag.small.begin() + tag.size);
  }
  std::vector<uint8_t> bytes(tag.size);
  ALTPROP_RETURN_IF_ERROR(element.Read(bytes.data(), bytes.size(), what));
  ALTPROP_RETURN_IF_ERROR(element.Skip(Padding(tag), what));
  return bytes;
}

// What stands before an array's numbers.
struct ArrayHeader {
  uint32_t array_class = 0;
  std::vector<int64_t> sizes;
  std::string name;
};

absl::StatusOr<ArrayHeader> ReadArrayHeader(Element& element, bool nested) {
  if (nested) {
    ALTPROP_ASSIGN_OR_RETURN(const Tag tag, NextTag(element, "an array"));
    if (tag.type != kMatrix) {
      return element.Error(
          absl::StrCat("an element of type ", tag.type, ", expected an array"));
    }
  }
  ArrayHeader header;
  constexpr size_t kMostDimensions = 8, kLongestName = 63;
  ALTPROP_ASSIGN_OR_RETURN(const std::vector<uint8_t> flags,
                           ReadShort(element, 8, "an array's flags"));
  if (flags.size() != 8) return element.Error("an array without its flags");
  header.array_class = Word(flags.data()) & 0xFF;
  ALTPROP_ASSIGN_OR_RETURN(
      const std::vector<uint8_t> sizes,
      ReadShort(element, 4 * kMostDimensions, "an array's sizes"));
  for (size_t i = 0; i + 4 <= sizes.size(); i += 4) {
    header.sizes.push_back(static_cast<int32_t>(Word(sizes.data() + i)));
  }
  ALTPROP_ASSIGN_OR_RETURN(const std::vector<uint8_t> name,
                           ReadShort(element, kLongestName, "an array's name"));
  header.name.assign(name.begin(), name.end());
  return header;
}

std::string SizesText(const ArrayHeader& header) {
  return absl::StrCat("[", absl::StrJoin(header.sizes, ", "), "]");
}

// X: [32, 32, 3, N] of uint8, the first index fastest.
absl::StatusOr<at::Tensor> ReadX(Element& element, const ArrayHeader& header,
                                 const ByteSource& file, int64_t limit) {
  const std::vector<int64_t>& s = header.sizes;
  // One image may stand without its last dimension.
  const bool fits = (s.size() == 4 || s.size() == 3) && s[0] == kSide &&
                    s[1] == kSide && s[2] == kChannels;
  const int64_t count = s.size() == 4 ? s[3] : 1;
  if (header.array_class != kUint8Class || !fits || count < 1) {
    return element.Error(absl::StrCat("X is ", SizesText(header), " of class ",
                                      header.array_class,
                                      ", expected uint8 [32, 32, 3, N]"));
  }
  ALTPROP_ASSIGN_OR_RETURN(const Tag tag, NextTag(element, "X"));
  const int64_t record = kChannels * kPixels;
  if (tag.type != kUint8 || tag.size != static_cast<uint64_t>(count * record)) {
    return element.Error(absl::StrCat("X holds ", tag.size, " bytes of type ",
                                      tag.type, ", expected ", count * record,
                                      " of type ", int{kUint8}));
  }
  const int64_t kept = limit > 0 ? std::min(limit, count) : count;
  // Before so much is allocated: deflate packs 1032 times at most.
  const std::optional<uint64_t> size = file.size();
  if (size && static_cast<uint64_t>(count * record) > *size * 1032) {
    return element.Error(absl::StrCat("X promises ", count,
                                      " images, more than the file can hold"));
  }
  at::Tensor images = at::empty({kept, kChannels, kSide, kSide}, at::kByte);
  auto* out = images.mutable_data_ptr<uint8_t>();
  std::vector<uint8_t> columns(record);
  for (int64_t n = 0; n < kept; ++n) {
    ALTPROP_RETURN_IF_ERROR(element.Read(columns.data(), columns.size(), "X"));
    for (int64_t c = 0; c < kChannels; ++c) {
      const uint8_t* plane = columns.data() + c * kPixels;
      for (int64_t y = 0; y < kSide; ++y) {
        for (int64_t x = 0; x < kSide; ++x) *out++ = plane[x * kSide + y];
      }
    }
  }
  if (kept == count) {
    ALTPROP_RETURN_IF_ERROR(element.Skip(Padding(tag), "X"));
    ALTPROP_RETURN_IF_ERROR(element.Finish());
  }
  return images;
}

// The number at `bytes`, of a type that MATLAB stores numbers in; NaN for
// another.
double NumberAt(const uint8_t* bytes, uint32_t type) {
  const auto as = [&]<typename T>(T value) {
    std::memcpy(&value, bytes, sizeof(T));
    return static_cast<double>(value);
  };
  switch (type) {
    case kInt8:
      return as(int8_t{});
    case kUint8:
      return as(uint8_t{});
    case kInt16:
      return as(int16_t{});
    case kUint16:
      return as(uint16_t{});
    case kInt32:
      return as(int32_t{});
    case kUint32:
      return as(uint32_t{});
    case kSingle:
      return as(float{});
    case kDouble:
      return as(double{});
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

int64_t SizeOfType(uint32_t type) {
  switch (type) {
    case kInt8:
    case kUint8:
      return 1;
    case kInt16:
    case kUint16:
      return 2;
    case kDouble:
      return 8;
    default:
      return 4;
  }
}

// y: [N, 1] of any numeric class.
absl::StatusOr<at::Tensor> ReadY(Element& element, const ArrayHeader& header,
                                 const ByteSource& file) {
  const bool numeric = header.array_class >= kFirstNumericClass &&
                       header.array_class <= kLastNumericClass;
  const bool column = header.sizes.size() == 2 &&
                      (header.sizes[0] == 1 || header.sizes[1] == 1) &&
                      header.sizes[0] > 0 && header.sizes[1] > 0;
  if (!numeric || !column) {
    return element.Error(absl::StrCat("y is ", SizesText(header), " of class ",
                                      header.array_class,
                                      ", expected numbers [N, 1]"));
  }
  const int64_t count = header.sizes[0] * header.sizes[1];
  ALTPROP_ASSIGN_OR_RETURN(const Tag tag, NextTag(element, "y"));
  const int64_t width = SizeOfType(tag.type);
  const std::optional<uint64_t> size = file.size();
  if (tag.size != static_cast<uint64_t>(count * width) ||
      std::isnan(NumberAt(
          tag.small.data(),
          tag.type == kDouble || tag.type == kSingle ? kUint8 : tag.type)) ||
      (size && tag.size > *size * 1032)) {
    return element.Error(absl::StrCat("y holds ", tag.size, " bytes of type ",
                                      tag.type, " for ", count, " labels"));
  }
  std::vector<uint8_t> bytes(tag.small.begin(), tag.small.end());
  if (!tag.is_small) {
    bytes.resize(tag.size);
    ALTPROP_RETURN_IF_ERROR(element.Read(bytes.data(), bytes.size(), "y"));
    ALTPROP_RETURN_IF_ERROR(element.Skip(Padding(tag), "y"));
  }
  ALTPROP_RETURN_IF_ERROR(element.Finish());
  at::Tensor labels = at::empty({count}, at::kLong);
  auto* out = labels.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i) {
    const double label = NumberAt(bytes.data() + i * width, tag.type);
    if (!(label >= 0 && label <= kClasses && std::trunc(label) == label)) {
      return element.Error(
          absl::StrCat("label ", label, " of digit ", i, ", expected 1 to 10"));
    }
    out[i] = static_cast<int64_t>(label) % kClasses;
  }
  return labels;
}

absl::Status CheckFileHeader(ByteSource& file) {
  std::array<uint8_t, 128> header{};
  ALTPROP_RETURN_IF_ERROR(
      file.Read(header.data(), header.size(), "a MATLAB file's header"));
  constexpr size_t kVersion = 124, kOrder = 126;
  const bool version5 = header[kVersion] == 0 && header[kVersion + 1] == 1 &&
                        header[kOrder] == 'I' && header[kOrder + 1] == 'M';
  if (version5) return absl::OkStatus();
  return file.Error("not a MATLAB file of version 5 (little-endian)", kVersion);
}

absl::StatusOr<Dataset> ReadAll(const SvhnOptions& options) {
  const auto path = [&](size_t file) {
    return absl::StrCat(options.root, "/", Files()[file].name);
  };
  Dataset dataset{"svhn", {}, {}};
  ALTPROP_ASSIGN_OR_RETURN(dataset.train,
                           ReadSvhnFile(path(0), options.limit_train));
  const int64_t more = options.limit_train - dataset.train.size();
  if (options.limit_train == 0 || more > 0) {
    ALTPROP_ASSIGN_OR_RETURN(
        const ImageSet extra,
        ReadSvhnFile(path(1), options.limit_train == 0 ? 0 : more));
    dataset.train.images = at::cat({dataset.train.images, extra.images});
    dataset.train.labels = at::cat({dataset.train.labels, extra.labels});
  }
  ALTPROP_ASSIGN_OR_RETURN(dataset.test,
                           ReadSvhnFile(path(2), options.limit_test));
  return dataset;
}

}  // namespace

absl::StatusOr<Dataset> LoadSvhn(const SvhnOptions& options) {
  if (options.download) {
    DownloadOptions download;
    download.base_urls = {"http://ufldl.stanford.edu/housenumbers/"};
    if (!options.mirror.empty()) {
      download.base_urls = {
          options.mirror.back() == '/' ? options.mirror : options.mirror + "/"};
    }
    download.progress = StderrProgress();
    ALTPROP_RETURN_IF_ERROR(Download(Files(), options.root, download));
  }
  return ReadAll(options);
}

absl::StatusOr<ImageSet> ReadSvhnFile(const std::string& path, int64_t limit) {
  ALTPROP_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file,
                           ByteSource::Open(path));
  ALTPROP_RETURN_IF_ERROR(CheckFileHeader(*file));
  ImageSet set;
  set.classes = kClasses;
  while (!set.images.defined() || !set.labels.defined()) {
    std::array<uint8_t, 8> bytes{};
    ALTPROP_RETURN_IF_ERROR(
        file->Read(bytes.data(), bytes.size(),
                   set.images.defined() ? "the array y" : "the array X"));
    const Tag tag = ReadTag(bytes);
    if (tag.is_small || (tag.type != kCompressed && tag.type != kMatrix)) {
      return file->Error(
          absl::StrCat("an element of type ", tag.type, ", expected an array"),
          file->offset() - bytes.size());
    }
    ALTPROP_RETURN_IF_ERROR(
        file->CheckHolds(tag.size, "an element", file->offset()));
    const uint64_t next = file->offset() + tag.size;
    {
      Element element(*file, tag);
      ALTPROP_ASSIGN_OR_RETURN(
          const ArrayHeader header,
          ReadArrayHeader(element, tag.type == kCompressed));
      if (header.name == "X" && !set.images.defined()) {
        ALTPROP_ASSIGN_OR_RETURN(set.images,
                                 ReadX(element, header, *file, limit));
      } else if (header.name == "y" && !set.labels.defined()) {
        ALTPROP_ASSIGN_OR_RETURN(set.labels, ReadY(element, header, *file));
      }
    }
    if (next > file->offset()) {
      ALTPROP_RETURN_IF_ERROR(file->Skip(next - file->offset(), "an element"));
    }
  }
  const int64_t images = set.images.size(0), labels = set.labels.size(0);
  if (limit > 0 && images == limit && labels >= limit) {
    set.labels = set.labels.narrow(0, 0, limit).clone();
  } else if (images != labels) {
    return file->Error(absl::StrCat(labels, " labels for ", images, " images"),
                       file->offset());
  }
  return set;
}

at::Tensor ResizeImages(const at::Tensor& images, int64_t side) {
  const int64_t height = images.size(2), width = images.size(3);
  const at::Tensor dense = images.contiguous();
  at::Tensor out =
      at::empty({images.size(0), kChannels, side, side}, at::kByte);
  const auto* from = dense.const_data_ptr<uint8_t>();
  auto* to = out.mutable_data_ptr<uint8_t>();
  const Taps columns(width, 0, static_cast<double>(width), side, 0, side);
  const Taps rows(height, 0, static_cast<double>(height), side, 0, side);
  const int64_t plane = height * width;
  at::parallel_for(0, images.size(0), 16, [&](int64_t begin, int64_t end) {
    Image image, narrow;
    image.Resize(width, height);
    for (int64_t n = begin; n < end; ++n) {
      const uint8_t* planes = from + n * kChannels * plane;
      for (int64_t i = 0; i < plane; ++i) {
        for (int64_t c = 0; c < kChannels; ++c) {
          image.rgbx[4 * i + c] = planes[c * plane + i];
        }
      }
      Resample(image, columns, rows, PassOrder::kHorizontalFirst,
               /*flip=*/false, &narrow, to + n * kChannels * side * side);
    }
  });
  return out;
}

}  // namespace altprop::data
