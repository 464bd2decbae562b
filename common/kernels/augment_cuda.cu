// altprop::augment on CUDA: one thread per value.
#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <type_traits>

#include "common/kernels/augment.h"
#include "common/kernels/augment_check.h"

namespace altprop::kernels {
namespace {

// By value to the kernel: no copy to wait for.
template <typename Wide>
struct Channels {
  Wide mean[kMostChannels];
  Wide std[kMostChannels];
};

struct Geometry {
  int64_t channels, height, width, pad;
  bool replicate_edge;
};

__device__ int64_t Clamp(int64_t value, int64_t most) {
  return value < 0 ? 0 : (value > most ? most : value);
}

// nvcc's divisions are IEEE's without --use_fast_math, so the bits are the CPU
// kernel's.
template <typename T, typename Wide>
__global__ void AugmentKernel(const uint8_t* images, const int32_t* draws,
                              Geometry g, Channels<Wide> channels, T* out,
                              int64_t size) {
  const int64_t step = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < size;
       i += step) {
    const int64_t x = i % g.width;
    const int64_t y = i / g.width % g.height;
    const int64_t plane = i / (g.width * g.height);
    int64_t row = y;
    int64_t column = x;
    bool inside = true;
    if (draws != nullptr) {
      const int32_t* draw = draws + plane / g.channels * 3;
      const int64_t wanted_row = y + draw[0] - g.pad;
      const int64_t wanted_column = x + draw[1] - g.pad;
      row = Clamp(wanted_row, g.height - 1);
      column = Clamp(wanted_column, g.width - 1);
      inside =
          g.replicate_edge || (row == wanted_row && column == wanted_column);
      if (draw[2] != 0) column = g.width - 1 - column;
    }
    const uint8_t byte =
        inside ? images[(plane * g.height + row) * g.width + column] : 0;
    const int64_t c = plane % g.channels;
    out[i] = static_cast<T>(
        (static_cast<Wide>(byte) / Wide{255} - channels.mean[c]) /
        channels.std[c]);
  }
}

template <typename T>
void Launch(const at::Tensor& images, const int32_t* draws, const Geometry& g,
            at::ArrayRef<double> mean, at::ArrayRef<double> std,
            at::Tensor& out) {
  using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
  Channels<Wide> channels{};
  std::copy(mean.begin(), mean.end(), channels.mean);
  std::copy(std.begin(), std.end(), channels.std);
  constexpr int64_t kThreads = 256;
  constexpr int64_t kMostBlocks = 65536;
  const int64_t size = out.numel();
  const int64_t blocks =
      std::min((size + kThreads - 1) / kThreads, kMostBlocks);
  AugmentKernel<T, Wide>
      <<<blocks, kThreads, 0, at::cuda::getCurrentCUDAStream()>>>(
          images.const_data_ptr<uint8_t>(), draws, g, channels,
          out.mutable_data_ptr<T>(), size);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

at::Tensor AugmentCuda(const at::Tensor& images,
                       const std::optional<at::Tensor>& draws, int64_t pad,
                       bool replicate_edge, at::ArrayRef<double> mean,
                       at::ArrayRef<double> std, at::ScalarType dtype) {
  CheckAugment(images, draws, pad, mean, std, dtype);
  const c10::cuda::CUDAGuard guard(images.device());
  at::Tensor out = at::empty(images.sizes(), images.options().dtype(dtype));
  if (out.numel() == 0) return out;
  const at::Tensor dense = images.contiguous();
  const at::Tensor dense_draws =
      draws.has_value() ? draws->contiguous() : at::Tensor();
  const int32_t* rows =
      draws.has_value() ? dense_draws.const_data_ptr<int32_t>() : nullptr;
  const Geometry g{images.size(1), images.size(2), images.size(3), pad,
                   replicate_edge};
  switch (dtype) {
    case at::kFloat:
      Launch<float>(dense, rows, g, mean, std, out);
      break;
    case at::kDouble:
      Launch<double>(dense, rows, g, mean, std, out);
      break;
    case at::kBFloat16:
      Launch<c10::BFloat16>(dense, rows, g, mean, std, out);
      break;
    default:  // CheckAugment() lets nothing else pass
      Launch<c10::Half>(dense, rows, g, mean, std, out);
  }
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(altprop, CUDA, m) { m.impl("augment", &AugmentCuda); }

}  // namespace altprop::kernels
