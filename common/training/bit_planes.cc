#include "common/training/bit_planes.h"

#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"

namespace altprop::training {

at::Tensor PackBitPlanes(const at::Tensor& indices, int64_t bits) {
  CHECK(bits >= 1 && bits <= 8) << bits;
  CHECK(indices.scalar_type() == at::kByte);
  const at::Tensor from = indices.cpu().contiguous();
  const int64_t count = from.numel(), bytes = (count + 7) / 8;
  at::Tensor planes = at::zeros({bits, bytes}, at::kByte);
  const uint8_t* in = from.const_data_ptr<uint8_t>();
  uint8_t* out = planes.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < count; ++i) {
    CHECK_EQ(in[i] >> bits, 0) << "entry " << i;
    for (int64_t b = 0; b < bits; ++b) {
      out[b * bytes + i / 8] |=
          static_cast<uint8_t>((in[i] >> b & 1) << (i % 8));
    }
  }
  return planes;
}

absl::StatusOr<at::Tensor> UnpackBitPlanes(const at::Tensor& planes,
                                           at::IntArrayRef shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  const int64_t bytes = (count + 7) / 8;
  if (planes.scalar_type() != at::kByte || planes.dim() != 2 ||
      planes.size(0) < 1 || planes.size(0) > 8 || planes.size(1) != bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected bit planes, uint8 [1 to 8, ", bytes, "]"));
  }
  const at::Tensor from = planes.cpu().contiguous();
  at::Tensor indices = at::zeros(shape, at::kByte);
  const uint8_t* in = from.const_data_ptr<uint8_t>();
  uint8_t* out = indices.mutable_data_ptr<uint8_t>();
  for (int64_t b = 0; b < planes.size(0); ++b) {
    for (int64_t i = 0; i < count; ++i) {
      const int bit = in[b * bytes + i / 8] >> (i % 8) & 1;
      out[i] = static_cast<uint8_t>(out[i] | bit << b);
    }
  }
  return indices;
}

}  // namespace altprop::training
