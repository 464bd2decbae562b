#include "common/training/zip_reader.h"

#define ZLIB_CONST  // next_in is const
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status.h"

namespace altprop::training {
namespace {

// APPNOTE.TXT, the zip format, 4.3 and 4.5.3.
constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kDirectoryEntry = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kLocator64 = 0x07064b50;
constexpr uint64_t kLocalHeaderBytes = 30;
constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kEnd64Bytes = 56;
constexpr uint64_t kLocator64Bytes = 20;
constexpr uint64_t kMaxComment = 0xFFFF;
constexpr uint16_t kExtra64 = 0x0001;
constexpr uint16_t kEncrypted = 0x0001;
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;
constexpr uint64_t kMaxInflatedRatio = 16;
constexpr uint64_t kMaxInflated = 1 << 30;
constexpr uint64_t kMaxDeflateRatio = 1032;  // the format's own limit
constexpr uint32_t kIn64 = 0xFFFFFFFF;       // the number is in the zip64 extra

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("is truncated or damaged: the zip archive's ", what));
}

// Little-endian numbers and bytes, one after the other. Beyond the end gives
// zeros and an ok() of false.
class Cursor {
 public:
  explicit Cursor(absl::string_view bytes) : rest_(bytes) {}

  absl::string_view Take(size_t length) {
    ok_ = ok_ && length <= rest_.size();
    if (!ok_) return "";
    const absl::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }

  template <typename T>
  T Number() {
    const absl::string_view bytes = Take(sizeof(T));
    T number = 0;
    for (size_t i = bytes.size(); i-- > 0;) {
      number = static_cast<T>((number << 8) | static_cast<uint8_t>(bytes[i]));
    }
    return number;
  }
  uint16_t U16() { return Number<uint16_t>(); }
  uint32_t U32() { return Number<uint32_t>(); }
  uint64_t U64() { return Number<uint64_t>(); }

  bool ok() const { return ok_; }
  bool empty() const { return rest_.empty(); }

 private:
  absl::string_view rest_;
  bool ok_ = true;
};

struct Directory {
  uint64_t offset;
  uint64_t size;
  uint64_t count;
  uint64_t end;  // where it must end
};

// The last end record whose comment reaches the end of the file exactly.
absl::StatusOr<uint64_t> FindEnd(const InputFile& file) {
  const uint64_t length = std::min(file.size(), kEndBytes + kMaxComment);
  const uint64_t begin = file.size() - length;
  ALTPROP_ASSIGN_OR_RETURN(const std::string bytes, file.Read(begin, length));
  const absl::string_view tail = bytes;
  for (uint64_t at = length - std::min(length, kEndBytes) + 1; at-- > 0;) {
    Cursor cursor(tail.substr(at));
    if (cursor.U32() != kEnd) continue;
    cursor.Take(16);
    const uint16_t comment = cursor.U16();
    if (cursor.ok() && at + kEndBytes + comment == length) return begin + at;
  }
  return Damaged("end is missing");
}

absl::StatusOr<Directory> ReadEnd64(const InputFile& file, uint64_t offset) {
  ALTPROP_ASSIGN_OR_RETURN(const std::string bytes,
                           file.Read(offset, kEnd64Bytes));
  Cursor cursor(bytes);
  if (cursor.U32() != kEnd64) return Damaged("zip64 end is missing");
  cursor.Take(28);  // size of this record, versions, disks, entries on disk
  Directory directory;
  directory.count = cursor.U64();
  directory.size = cursor.U64();
  directory.offset = cursor.U64();
  directory.end = offset;
  return directory;
}

absl::StatusOr<Directory> FindDirectory(const InputFile& file) {
  ALTPROP_ASSIGN_OR_RETURN(const uint64_t end, FindEnd(file));
  if (end >= kLocator64Bytes) {
    ALTPROP_ASSIGN_OR_RETURN(const std::string bytes,
                             file.Read(end - kLocator64Bytes, kLocator64Bytes));
    Cursor cursor(bytes);
    if (cursor.U32() == kLocator64) {
      cursor.Take(4);
      return ReadEnd64(file, cursor.U64());
    }
  }
  ALTPROP_ASSIGN_OR_RETURN(const std::string bytes, file.Read(end, kEndBytes));
  Cursor cursor(bytes);
  cursor.Take(10);  // signature, disks, entries on this disk
  Directory directory;
  directory.count = cursor.U16();
  directory.size = cursor.U32();
  directory.offset = cursor.U32();
  directory.end = end;
  return directory;
}

