// The members of a tar archive, one after the other (POSIX ustar and GNU).
#ifndef COMMON_DATA_TAR_H_
#define COMMON_DATA_TAR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/data/byte_source.h"

namespace altprop::data {

struct TarMember {
  std::string name;        // without its folders
  uint64_t size = 0;       // bytes
  uint64_t header_at = 0;  // offset of its header in the source
  bool regular = false;    // a file, not a folder, a link or a note of tar's
};

// Reads `source` (not owned). Next() gives a member; the caller then reads
// exactly `size` bytes from the source and calls EndMember(). Header checksums
// are verified. Errors are one line with file and byte.
class TarReader {
 public:
  explicit TarReader(ByteSource* source) : source_(source) {}

  // False at the archive's end; what follows it is then read too, and must be
  // zeros, so that a gzip checksum was compared.
  absl::StatusOr<bool> Next(TarMember* member);
  absl::Status EndMember(const TarMember& member);

 private:
  absl::Status ReadPadding();

  ByteSource* source_;
};

}  // namespace altprop::data

#endif  // COMMON_DATA_TAR_H_
