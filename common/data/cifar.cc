#include "common/data/cifar.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/data/byte_source.h"
#include "common/data/parallel.h"
#include "common/data/tar.h"
#include "common/status.h"

namespace altprop::data {
namespace {

constexpr int64_t kChannels = 3;
constexpr int64_t kSide = 32;
constexpr uint64_t kPixels = kChannels * kSide * kSide;
constexpr uint64_t kChunk = 256;  // records read at a time
constexpr uint64_t kMostOtherBytes = uint64_t{16} << 20;

// Takes `count` records from a source. `file` goes before what is said of it: a
// member's name in an archive.
class Records {
 public:
  Records(const CifarFormat& format, ByteSource* source, std::string file)
      : format_(format), source_(*source), file_(std::move(file)) {}

  // All of the next `size` bytes.
  absl::StatusOr<ImageSet> Read(uint64_t size) const {
    if (size == 0 || size % RecordBytes() != 0) {
      return Error(
          absl::StrCat(size, " bytes, expected one or more records of ",
                       RecordBytes(), " bytes"),
          source_.offset() + size / RecordBytes() * RecordBytes());
    }
    const uint64_t count = size / RecordBytes();
    const std::string what = absl::StrCat(file_, count, " records");
    ALTPROP_RETURN_IF_ERROR(source_.CheckHolds(size, what, source_.offset()));
    const auto n = static_cast<int64_t>(count);
    ImageSet set{at::empty({n, kChannels, kSide, kSide}, at::kByte),
                 at::empty({n}, at::kLong), format_.classes};
    auto* pixels = set.images.mutable_data_ptr<uint8_t>();
    auto* labels = set.labels.mutable_data_ptr<int64_t>();
    std::vector<uint8_t> chunk(std::min(count, kChunk) * RecordBytes());
    for (uint64_t done = 0; done < count; done += kChunk) {
      const uint64_t part = std::min(kChunk, count - done);
      ALTPROP_RETURN_IF_ERROR(
          source_.Read(chunk.data(), part * RecordBytes(), what));
      ALTPROP_RETURN_IF_ERROR(
          Unpack(chunk, part, pixels + done * kPixels, labels + done));
    }
    return set;
  }

 private:
  uint64_t LabelBytes() const { return format_.coarse_classes > 0 ? 2 : 1; }
  uint64_t RecordBytes() const { return LabelBytes() + kPixels; }

  absl::Status Error(absl::string_view message, uint64_t at) const {
    return source_.Error(absl::StrCat(file_, message), at);
  }

  absl::Status CheckLabel(absl::string_view kind, uint8_t label,
                          int64_t classes, uint64_t at) const {
    if (label < classes) return absl::OkStatus();
    return Error(
        absl::StrCat(kind, " ", label, ", expected 0 to ", classes - 1), at);
  }

  // The first `count` records of `chunk`, which were just read.
  absl::Status Unpack(const std::vector<uint8_t>& chunk, uint64_t count,
                      uint8_t* pixels, int64_t* labels) const {
    uint64_t at = source_.offset() - count * RecordBytes();
    const uint8_t* record = chunk.data();
    for (uint64_t i = 0; i < count; ++i) {
      const uint8_t* label = record + LabelBytes() - 1;
      if (label != record) {
        ALTPROP_RETURN_IF_ERROR(
            CheckLabel("coarse label", *record, format_.coarse_classes, at));
      }
      ALTPROP_RETURN_IF_ERROR(
          CheckLabel("label", *label, format_.classes, at + LabelBytes() - 1));
      labels[i] = *label;
      std::memcpy(pixels + i * kPixels, label + 1, kPixels);
      record += RecordBytes();
      at += RecordBytes();
    }
    return absl::OkStatus();
  }