// Replaces the numbers that are marked as being in the zip64 extra field.
bool ReadExtra64(absl::string_view extra, uint64_t& size, uint64_t& packed_size,
                 uint64_t& header) {
  Cursor cursor(extra);
  while (!cursor.empty()) {
    const uint16_t id = cursor.U16();
    const uint16_t length = cursor.U16();
    Cursor field(cursor.Take(length));
    if (!cursor.ok()) return false;
    if (id != kExtra64) continue;
    if (size == kIn64) size = field.U64();
    if (packed_size == kIn64) packed_size = field.U64();
    if (header == kIn64) header = field.U64();
    return field.ok();
  }
  return true;
}

// Whether `packed` is the deflated form of exactly `size` bytes, put in `out`.
// zlib counts in 32 bits, so long data goes in pieces.
bool Inflate(absl::string_view packed, void* out, uint64_t size) {
  constexpr uint64_t kPiece = 1 << 30;
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
  stream.next_in = reinterpret_cast<const Bytef*>(packed.data());
  stream.next_out = static_cast<Bytef*>(out);
  uint64_t in_left = packed.size();
  uint64_t out_left = size;
  int result = Z_OK;
  while (result == Z_OK) {
    const auto in = static_cast<uInt>(std::min(in_left, kPiece));
    const auto room = static_cast<uInt>(std::min(out_left, kPiece));
    stream.avail_in = in;
    stream.avail_out = room;
    result = inflate(&stream, Z_NO_FLUSH);
    in_left -= in - stream.avail_in;
    out_left -= room - stream.avail_out;
  }
  inflateEnd(&stream);
  return result == Z_STREAM_END && in_left == 0 && out_left == 0;
}

}  // namespace

ZipReader::ZipReader(const InputFile& file, Records records)
    : file_(&file), records_(std::move(records)) {}

absl::StatusOr<ZipReader> ZipReader::Open(const InputFile& file) {
  ALTPROP_ASSIGN_OR_RETURN(const Directory directory, FindDirectory(file));
  if (directory.offset > directory.end ||
      directory.size != directory.end - directory.offset) {
    return Damaged("directory is not where its end says");
  }
  ALTPROP_ASSIGN_OR_RETURN(const std::string bytes,
                           file.Read(directory.offset, directory.size));
  ALTPROP_ASSIGN_OR_RETURN(Records records,
                           ParseDirectory(bytes, directory.count));
  ALTPROP_RETURN_IF_ERROR(CheckSizes(records, file.size()));
  return ZipReader(file, std::move(records));
}

absl::Status ZipReader::CheckSizes(const Records& records, uint64_t file_size) {
  uint64_t packed_room = file_size;
  uint64_t room = std::max(kMaxInflatedRatio * file_size, kMaxInflated);
  for (const auto& [name, record] : records) {
    if (record.packed_size > packed_room || record.size > room ||
        record.size / kMaxDeflateRatio > record.packed_size ||
        (record.method == kStored && record.size != record.packed_size)) {
      return Damaged("records are larger than the file");
    }
    packed_room -= record.packed_size;
    room -= record.size;
  }
  return absl::OkStatus();
}

