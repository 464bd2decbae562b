// altprop::threshold on CUDA: one thread per unit, the functions of
// threshold_math.h.
#include <algorithm>
#include <cstdint>

#include "ATen/core/Tensor.h"
#include "ATen/cuda/CUDAContext.h"
#include "ATen/ops/empty_like.h"
#include "c10/cuda/CUDAException.h"
#include "c10/cuda/CUDAGuard.h"
#include "c10/util/BFloat16.h"
#include "c10/util/Half.h"
#include "ftprop/threshold_check.h"
#include "ftprop/threshold_select.h"
#include "torch/library.h"

namespace altprop::ftprop {
namespace {

template <typename T, typename Wide, typename F>
__global__ void ForwardKernel(F f, int64_t size, const T* x, T* out) {
  const int64_t step = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < size;
       i += step) {
    out[i] = static_cast<T>(f(static_cast<Wide>(x[i])));
  }
}

template <typename T, typename Wide, typename F>
__global__ void BackwardKernel(F f, int64_t size, const T* x, const T* g,
                               T* out) {
  const int64_t step = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < size;
       i += step) {
    out[i] =
        static_cast<T>(f(static_cast<Wide>(x[i]), static_cast<Wide>(g[i])));
  }
}

constexpr int64_t kThreads = 256;

int64_t Blocks(int64_t size) {
  constexpr int64_t kMostBlocks = 65536;
  return std::min((size + kThreads - 1) / kThreads, kMostBlocks);
}

// Function objects: what SelectForward() and SelectBackward() call with the
// unit's function.
template <typename T, typename Wide>
struct Forward {
  const at::Tensor& in;
  const at::Tensor& out;
  template <typename F>
  void operator()(const F& f) const {
    ForwardKernel<T, Wide>
        <<<Blocks(in.numel()), kThreads, 0, at::cuda::getCurrentCUDAStream()>>>(
            f, in.numel(), in.const_data_ptr<T>(), out.mutable_data_ptr<T>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
};

template <typename T, typename Wide>
struct Backward {
  const at::Tensor& in;
  const at::Tensor& g;
  const at::Tensor& out;
  template <typename F>
  void operator()(const F& f) const {
    BackwardKernel<T, Wide>
        <<<Blocks(in.numel()), kThreads, 0, at::cuda::getCurrentCUDAStream()>>>(
            f, in.numel(), in.const_data_ptr<T>(), g.const_data_ptr<T>(),
            out.mutable_data_ptr<T>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
};

at::Tensor ThresholdCuda(const at::Tensor& x, c10::string_view nonlin,
                         c10::string_view rule, bool scaled,
                         bool sste_v2_as_coded) {
  const Threshold t = ReadThreshold(nonlin, rule, scaled, sste_v2_as_coded);
  CheckFloating(x);
  const c10::cuda::CUDAGuard guard(x.device());
  const at::Tensor in = Dense(x);
  const at::Tensor out = at::empty_like(in);
  if (in.numel() == 0) return out;
  const Nonlinearity& n = t.nonlinearity;
  switch (x.scalar_type()) {
    case at::kDouble:
      SelectForward<double>(n, Forward<double, double>{in, out});
      break;
    case at::kFloat:
      SelectForward<float>(n, Forward<float, float>{in, out});
      break;
    case at::kBFloat16:
      SelectForward<float>(n, Forward<c10::BFloat16, float>{in, out});
      break;
    default:  // CheckFloating() lets nothing else pass
      SelectForward<float>(n, Forward<c10::Half, float>{in, out});
  }
  return out;
}

at::Tensor ThresholdBackwardCuda(const at::Tensor& grad, const at::Tensor& x,
                                 c10::string_view nonlin, c10::string_view rule,
                                 bool scaled, bool sste_v2_as_coded) {
  const Threshold t = ReadThreshold(nonlin, rule, scaled, sste_v2_as_coded);
  CheckGradient(grad, x);
  const c10::cuda::CUDAGuard guard(x.device());
  const at::Tensor in = Dense(x);
  const at::Tensor out = at::empty_like(in);
  if (in.numel() == 0) return out;
  const at::Tensor g =
      grad.strides() == in.strides() ? grad : at::empty_like(in).copy_(grad);
  const double n = Samples(grad);
  switch (x.scalar_type()) {
    case at::kDouble:
      SelectBackward<double>(t, n, Backward<double, double>{in, g, out});
      break;
    case at::kFloat:
      SelectBackward<float>(t, n, Backward<float, float>{in, g, out});
      break;
    case at::kBFloat16:
      SelectBackward<float>(t, n, Backward<c10::BFloat16, float>{in, g, out});
      break;
    default:  // CheckFloating() lets nothing else pass
      SelectBackward<float>(t, n, Backward<c10::Half, float>{in, g, out});
  }
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(altprop, CUDA, m) {
  m.impl("threshold", &ThresholdCuda);
  m.impl("threshold_backward", &ThresholdBackwardCuda);
}

}  // namespace altprop::ftprop
