// What altprop::augment asks of its arguments, on every device.
#ifndef COMMON_KERNELS_AUGMENT_CHECK_H_
#define COMMON_KERNELS_AUGMENT_CHECK_H_

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace altprop::kernels {

// A CUDA kernel takes mean and std as arguments: so many of them.
inline constexpr int64_t kMostChannels = 16;
inline constexpr int64_t kMostPad = 1 << 15;

inline void CheckAugment(const at::Tensor& images,
                         const std::optional<at::Tensor>& draws, int64_t pad,
                         at::ArrayRef<double> mean, at::ArrayRef<double> std,
                         at::ScalarType dtype) {
  TORCH_CHECK(images.dim() == 4 && images.scalar_type() == at::kByte,
              "augment: images are ", images.scalar_type(), " ", images.sizes(),
              ", expected uint8 [N, C, H, W]");
  const int64_t channels = images.size(1);
  TORCH_CHECK(channels <= kMostChannels, "augment: ", channels,
              " channels, expected at most ", kMostChannels);
  TORCH_CHECK(static_cast<int64_t>(mean.size()) == channels &&
                  static_cast<int64_t>(std.size()) == channels,
              "augment: ", mean.size(), " means and ", std.size(),
              " deviations for ", channels, " channels");
  TORCH_CHECK(std::find(std.begin(), std.end(), 0.0) == std.end(),
              "augment: a deviation is 0");
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kDouble ||
                  dtype == at::kBFloat16 || dtype == at::kHalf,
              "augment: dtype ", dtype, ", expected a floating-point type");
  TORCH_CHECK(pad >= 0 && pad <= kMostPad, "augment: pad ", pad,
              ", expected 0 to ", kMostPad);
  if (!draws.has_value()) return;
  TORCH_CHECK(draws->scalar_type() == at::kInt && draws->dim() == 2 &&
                  draws->size(0) == images.size(0) && draws->size(1) == 3,
              "augment: draws are ", draws->scalar_type(), " ", draws->sizes(),
              ", expected int32 [", images.size(0), ", 3]");
  TORCH_CHECK(draws->device() == images.device(), "augment: draws are on ",
              draws->device(), ", images on ", images.device());
}

}  // namespace altprop::kernels

#endif  // COMMON_KERNELS_AUGMENT_CHECK_H_
