#include "common/data/idx.h"

#include <ATen/ops/empty.h>

#include <array>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/data/byte_source.h"
#include "common/status.h"

namespace altprop::data {
namespace {

constexpr uint32_t kImageMagic = 0x00000803;  // unsigned bytes, 3 dimensions
constexpr uint32_t kLabelMagic = 0x00000801;  // unsigned bytes, 1 dimension

absl::StatusOr<uint32_t> ReadBigEndian(ByteSource& source) {
  std::array<uint8_t, 4> bytes{};
  ALTPROP_RETURN_IF_ERROR(
      source.Read(bytes.data(), bytes.size(), "the IDX header"));
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
         uint32_t{bytes[2]} << 8 | uint32_t{bytes[3]};
}

absl::Status ReadMagic(ByteSource& source, uint32_t expected,
                       absl::string_view what) {
  ALTPROP_ASSIGN_OR_RETURN(const uint32_t magic, ReadBigEndian(source));
  if (magic == expected) return absl::OkStatus();
  return source.Error(
      absl::StrFormat("magic number %#010x, expected %#010x (IDX %s)", magic,
                      expected, what),
      0);
}

struct Labels {
  at::Tensor values;  // int64 [N]
  std::unique_ptr<ByteSource> source;
};

absl::StatusOr<Labels> ReadLabels(const std::string& path, int64_t classes) {
  Labels labels;
  ALTPROP_ASSIGN_OR_RETURN(labels.source, ByteSource::Open(path));
  ByteSource& source = *labels.source;
  ALTPROP_RETURN_IF_ERROR(ReadMagic(source, kLabelMagic, "labels"));
  ALTPROP_ASSIGN_OR_RETURN(const uint32_t count, ReadBigEndian(source));
  const std::string what = absl::StrCat(count, " labels");
  ALTPROP_RETURN_IF_ERROR(source.CheckHolds(count, what, 4));
  const uint64_t start = source.offset();
  std::vector<uint8_t> bytes(count);
  ALTPROP_RETURN_IF_ERROR(source.Read(bytes.data(), count, what));
  ALTPROP_RETURN_IF_ERROR(source.ExpectEnd(what));
  labels.values = at::empty({static_cast<int64_t>(count)}, at::kLong);
  auto* values = labels.values.mutable_data_ptr<int64_t>();
  for (uint32_t i = 0; i < count; ++i) {
    if (bytes[i] >= classes) {
      return source.Error(absl::StrCat("label ", bytes[i], " of sample ", i,
                                       ", expected 0 to ", classes - 1),
                          start + i);
    }
    values[i] = bytes[i];
  }
  return labels;
}

}  // namespace

absl::StatusOr<at::Tensor> ReadIdxImages(const std::string& path) {
  ALTPROP_ASSIGN_OR_RETURN(const auto source, ByteSource::Open(path));
  ALTPROP_RETURN_IF_ERROR(ReadMagic(*source, kImageMagic, "images"));
  ALTPROP_ASSIGN_OR_RETURN(const uint32_t count, ReadBigEndian(*source));
  ALTPROP_ASSIGN_OR_RETURN(const uint32_t rows, ReadBigEndian(*source));
  ALTPROP_ASSIGN_OR_RETURN(const uint32_t columns, ReadBigEndian(*source));
  const std::string what =
      absl::StrCat(count, " images of ", rows, "x", columns, " pixels");
  constexpr uint32_t kMostSide = 1 << 15;  // keeps the product in 64 bits
  if (rows == 0 || columns == 0 || rows > kMostSide || columns > kMostSide) {
    return source->Error(
        absl::StrCat(what, ", expected sides of 1 to ", kMostSide), 8);
  }
  const uint64_t size = uint64_t{count} * rows * columns;
  ALTPROP_RETURN_IF_ERROR(source->CheckHolds(size, what, 4));
  at::Tensor images = at::empty({count, 1, rows, columns}, at::kByte);
  ALTPROP_RETURN_IF_ERROR(
      source->Read(images.mutable_data_ptr<uint8_t>(), size, what));
  ALTPROP_RETURN_IF_ERROR(source->ExpectEnd(what));
  return images;
}

absl::StatusOr<at::Tensor> ReadIdxLabels(const std::string& path,
                                         int64_t classes) {
  ALTPROP_ASSIGN_OR_RETURN(Labels labels, ReadLabels(path, classes));
  return labels.values;
}

absl::StatusOr<ImageSet> ReadIdxSet(const std::string& images,
                                    const std::string& labels,
                                    int64_t classes) {
  ImageSet set;
  set.classes = classes;
  ALTPROP_ASSIGN_OR_RETURN(set.images, ReadIdxImages(images));
  ALTPROP_ASSIGN_OR_RETURN(const Labels read, ReadLabels(labels, classes));
  set.labels = read.values;
  if (set.labels.size(0) != set.images.size(0)) {
    return read.source->Error(absl::StrCat(set.labels.size(0), " labels for ",
                                           set.images.size(0), " images"),
                              4);
  }
  return set;
}

}  // namespace altprop::data
