#include "common/training/event_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/training/atomic_file.h"

namespace altprop::training {
namespace {

constexpr absl::string_view kPrefix = "events.out.tfevents.";
constexpr size_t kHeader = 12, kFooter = 4;  // of a TFRecord

// x86-64 is little-endian, as both formats are.
static_assert(std::endian::native == std::endian::little);

template <typename T>
std::string Bytes(T value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

template <typename T>
T FromBytes(absl::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

// Protocol buffer fields, https://protobuf.dev/programming-guides/encoding.
enum WireType { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) {
    bytes.push_back(static_cast<char>(value | 0x80));
  }
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string Key(int field, WireType type) { return Varint(field << 3 | type); }

std::string DoubleField(int field, double value) {
  return absl::StrCat(Key(field, kFixed64), Bytes(value));
}

std::string BytesField(int field, absl::string_view value) {
  return absl::StrCat(Key(field, kLengthDelimited), Varint(value.size()),
                      value);
}

std::string PackedDoubles(int field, const std::vector<double>& values) {
  std::string bytes;
  for (const double value : values) bytes += Bytes(value);
  return BytesField(field, bytes);
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5.
// Summary: repeated value = 1. Value: tag = 1, simple_value = 2, histo = 5.
std::string SummaryEvent(absl::string_view tag, int64_t step, double wall_time,
                         absl::string_view content) {
  const std::string value = absl::StrCat(BytesField(1, tag), content);
  return absl::StrCat(DoubleField(1, wall_time), Key(2, kVarint), Varint(step),
                      BytesField(5, BytesField(1, value)));
}

// HistogramProto: min = 1, max = 2, num = 3, sum = 4, sum_squares = 5,
// bucket_limit = 6, bucket = 7.
std::string HistogramMessage(const Histogram& h) {
  const auto bins = static_cast<double>(h.counts.size());
  std::vector<double> limits, counts;
  for (size_t i = 0; i < h.counts.size(); ++i) {
    const double part = static_cast<double>(i + 1) / bins;
    limits.push_back(h.min * (1 - part) + h.max * part);
    counts.push_back(static_cast<double>(h.counts[i]));
  }
  return absl::StrCat(DoubleField(1, h.min), DoubleField(2, h.max),
                      DoubleField(3, static_cast<double>(h.finite)),
                      DoubleField(4, h.sum), DoubleField(5, h.sum_of_squares),
                      PackedDoubles(6, limits), PackedDoubles(7, counts));
}

std::array<uint32_t, 256> Crc32cTable() {
  std::array<uint32_t, 256> table;
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);  // Castagnoli
    }
    table[i] = crc;
  }
  return table;
}

bool ReadVarint(absl::string_view& bytes, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes[0]);
    bytes.remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// Takes the next field off `event`: its number, and its value where that is a
// varint. False at the end, and for bytes that are no field of an Event.
bool NextField(absl::string_view& event, uint64_t* field, uint64_t* value) {
  uint64_t key = 0;
  if (!ReadVarint(event, &key)) return false;
  *field = key >> 3;
  uint64_t skip = 0;
  switch (key & 7) {
    case kVarint:
      return ReadVarint(event, value);
    case kFixed64:
      skip = 8;
      break;
    case kFixed32:
      skip = 4;
      break;
    case kLengthDelimited:
      if (!ReadVarint(event, &skip)) return false;
      break;
    default:
      return false;
  }
  if (skip > event.size()) return false;
  event.remove_prefix(skip);
  return true;
}

// The event's step, 0 where it has none (a file_version).
int64_t StepOf(absl::string_view event) {
  uint64_t field = 0, value = 0;
  while (NextField(event, &field, &value)) {
    if (field == 2) return static_cast<int64_t>(value);
  }
  return 0;
}

// Takes the next whole and undamaged record off `file`, framing included.
std::optional<absl::string_view> NextRecord(absl::string_view& file) {
  if (file.size() < kHeader + kFooter) return std::nullopt;
  const auto length = FromBytes<uint64_t>(file);
  if (length > file.size() - kHeader - kFooter) return std::nullopt;
  const absl::string_view record = file.substr(0, kHeader + length + kFooter);
  const absl::string_view event = record.substr(kHeader, length);
  if (FromBytes<uint32_t>(record.substr(8)) !=
          MaskedCrc32c(record.substr(0, 8)) ||
      FromBytes<uint32_t>(record.substr(kHeader + length)) !=
          MaskedCrc32c(event)) {
    return std::nullopt;
  }
  file.remove_prefix(record.size());
  return record;
}

absl::Status KeepUpTo(const std::string& path, int64_t last_step) {
  std::ifstream stream(path, std::ios::binary);
  const std::string contents{std::istreambuf_iterator<char>(stream), {}};
  if (stream.bad()) {
    return absl::UnavailableError(absl::StrCat(path, ": cannot read"));
  }
  absl::string_view rest = contents;
  std::string kept;
  while (const std::optional<absl::string_view> record = NextRecord(rest)) {
    const absl::string_view event =
        record->substr(kHeader, record->size() - kHeader - kFooter);
    if (StepOf(event) <= last_step) absl::StrAppend(&kept, *record);
  }
  if (kept == contents) return absl::OkStatus();
  return WriteFileAtomically(path, kept);
}

std::string NewName() {
  static std::atomic<int> number = 0;
  char host[256] = "";
  if (gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(now).count();
  return absl::StrCat(kPrefix, seconds, ".", host, ".", getpid(), ".",
                      number++);
}

}  // namespace

uint32_t MaskedCrc32c(absl::string_view bytes) {
  static const std::array<uint32_t, 256> kTable = Crc32cTable();
  uint32_t crc = 0xffffffffu;
  for (const char byte : bytes) {
    crc = kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff] ^ (crc >> 8);
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;  // TFRecord's mask
}

std::string TfRecord(absl::string_view bytes) {
  const std::string length = Bytes(static_cast<uint64_t>(bytes.size()));
  return absl::StrCat(length, Bytes(MaskedCrc32c(length)), bytes,
                      Bytes(MaskedCrc32c(bytes)));
}

absl::StatusOr<std::unique_ptr<EventFile>> EventFile::Create(
    const std::string& directory) {
  ALTPROP_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(absl::StrCat(
                                                directory, "/", NewName())));
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const double seconds = std::chrono::duration<double>(now).count();
  ALTPROP_RETURN_IF_ERROR(file.Append(TfRecord(
      absl::StrCat(DoubleField(1, seconds), BytesField(3, "brain.Event:2")))));
  return std::unique_ptr<EventFile>(new EventFile(std::move(file)));
}

absl::Status EventFile::AddScalar(absl::string_view tag, int64_t step,
                                  double wall_time, double value) {
  const std::string content =
      absl::StrCat(Key(2, kFixed32), Bytes(static_cast<float>(value)));
  return file_.Append(TfRecord(SummaryEvent(tag, step, wall_time, content)));
}

absl::Status EventFile::AddHistogram(absl::string_view tag, int64_t step,
                                     double wall_time,
                                     const Histogram& histogram) {
  const std::string content = BytesField(5, HistogramMessage(histogram));
  return file_.Append(TfRecord(SummaryEvent(tag, step, wall_time, content)));
}

absl::Status KeepEventsUpTo(const std::string& directory, int64_t last_step) {
  std::error_code error;
  std::vector<std::string> paths;
  for (const auto& entry :
       std::filesystem::directory_iterator(directory, error)) {
    if (absl::StartsWith(entry.path().filename().string(), kPrefix)) {
      paths.push_back(entry.path());
    }
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(directory, ": ", error.message()));
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    ALTPROP_RETURN_IF_ERROR(KeepUpTo(path, last_step));
  }
  return absl::OkStatus();
}

}  // namespace altprop::training
