#include "common/kernels/augment.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Exception.h>
#include <c10/util/Half.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <type_traits>
#include <vector>

#include "common/kernels/augment_check.h"

namespace altprop::kernels {
namespace {

// out[i] = (bytes[i] / 255 - mean) / std. Two divisions, as torchvision does
// it, each correctly rounded: the same bits whatever the vector width.
template <typename T>
[[gnu::always_inline]] inline void NormalizeLoop(const uint8_t* bytes,
                                                 int64_t size, T mean, T std,
                                                 T* out) {
  for (int64_t i = 0; i < size; ++i) {
    out[i] = (static_cast<T>(bytes[i]) / T{255} - mean) / std;
  }
}

template <typename T>
void NormalizeBaseline(const uint8_t* bytes, int64_t size, T mean, T std,
                       T* out) {
  NormalizeLoop(bytes, size, mean, std, out);
}

#if defined(__x86_64__)
template <typename T>
[[gnu::target("avx2")]] void NormalizeAvx2(const uint8_t* bytes, int64_t size,
                                           T mean, T std, T* out) {
  NormalizeLoop(bytes, size, mean, std, out);
}
#endif

// The widest that this processor runs. 512-bit divisions are no faster.
template <typename T>
auto ChooseNormalize() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return &NormalizeAvx2<T>;
#endif
  return &NormalizeBaseline<T>;
}

template <typename T>
void NormalizeBytes(const uint8_t* bytes, int64_t size, T mean, T std, T* out) {
  static const auto normalize = ChooseNormalize<T>();
  normalize(bytes, size, mean, std, out);
}

// Sixteen-bit floats: in float32, rounded at the end.
template <typename Half>
void NormalizeToHalf(const uint8_t* bytes, int64_t size, float mean, float std,
                     Half* out) {
  constexpr int64_t kChunk = 256;
  std::array<float, kChunk> wide;  // NOLINT: filled before it is read
  for (int64_t start = 0; start < size; start += kChunk) {
    const int64_t part = std::min(kChunk, size - start);
    NormalizeBytes(bytes + start, part, mean, std, wide.data());
    std::transform(wide.begin(), wide.begin() + part, out + start,
                   [](float value) { return static_cast<Half>(value); });
  }
}

struct Geometry {
  int64_t height, width, pad;
  bool replicate_edge;
};

// One row of `image` as the crop sees it: `out` gets columns left - pad and on.
void CropRow(const uint8_t* row, const Geometry& g, int64_t left, bool flip,
             uint8_t* out) {
  const uint8_t first = flip ? row[g.width - 1] : row[0];
  const uint8_t last = flip ? row[0] : row[g.width - 1];
  const int64_t from = left - g.pad;  // of the image's column at out[0]
  const int64_t before = std::clamp<int64_t>(-from, 0, g.width);
  const int64_t after = std::clamp<int64_t>(from, 0, g.width);
  const int64_t inside = g.width - before - after;
  std::memset(out, g.replicate_edge ? first : 0, before);
  if (flip) {
    std::reverse_copy(row + before, row + before + inside, out + before);
  } else {
    std::memcpy(out + before, row + after, inside);
  }
  std::memset(out + before + inside, g.replicate_edge ? last : 0, after);
}

// One channel of one image, flipped, padded and cropped.
void CropPlane(const uint8_t* plane, const Geometry& g, const int32_t* draw,
               uint8_t* out) {
  for (int64_t y = 0; y < g.height; ++y, out += g.width) {
    const int64_t wanted = y + draw[0] - g.pad;
    const int64_t row = std::clamp<int64_t>(wanted, 0, g.height - 1);
    if (row != wanted && !g.replicate_edge) {
      std::memset(out, 0, g.width);
    } else {
      CropRow(plane + row * g.width, g, draw[1], draw[2] != 0, out);
    }
  }
}

template <typename T>
void AugmentPlanes(const at::Tensor& images, const int32_t* draws,
                   const Geometry& g, at::ArrayRef<double> mean,
                   at::ArrayRef<double> std, at::Tensor& out) {
  using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const int64_t channels = images.size(1);
  const int64_t pixels = g.height * g.width;
  const auto* bytes = images.const_data_ptr<uint8_t>();
  T* const values = out.mutable_data_ptr<T>();
  const auto run = [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> cropped(draws == nullptr ? 0 : pixels);
    for (int64_t plane = begin; plane < end; ++plane) {
      const uint8_t* source = bytes + plane * pixels;
      if (draws != nullptr) {
        CropPlane(source, g, draws + 3 * (plane / channels), cropped.data());
        source = cropped.data();
      }
      const auto m = static_cast<Wide>(mean[plane % channels]);
      const auto s = static_cast<Wide>(std[plane % channels]);
      if constexpr (std::is_same_v<T, Wide>) {
        NormalizeBytes<T>(source, pixels, m, s, values + plane * pixels);
      } else {
        NormalizeToHalf<T>(source, pixels, m, s, values + plane * pixels);
      }
    }
  };
  constexpr int64_t kGrain = 32768;  // pixels worth a thread: some 10 us
  at::parallel_for(0, images.size(0) * channels,
                   std::max<int64_t>(1, kGrain / pixels), run);
}

at::Tensor AugmentCpu(const at::Tensor& images,
                      const std::optional<at::Tensor>& draws, int64_t pad,
                      bool replicate_edge, at::ArrayRef<double> mean,
                      at::ArrayRef<double> std, at::ScalarType dtype) {
  CheckAugment(images, draws, pad, mean, std, dtype);
  at::Tensor out = at::empty(images.sizes(), images.options().dtype(dtype));
  if (out.numel() == 0) return out;
  const at::Tensor dense = images.contiguous();
  const at::Tensor dense_draws =
      draws.has_value() ? draws->contiguous() : at::Tensor();
  const int32_t* rows =
      draws.has_value() ? dense_draws.const_data_ptr<int32_t>() : nullptr;
  const Geometry g{images.size(2), images.size(3), pad, replicate_edge};
  switch (dtype) {
    case at::kFloat:
      AugmentPlanes<float>(dense, rows, g, mean, std, out);
      break;
    case at::kDouble:
      AugmentPlanes<double>(dense, rows, g, mean, std, out);
      break;
    case at::kBFloat16:
      AugmentPlanes<c10::BFloat16>(dense, rows, g, mean, std, out);
      break;
    default:  // CheckAugment() lets nothing else pass
      AugmentPlanes<c10::Half>(dense, rows, g, mean, std, out);
  }
  return out;
}

using AugmentFunction = at::Tensor(const at::Tensor&,
                                   const std::optional<at::Tensor>&, int64_t,
                                   bool, at::ArrayRef<double>,
                                   at::ArrayRef<double>, at::ScalarType);

}  // namespace

at::Tensor Augment(const at::Tensor& images, const at::Tensor& draws,
                   int64_t pad, bool replicate_edge, at::ArrayRef<double> mean,
                   at::ArrayRef<double> std, at::ScalarType dtype) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("altprop::augment", "")
                             .typed<AugmentFunction>();
  return op.call(images, draws.defined() ? std::optional(draws) : std::nullopt,
                 pad, replicate_edge, mean, std, dtype);
}

at::Tensor Normalize(const at::Tensor& images, at::ArrayRef<double> mean,
                     at::ArrayRef<double> std, at::ScalarType dtype) {
  return Augment(images, at::Tensor(), /*pad=*/0, /*replicate_edge=*/false,
                 mean, std, dtype);
}

TORCH_LIBRARY_FRAGMENT(altprop, m) {
  m.def(
      "augment(Tensor images, Tensor? draws, int pad, bool replicate_edge, "
      "float[] mean, float[] std, ScalarType dtype) -> Tensor");
}

TORCH_LIBRARY_IMPL(altprop, CPU, m) { m.impl("augment", &AugmentCpu); }

}  // namespace altprop::kernels
