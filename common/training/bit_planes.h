// Small whole numbers, a few bits each, packed for a file.
#ifndef COMMON_TRAINING_BIT_PLANES_H_
#define COMMON_TRAINING_BIT_PLANES_H_

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

namespace altprop::training {

// Bit b of entry i of `indices` (uint8, any shape, row-major, each below
// 2^bits) becomes bit i % 8, the lowest first, of byte [b, i / 8] of the
// result, uint8 [bits, ceil(n / 8)]; bits after the last entry are 0. In
// Python:
//
//   planes = np.unpackbits(packed, axis=1, count=n, bitorder="little")
//   indices = (planes << np.arange(bits)[:, None]).sum(axis=0).reshape(shape)
//
// CHECKs 1 <= bits <= 8 and the values.
at::Tensor PackBitPlanes(const at::Tensor& indices, int64_t bits);

// The reverse: uint8 of `shape`. InvalidArgument where `planes`, from a file,
// is not uint8 [bits, ceil(n / 8)] with 1 to 8 bits, n the entries of `shape`.
absl::StatusOr<at::Tensor> UnpackBitPlanes(const at::Tensor& planes,
                                           at::IntArrayRef shape);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_BIT_PLANES_H_
