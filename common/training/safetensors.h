// The safetensors format, for sharing weights: an 8-byte little-endian length,
// a JSON header of that length, then the tensors' bytes. No code, no pickle.
#ifndef COMMON_TRAINING_SAFETENSORS_H_
#define COMMON_TRAINING_SAFETENSORS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/training/value.h"

namespace altprop::training {

using Metadata = std::vector<std::pair<std::string, std::string>>;

// Writes `tensors` through AtomicFile. They are laid out by descending element
// size, then by name, and the header is padded with spaces to a multiple of 8,
// so every tensor is aligned to its element size; the bytes depend on names,
// types, shapes and contents only.
// `metadata` becomes the header's "__metadata__" (sorted by key), left out when
// empty. InvalidArgument: a name used twice or "__metadata__", text that is not
// UTF-8, a dtype the format lacks (complex).
absl::Status ExportSafetensors(const std::string& path,
                               const NamedTensors& tensors,
                               const Metadata& metadata);

struct Safetensors {
  NamedTensors tensors;  // in the order of their bytes in the file
  Metadata metadata;     // sorted by key
};

// Reads a file of any writer. Hostile headers are refused: a length beyond the
// file (or 100 MB, the format's limit), JSON that does not parse or names a
// key twice, unknown dtypes, offsets that overlap, leave holes, do not fit the
// shape or do not end at the file's end. One line that begins with `path`. The
// format has no checksum.
absl::StatusOr<Safetensors> LoadSafetensors(const std::string& path);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_SAFETENSORS_H_