  const CifarFormat& format_;
  ByteSource& source_;
  std::string file_;
};

absl::StatusOr<ImageSet> ReadFile(const CifarFormat& format,
                                  const std::string& path) {
  ALTPROP_ASSIGN_OR_RETURN(const auto source, ByteSource::Open(path));
  if (!source->size().has_value()) {
    return source->Error("gzip data, expected the unpacked file", 0);
  }
  ALTPROP_ASSIGN_OR_RETURN(
      ImageSet set, Records(format, source.get(), "").Read(*source->size()));
  ALTPROP_RETURN_IF_ERROR(
      source->ExpectEnd(absl::StrCat(set.size(), " records")));
  return set;
}

ImageSet Concatenate(std::vector<ImageSet> parts) {
  if (parts.size() == 1) return std::move(parts.front());
  std::vector<at::Tensor> images;
  std::vector<at::Tensor> labels;
  for (const ImageSet& part : parts) {
    images.push_back(part.images);
    labels.push_back(part.labels);
  }
  return {at::cat(images), at::cat(labels), parts.front().classes};
}

Dataset Assemble(const CifarFormat& format, std::vector<ImageSet> parts) {
  Dataset dataset{format.name, {}, std::move(parts.back())};
  parts.pop_back();
  dataset.train = Concatenate(std::move(parts));
  return dataset;
}

// In the order of the data set, the test file last.
std::vector<std::string> FileNames(const CifarFormat& format) {
  std::vector<std::string> names = format.train_files;
  names.push_back(format.test_file);
  return names;
}

// The data files of an archive, in whatever order they come.
class Members {
 public:
  Members(const CifarFormat& format, ByteSource* source)
      : format_(format), names_(FileNames(format)), source_(*source) {}

  absl::StatusOr<std::map<std::string, ImageSet>> Read() {
    TarReader tar(&source_);
    TarMember member;
    while (true) {
      ALTPROP_ASSIGN_OR_RETURN(const bool more, tar.Next(&member));
      if (!more) return std::move(found_);
      ALTPROP_RETURN_IF_ERROR(IsData(member) ? ReadData(member)
                                             : SkipOther(member));
      ALTPROP_RETURN_IF_ERROR(tar.EndMember(member));
    }
  }

 private:
  bool IsData(const TarMember& member) const {
    return member.regular &&
           std::count(names_.begin(), names_.end(), member.name) > 0;
  }

  absl::Status ReadData(const TarMember& member) {
    if (found_.contains(member.name)) {
      return source_.Error(absl::StrCat("a second ", member.name),
                           member.header_at);
    }
    ALTPROP_ASSIGN_OR_RETURN(
        found_[member.name],
        Records(format_, &source_, member.name + ": ").Read(member.size));
    return absl::OkStatus();
  }

  absl::Status SkipOther(const TarMember& member) {
    if (member.size > kMostOtherBytes - other_bytes_) {
      return source_.Error(
          absl::StrCat(Printable(member.name), ": ", member.size,
                       " bytes that are not part of ", format_.name),
          member.header_at);
    }
    other_bytes_ += member.size;
    return source_.Skip(member.size, Printable(member.name));
  }

  const CifarFormat& format_;
  std::vector<std::string> names_;
  ByteSource& source_;
  std::map<std::string, ImageSet> found_;
  uint64_t other_bytes_ = 0;
};

}  // namespace

const CifarFormat& Cifar10() {
  static const auto* const format = new CifarFormat{
      "cifar10",
      "cifar-10-batches-bin",
      "cifar-10-binary.tar.gz",
      {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
       "data_batch_4.bin", "data_batch_5.bin"},
      "test_batch.bin",
      /*classes=*/10,
      /*coarse_classes=*/0};
  return *format;
}

const CifarFormat& Cifar100() {
  static const auto* const format = new CifarFormat{
      "cifar100",           "cifar-100-binary", "cifar-100-binary.tar.gz",
      {"train.bin"},        "test.bin",         /*classes=*/100,
      /*coarse_classes=*/20};
  return *format;
}

absl::StatusOr<Dataset> ReadCifarFolder(const CifarFormat& format,
                                        const std::string& folder) {
  const std::vector<std::string> names = FileNames(format);
  std::vector<absl::StatusOr<ImageSet>> read(names.size());
  ParallelFor(names.size(), [&](size_t i) {
    read[i] = ReadFile(format, absl::StrCat(folder, "/", names[i]));
  });
  std::vector<ImageSet> parts;
  for (absl::StatusOr<ImageSet>& part : read) {
    ALTPROP_ASSIGN_OR_RETURN(parts.emplace_back(), std::move(part));
  }
  return Assemble(format, std::move(parts));
}

absl::StatusOr<Dataset> ReadCifarArchive(const CifarFormat& format,
                                         const std::string& archive) {
  ALTPROP_ASSIGN_OR_RETURN(const auto source, ByteSource::Open(archive));
  ALTPROP_ASSIGN_OR_RETURN(auto found, Members(format, source.get()).Read());
  std::vector<ImageSet> parts;
  for (const std::string& name : FileNames(format)) {
    const auto part = found.find(name);
    if (part == found.end()) {
      return source->Error(absl::StrCat("no ", name, " in this archive"),
                           source->offset());
    }
    parts.push_back(std::move(part->second));
  }
  return Assemble(format, std::move(parts));
}

}  // namespace altprop::data
