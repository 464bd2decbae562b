#include "eqprop/edge.h"

#include "ATen/ops/avg_pool2d.h"
#include "ATen/ops/avg_pool2d_backward.h"
#include "ATen/ops/convolution.h"
#include "ATen/ops/convolution_backward.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/max_pool2d_with_indices.h"
#include "ATen/ops/max_pool2d_with_indices_backward.h"
#include "ATen/ops/mm.h"

namespace altprop::eqprop {
namespace {

constexpr int64_t kWindow = 2;

std::tuple<at::Tensor, at::Tensor, at::Tensor> ConvolutionBackward(
    const Edge& edge, const at::Tensor& weight, const at::Tensor& e,
    const at::Tensor& below, std::array<bool, 3> wanted) {
  return at::convolution_backward(
      e, below, weight, c10::nullopt, {edge.stride, edge.stride},
      {edge.padding, edge.padding}, {1, 1}, /*transposed=*/false, {0, 0},
      /*groups=*/1, wanted);
}

}  // namespace

at::Tensor Preactivation(const Edge& edge, const at::Tensor& weight,
                         const at::Tensor& bias, const at::Tensor& below) {
  if (edge.convolution()) {
    return at::convolution(
        below, weight,
        bias.defined() ? c10::optional<at::Tensor>(bias) : c10::nullopt,
        {edge.stride, edge.stride}, {edge.padding, edge.padding}, {1, 1},
        /*transposed=*/false, {0, 0}, /*groups=*/1);
  }
  const at::Tensor flat = below.flatten(1);
  return bias.defined() ? at::linear(flat, weight, bias)
                        : at::mm(flat, weight.t());
}

Pooled PoolForward(Pool pool, const at::Tensor& z) {
  switch (pool) {
    case Pool::kNone:
      return {z, z, {}};
    case Pool::kMax: {
      const auto pooled = at::max_pool2d_with_indices(z, kWindow, kWindow);
      return {std::get<0>(pooled), z, std::get<1>(pooled)};
    }
    case Pool::kAverage:
      return {at::avg_pool2d(z, kWindow, kWindow), z, {}};
  }
  return {};
}

at::Tensor Unpool(Pool pool, const at::Tensor& v, const Pooled& at) {
  switch (pool) {
    case Pool::kNone:
      return v;
    case Pool::kMax:
      return at::max_pool2d_with_indices_backward(
          v, at.z, kWindow, kWindow, /*padding=*/0, /*dilation=*/1,
          /*ceil_mode=*/false, at.indices);
    case Pool::kAverage:
      return at::avg_pool2d_backward(
          v, at.z, kWindow, kWindow, /*padding=*/0, /*ceil_mode=*/false,
          /*count_include_pad=*/true, /*divisor_override=*/c10::nullopt);
  }
  return {};
}

at::Tensor Gather(Pool pool, const at::Tensor& e, const Pooled& at) {
  switch (pool) {
    case Pool::kNone:
      return e;
    case Pool::kMax:
      return e.flatten(2)
          .gather(2, at.indices.flatten(2))
          .view(at.indices.sizes());
    case Pool::kAverage:
      return at::avg_pool2d(e, kWindow, kWindow);
  }
  return {};
}

at::Tensor Adjoint(const Edge& edge, const at::Tensor& weight,
                   const at::Tensor& e, const at::Tensor& below) {
  if (edge.convolution()) {
    return std::get<0>(
        ConvolutionBackward(edge, weight, e, below, {true, false, false}));
  }
  return at::mm(e, weight).view(below.sizes());
}

at::Tensor WeightGradient(const Edge& edge, const at::Tensor& below,
                          const at::Tensor& e) {
  if (edge.convolution()) {
    // Contiguous, as the weight is, however `e` and `below` lie.
    return std::get<1>(ConvolutionBackward(edge, edge.weight, e, below,
                                           {false, true, false}))
        .contiguous();
  }
  return at::mm(e.t(), below.flatten(1));
}

at::Tensor BiasGradient(const at::Tensor& e) {
  return e.dim() == 4 ? e.sum({0, 2, 3}) : e.sum(0);
}

at::Tensor PerSample(const at::Tensor& per_sample, const at::Tensor& like) {
  std::vector<int64_t> shape(like.dim(), 1);
  shape[0] = per_sample.numel();
  return per_sample.view(shape);
}

}  // namespace altprop::eqprop