absl::StatusOr<ZipReader::Records> ZipReader::ParseDirectory(
    absl::string_view directory, uint64_t count) {
  Records records;
  Cursor cursor(directory);
  while (!cursor.empty()) {
    if (cursor.U32() != kDirectoryEntry)
      return Damaged("directory is unreadable");
    cursor.Take(4);  // versions
    Record record;
    record.flags = cursor.U16();
    record.method = cursor.U16();
    cursor.Take(4);  // time and date
    record.checksum = cursor.U32();
    record.packed_size = cursor.U32();
    record.size = cursor.U32();
    const uint16_t name_length = cursor.U16();
    const uint16_t extra_length = cursor.U16();
    const uint16_t comment_length = cursor.U16();
    cursor.Take(8);  // disk and attributes
    record.header = cursor.U32();
    const absl::string_view name = cursor.Take(name_length);
    const absl::string_view extra = cursor.Take(extra_length);
    cursor.Take(comment_length);
    if (!cursor.ok() ||
        !ReadExtra64(extra, record.size, record.packed_size, record.header)) {
      return Damaged("directory is unreadable");
    }
    if (!records.emplace(name, record).second) {
      return Damaged(absl::StrCat("record ", Printable(name), " comes twice"));
    }
  }
  if (records.size() != count) return Damaged("directory is incomplete");
  return records;
}

absl::StatusOr<const ZipReader::Record*> ZipReader::Find(
    absl::string_view name) const {
  const auto found = records_.find(name);
  if (found == records_.end()) {
    return absl::NotFoundError(
        absl::StrCat("the record ", Printable(name), " is missing"));
  }
  const Record& record = found->second;
  if ((record.method != kStored && record.method != kDeflated) ||
      (record.flags & kEncrypted) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the record ", Printable(name), " is encrypted or compressed by ",
        "method ", record.method, ", which is not read"));
  }
  return &record;
}

absl::StatusOr<uint64_t> ZipReader::Size(absl::string_view name) const {
  ALTPROP_ASSIGN_OR_RETURN(const Record* const record, Find(name));
  return record->size;
}

absl::StatusOr<uint64_t> ZipReader::DataOffset(absl::string_view name,
                                               const Record& record) const {
  ALTPROP_ASSIGN_OR_RETURN(
      const std::string bytes,
      file_->Read(record.header, kLocalHeaderBytes + name.size()));
  Cursor cursor(bytes);
  const bool is_header = cursor.U32() == kLocalHeader;
  cursor.Take(22);  // the directory has these, too
  const uint16_t name_length = cursor.U16();
  const uint16_t extra_length = cursor.U16();
  if (!is_header || name_length != name.size() ||
      cursor.Take(name_length) != name) {
    return Damaged(
        absl::StrCat("record ", Printable(name), " is not in its place"));
  }
  return record.header + kLocalHeaderBytes + name_length + extra_length;
}

absl::Status ZipReader::Read(absl::string_view name, void* out) const {
  ALTPROP_ASSIGN_OR_RETURN(const Record* const record, Find(name));
  ALTPROP_ASSIGN_OR_RETURN(const uint64_t offset, DataOffset(name, *record));
  if (record->method == kStored) {
    ALTPROP_RETURN_IF_ERROR(file_->Read(offset, record->size, out));
  } else {
    ALTPROP_ASSIGN_OR_RETURN(const std::string packed,
                             file_->Read(offset, record->packed_size));
    if (!Inflate(packed, out, record->size)) {
      return absl::DataLossError(
          absl::StrCat("the record ", Printable(name), " does not decompress"));
    }
  }
  const uLong checksum =
      crc32_z(0, static_cast<const Bytef*>(out), record->size);
  if (record->size > 0 && checksum != record->checksum) {
    return absl::DataLossError(
        absl::StrCat("the record ", Printable(name),
                     " does not match its checksum (CRC-32)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ZipReader::Read(absl::string_view name) const {
  ALTPROP_ASSIGN_OR_RETURN(const uint64_t size, Size(name));
  std::string bytes(size, '\0');
  ALTPROP_RETURN_IF_ERROR(Read(name, bytes.data()));
  return bytes;
}

absl::StatusOr<std::string> ZipReader::Folder() const {
  for (const auto& [name, record] : records_) {
    absl::string_view folder = name;
    if (absl::ConsumeSuffix(&folder, "/data.pkl") &&
        !absl::StrContains(folder, '/')) {
      return std::string(folder);
    }
  }
  return absl::NotFoundError("is a zip archive without a record data.pkl");
}

}  // namespace altprop::training
