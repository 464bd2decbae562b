// Reads the zip archives that torch.save writes, and verifies them: PyTorch's
// own reader ignores the checksums.
#ifndef COMMON_TRAINING_ZIP_READER_H_
#define COMMON_TRAINING_ZIP_READER_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/training/input_file.h"

namespace altprop::training {

// Stored and deflated records of a zip or zip64 archive (torch.save stores, a
// zip program that packs a checkpoint again deflates). Errors are one line
// without the file's name: DataLoss for what is truncated, contradicts itself
// or does not match its CRC-32, InvalidArgument for a record that is encrypted
// or compressed in another way, NotFound for a record that is not there.
class ZipReader {
 public:
  // Reads the archive's directory; `file` must outlive this. The stored records
  // may not be larger together than the file, nor the deflated ones than 16
  // times the file or 1 GiB, so neither is what reading each of them once
  // takes.
  static absl::StatusOr<ZipReader> Open(const InputFile& file);

  bool Has(absl::string_view name) const { return records_.contains(name); }
  absl::StatusOr<uint64_t> Size(absl::string_view name) const;

  // Reads the record, Size(name) bytes, and holds it against its checksum.
  absl::Status Read(absl::string_view name, void* out) const;
  absl::StatusOr<std::string> Read(absl::string_view name) const;

  // The folder that all records of a torch archive are in, "archive" or the
  // file's name: the X of a record X/data.pkl. NotFound if there is none.
  absl::StatusOr<std::string> Folder() const;

 private:
  struct Record {
    uint64_t header;  // where its local header begins
    uint64_t size;
    uint64_t packed_size;  // in the file
    uint32_t checksum;
    uint16_t flags;
    uint16_t method;
  };
  using Records = absl::flat_hash_map<std::string, Record>;

  ZipReader(const InputFile& file, Records records);
  absl::StatusOr<const Record*> Find(absl::string_view name) const;
  absl::StatusOr<uint64_t> DataOffset(absl::string_view name,
                                      const Record& record) const;
  static absl::Status CheckSizes(const Records& records, uint64_t file_size);
  static absl::StatusOr<Records> ParseDirectory(absl::string_view directory,
                                                uint64_t count);

  const InputFile* file_;
  Records records_;
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_ZIP_READER_H_
