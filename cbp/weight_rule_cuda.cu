// The operators of weight_rule.h on CUDA: one thread per weight, one block per
// stretch of a layer, sums by block and then in the blocks' order.
#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cbp/constraint.h"
#include "cbp/levels.h"
#include "cbp/weight_rule.h"
#include "cbp/weight_rule_check.h"

namespace altprop::cbp {
namespace {

constexpr int kThreads = 256;
constexpr int kPerThread = 8;
constexpr int64_t kStretch = kThreads * kPerThread;

// By value to the kernel: no copy to wait for. A launch takes so many layers.
constexpr int kMostLayers = 64;
template <typename T>
struct Layers {
  int count;
  int64_t begin[kMostLayers + 1];  // of the weights, first one first
  int64_t block[kMostLayers + 1];  // the first block of each layer
  const T* gradient[kMostLayers];
};

template <typename T>
struct Constants {
  T inner, outer;  // d u / s; no gate: inf
  T learning_rate, weight_decay, momentum;
};

template <Mode kMode, typename T>
__device__ T Upper(T w, T s) {
  constexpr LevelSet kSet = LevelsOf(kMode);
  T f = static_cast<T>(kSet.f[0]);
#pragma unroll
  for (int k = 0; k + 1 < kSet.size; ++k) {
    f +=
        w >= static_cast<T>(kSet.b[k]) * s ? static_cast<T>(kSet.gap(k)) : T{0};
  }
  return f;
}

template <Mode kMode, typename T>
__device__ T Lower(T w, T s) {
  constexpr LevelSet kSet = LevelsOf(kMode);
  T f = static_cast<T>(kSet.f[0]);
#pragma unroll
  for (int k = 0; k + 1 < kSet.size; ++k) {
    f += w > static_cast<T>(kSet.b[k]) * s ? static_cast<T>(kSet.gap(k)) : T{0};
  }
  return f;
}

template <typename T>
struct Penalty {
  T y, cs, slope;
};

// As weight_kernel_inl.h.
template <Mode kMode, typename T>
__device__ Penalty<T> Evaluate(T w, T s, T inner, T outer) {
  constexpr LevelSet kSet = LevelsOf(kMode);
  const T e = w - Upper<kMode>(w, s) * s;
  const T y = T{2} * std::abs(e);
  // In the order of the plain form: (s d) u.
  const T gap_inner = s * static_cast<T>(kSet.gap(kSet.size / 2 - 1));
  const T gap_outer = s * static_cast<T>(kSet.gap(0));
  const T edge = kMode == Mode::kTwoBitShift && std::abs(w) >= T{0.5} * s
                     ? gap_outer * outer
                     : gap_inner * inner;
  const bool inside = w >= -s && w < s;
  const bool rising = e >= T{0};
  const bool above = y > edge;
  const bool flat = inside && (above || (rising && y >= edge));
  return {y, inside && above ? T{0} : y, flat ? T{0} : (rising ? T{2} : T{-2})};
}

template <typename T>
__device__ T ClipToOne(T x) {
  const T low = x < T{-1} ? T{-1} : x;
  return low > T{1} ? T{1} : low;
}

// Which layer a block works on, by bisection.
template <typename T>
__device__ int LayerOf(const Layers<T>& layers, int64_t block) {
  int low = 0, high = layers.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (layers.block[middle] <= block) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// The sum over the block's threads, in thread 0; always the same tree.
__device__ double BlockSum(double value) {
  __shared__ double sums[kThreads];
  sums[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  const double total = sums[0];
  __syncthreads();
  return total;
}

// No contraction: the products are rounded as on the CPU.
__device__ float Multiply(float a, float b) { return __fmul_rn(a, b); }
__device__ double Multiply(double a, double b) { return __dmul_rn(a, b); }

template <Mode kMode, typename T>
__global__ void UpdateKernel(Layers<T> layers, const T* scales, T* w,
                             const T* lambda, T* v, T* q, Constants<T> c,
                             int64_t first_block, double* sums) {
  const int layer = LayerOf(layers, blockIdx.x);
  const T s = scales[layer];
  const int64_t begin =
      layers.begin[layer] + (blockIdx.x - layers.block[layer]) * kStretch;
  const int64_t end = min(begin + kStretch, layers.begin[layer + 1]);
  const T* gradient = layers.gradient[layer] - layers.begin[layer];
  double con = 0, distance = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const T old = w[i];
    const T multiplier = lambda[i];
    const Penalty<T> penalty = Evaluate<kMode>(old, s, c.inner, c.outer);
    con += static_cast<double>(Multiply(multiplier, penalty.cs));
    const T d = ClipToOne(gradient[i] + Multiply(multiplier, penalty.slope)) +
                Multiply(old, c.weight_decay);
    const T momentum = Multiply(v[i], c.momentum) + d;
    const T next = ClipToOne(old - Multiply(momentum, c.learning_rate));
    const T upper = Upper<kMode>(next, s);
    v[i] = momentum;
    w[i] = next;
    q[i] = Multiply((upper + Lower<kMode>(next, s)) * T{0.5}, s);
    distance += static_cast<double>(T{2} * std::abs(next - Multiply(upper, s)));
  }
  const double con_sum = BlockSum(con);
  const double distance_sum = BlockSum(distance);
  if (threadIdx.x == 0) {
    sums[2 * (first_block + blockIdx.x)] = con_sum;
    sums[2 * (first_block + blockIdx.x) + 1] = distance_sum;
  }
}

template <Mode kMode, typename T>
__global__ void AscendKernel(Layers<T> layers, const T* scales, const T* w,
                             T* lambda, T* m, T* v, T inner, T outer, T step,
                             T root, int64_t first_block, double* sums) {
  const int layer = LayerOf(layers, blockIdx.x);
  const T s = scales[layer];
  const int64_t begin =
      layers.begin[layer] + (blockIdx.x - layers.block[layer]) * kStretch;
  const int64_t end = min(begin + kStretch, layers.begin[layer + 1]);
  double distance = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const Penalty<T> penalty = Evaluate<kMode>(w[i], s, inner, outer);
    const T first = Multiply(m[i], static_cast<T>(kBeta1)) -
                    Multiply(penalty.cs, static_cast<T>(1 - kBeta1));
    const T second =
        Multiply(v[i], static_cast<T>(kBeta2)) +
        Multiply(Multiply(penalty.cs, penalty.cs), static_cast<T>(1 - kBeta2));
    m[i] = first;
    v[i] = second;
    lambda[i] -= Multiply(
        first / (std::sqrt(second) / root + static_cast<T>(kEpsilon)), step);
    distance += static_cast<double>(penalty.y);
  }
  const double total = BlockSum(distance);
  if (threadIdx.x == 0) sums[first_block + blockIdx.x] = total;
}

template <Mode kMode, typename T>
__global__ void QuantizeKernel(Layers<T> layers, const T* scales, const T* w,
                               T* q) {
  const int layer = LayerOf(layers, blockIdx.x);
  const T s = scales[layer];
  const int64_t begin =
      layers.begin[layer] + (blockIdx.x - layers.block[layer]) * kStretch;
  const int64_t end = min(begin + kStretch, layers.begin[layer + 1]);
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    q[i] =
        Multiply((Upper<kMode>(w[i], s) + Lower<kMode>(w[i], s)) * T{0.5}, s);
  }
}

int64_t BlocksOf(int64_t size) { return (size + kStretch - 1) / kStretch; }

int64_t AllBlocks(at::ArrayRef<int64_t> offsets) {
  int64_t blocks = 0;
  for (size_t k = 0; k + 1 < offsets.size(); ++k) {
    blocks += BlocksOf(offsets[k + 1] - offsets[k]);
  }
  return blocks;
}

// Calls `launch`(layers, number of the first, blocks, blocks before) for groups
// of layers that a launch takes.
template <typename T, typename Launch>
void ForGroups(at::ArrayRef<int64_t> offsets, at::TensorList gradients,
               const Launch& launch) {
  const auto layers = static_cast<int64_t>(offsets.size()) - 1;
  int64_t before = 0;
  for (int64_t first = 0; first < layers; first += kMostLayers) {
    Layers<T> group{};
    group.count =
        static_cast<int>(std::min<int64_t>(kMostLayers, layers - first));
    for (int k = 0; k < group.count; ++k) {
      group.begin[k] = offsets[first + k];
      group.block[k + 1] = group.block[k] + BlocksOf(offsets[first + k + 1] -
                                                     offsets[first + k]);
      if (!gradients.empty()) {
        group.gradient[k] = gradients[first + k].template const_data_ptr<T>();
      }
    }
    group.begin[group.count] = offsets[first + group.count];
    const int64_t blocks = group.block[group.count];
    if (blocks > 0) launch(group, first, blocks, before);
    before += blocks;
  }
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

template <typename T>
T Edge(double u) {
  return u >= 1 ? std::numeric_limits<T>::infinity() : static_cast<T>(u);
}

// Calls `with` with the mode as a constant.
template <typename With>
void ForMode(int64_t mode, const With& with) {
  switch (static_cast<Mode>(mode)) {
    case Mode::kBinary:
      return with(std::integral_constant<Mode, Mode::kBinary>());
    case Mode::kTernary:
      return with(std::integral_constant<Mode, Mode::kTernary>());
    case Mode::kOneBitShift:
      return with(std::integral_constant<Mode, Mode::kOneBitShift>());
    case Mode::kTwoBitShift:
      return with(std::integral_constant<Mode, Mode::kTwoBitShift>());
  }
}

template <typename T>
at::Tensor UpdateTyped(const at::Tensor& w, at::TensorList gradients,
                       const at::Tensor& lambda, const at::Tensor& v,
                       const at::Tensor& q, const at::Tensor& scales,
                       at::ArrayRef<int64_t> offsets, int64_t mode,
                       const WeightStep& step) {
  const at::Tensor sums =
      at::zeros({AllBlocks(offsets), 2}, w.options().dtype(at::kDouble));
  const Constants<T> c = {
      Edge<T>(step.u), Edge<T>(step.u), static_cast<T>(step.learning_rate),
      static_cast<T>(step.weight_decay), static_cast<T>(step.momentum)};
  ForGroups<T>(
      offsets, gradients,
      [&](const Layers<T>& group, int64_t first, int64_t blocks,
          int64_t before) {
        ForMode(mode, [&](auto constant) {
          UpdateKernel<decltype(constant)::value, T>
              <<<blocks, kThreads, 0, at::cuda::getCurrentCUDAStream()>>>(
                  group, scales.const_data_ptr<T>() + first,
                  w.mutable_data_ptr<T>(), lambda.const_data_ptr<T>(),
                  v.mutable_data_ptr<T>(), q.mutable_data_ptr<T>(), c, before,
                  sums.mutable_data_ptr<double>());
        });
      });
  return sums.sum(0);
}

at::Tensor UpdateWeightsCuda(const at::Tensor& w, at::TensorList gradients,
                             const at::Tensor& lambda, const at::Tensor& v,
                             const at::Tensor& q, const at::Tensor& scales,
                             at::IntArrayRef offsets, int64_t mode, double u,
                             double learning_rate, double weight_decay,
                             double momentum) {
  CheckMode(mode);
  CheckFlat({w, lambda, v, q}, scales, offsets);
  CheckGradients(gradients, w, offsets);
  const c10::cuda::CUDAGuard guard(w.device());
  const WeightStep step = {u, learning_rate, weight_decay, momentum};
  return w.scalar_type() == at::kFloat
             ? UpdateTyped<float>(w, gradients, lambda, v, q, scales, offsets,
                                  mode, step)
             : UpdateTyped<double>(w, gradients, lambda, v, q, scales, offsets,
                                   mode, step);
}

template <typename T>
at::Tensor AscendTyped(const at::Tensor& w, const at::Tensor& lambda,
                       const at::Tensor& m, const at::Tensor& v,
                       const at::Tensor& scales, at::ArrayRef<int64_t> offsets,
                       int64_t mode, double u, double lr_lambda, double t) {
  const at::Tensor sums =
      at::zeros({AllBlocks(offsets)}, w.options().dtype(at::kDouble));
  const auto step = static_cast<T>(lr_lambda / (1 - std::pow(kBeta1, t)));
  const auto root = static_cast<T>(std::sqrt(1 - std::pow(kBeta2, t)));
  ForGroups<T>(
      offsets, {},
      [&](const Layers<T>& group, int64_t first, int64_t blocks,
          int64_t before) {
        ForMode(mode, [&](auto constant) {
          AscendKernel<decltype(constant)::value, T>
              <<<blocks, kThreads, 0, at::cuda::getCurrentCUDAStream()>>>(
                  group, scales.const_data_ptr<T>() + first,
                  w.const_data_ptr<T>(), lambda.mutable_data_ptr<T>(),
                  m.mutable_data_ptr<T>(), v.mutable_data_ptr<T>(), Edge<T>(u),
                  Edge<T>(u), step, root, before,
                  sums.mutable_data_ptr<double>());
        });
      });
  return sums.sum(0, /*keepdim=*/true);
}

at::Tensor UpdateMultipliersCuda(const at::Tensor& w, const at::Tensor& lambda,
                                 const at::Tensor& m, const at::Tensor& v,
                                 const at::Tensor& scales,
                                 at::IntArrayRef offsets, int64_t mode,
                                 double u, double lr_lambda, int64_t t) {
  CheckMode(mode);
  CheckFlat({w, lambda, m, v}, scales, offsets);
  TORCH_CHECK(t >= 1, "cbp: multiplier update ", t, ", expected at least 1");
  const c10::cuda::CUDAGuard guard(w.device());
  const auto count = static_cast<double>(t);
  return w.scalar_type() == at::kFloat
             ? AscendTyped<float>(w, lambda, m, v, scales, offsets, mode, u,
                                  lr_lambda, count)
             : AscendTyped<double>(w, lambda, m, v, scales, offsets, mode, u,
                                   lr_lambda, count);
}

template <typename T>
void QuantizeTyped(const at::Tensor& w, const at::Tensor& q,
                   const at::Tensor& scales, at::ArrayRef<int64_t> offsets,
                   int64_t mode) {
  ForGroups<T>(
      offsets, {},
      [&](const Layers<T>& group, int64_t first, int64_t blocks, int64_t) {
        ForMode(mode, [&](auto constant) {
          QuantizeKernel<decltype(constant)::value, T>
              <<<blocks, kThreads, 0, at::cuda::getCurrentCUDAStream()>>>(
                  group, scales.const_data_ptr<T>() + first,
                  w.const_data_ptr<T>(), q.mutable_data_ptr<T>());
        });
      });
}

void QuantizeCuda(const at::Tensor& w, const at::Tensor& q,
                  const at::Tensor& scales, at::IntArrayRef offsets,
                  int64_t mode) {
  CheckMode(mode);
  CheckFlat({w, q}, scales, offsets);
  const c10::cuda::CUDAGuard guard(w.device());
  if (w.scalar_type() == at::kFloat) {
    QuantizeTyped<float>(w, q, scales, offsets, mode);
  } else {
    QuantizeTyped<double>(w, q, scales, offsets, mode);
  }
}

}  // namespace

TORCH_LIBRARY_IMPL(altprop, CUDA, m) {
  m.impl("cbp_update_weights", &UpdateWeightsCuda);
  m.impl("cbp_update_multipliers", &UpdateMultipliersCuda);
  m.impl("cbp_quantize", &QuantizeCuda);
}

}  // namespace altprop::cbp
