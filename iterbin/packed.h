// Binary weights, one bit each, in a .safetensors file.
//
// Format, version 1. Metadata: format "iterbin-packed", version "1", network,
// model, dataset, and crc32, eight hexadecimal digits: zlib's CRC-32 over the
// bytes of all tensors in the order of their names. A binary layer NAME has
//
//   NAME.weight.planes  uint8 [bits, ceil(n / 8)]: bit b of entry i (row-major)
//                       is bit i % 8, the lowest first, of byte [b, i / 8]
//   NAME.weight.levels  the values that entries stand for, of the weights'
//   type:
//                       -1, 1 with one plane; -1, 1, 0 with two, where a weight
//                       is 0
//   NAME.weight.shape   int64 [2 or 4]
//
// and every other parameter and buffer is there as it is, by its own name.

#ifndef ITERBIN_PACKED_H_
#define ITERBIN_PACKED_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/training/value.h"
#include "iterbin/network.h"

namespace altprop::iterbin {

struct PackedModel {
  std::string network, model, dataset;
  training::NamedTensors tensors;  // by the network's names, E(W) unpacked
  std::vector<std::string> binary_layers;
};

// Bytes of the weights as they are kept, and of all of the rest.
struct PackedSize {
  std::string layer;
  int64_t weights = 0, float_bytes = 0, packed_bytes = 0;
};

// Writes a network with these layers binary. Returns a row per layer, and one
// named "other parameters".
absl::StatusOr<std::vector<PackedSize>> WritePacked(const std::string& path,
                                                    const Network& network,
                                                    const Flags& binary,
                                                    const std::string& model,
                                                    const std::string& dataset);

// Reads such a file and verifies its checksum. Errors begin with `path`.
absl::StatusOr<PackedModel> ReadPacked(const std::string& path);

// "layer  weights  float  packed  ratio".
std::string SizeTable(const std::vector<PackedSize>& sizes);

}  // namespace altprop::iterbin

#endif  // ITERBIN_PACKED_H_
