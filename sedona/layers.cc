#include "sedona/layers.h"

#include <cmath>

#include "ATen/TensorOperators.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/leaky_relu.h"
#include "ATen/ops/relu.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "common/kernels/batch_norm.h"
#include "common/logging.h"

namespace altprop::sedona {
namespace {

constexpr double kSlope = 0.01;

// oneDNN's weight gradient of a strided 1x1 convolution reads astray on images
// whose channels lie together when these are no multiple of 16 (PyTorch 2.11
// crashes too). Such a convolution is one of every stride-th pixel.
at::Tensor EveryPixelThatCounts(const ConvNorm& layer, const at::Tensor& x) {
  const bool astray = layer.weight.size(2) == 1 && layer.stride > 1 &&
                      layer.weight.size(1) % 16 != 0 &&
                      x.is_contiguous(at::MemoryFormat::ChannelsLast);
  if (!astray) return x;
  return x.slice(2, 0, x.size(2), layer.stride)
      .slice(3, 0, x.size(3), layer.stride)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor Convolve(const ConvNorm& layer, const at::Tensor& x) {
  const at::Tensor pixels = EveryPixelThatCounts(layer, x);
  const int64_t stride = pixels.is_same(x) ? layer.stride : 1;
  return at::conv2d(pixels, layer.weight, {}, stride, layer.padding,
                    /*dilation=*/1, layer.groups);
}

}  // namespace

at::Tensor Activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kLeakyRelu:
      return at::leaky_relu(x, kSlope);
  }
  return x;
}

ConvNorm MakeConvNorm(const ConvShape& shape, Activation activation) {
  ConvNorm layer;
  layer.weight = at::zeros(
      {shape.out, shape.in / shape.groups, shape.kernel, shape.kernel});
  layer.stride = shape.stride;
  layer.padding = shape.kernel / 2;
  layer.groups = shape.groups;
  layer.norm = models::MakeBatchNorm(shape.out);
  layer.activation = activation;
  return layer;
}

at::Tensor Arrange(const at::Tensor& x, const Mode& mode) {
  return mode.differentiable_once ? x.contiguous(at::MemoryFormat::ChannelsLast)
                                  : x;
}

at::Tensor Normalise(const models::BatchNorm& norm, const at::Tensor& x,
                     bool relu, const at::Tensor& shortcut, const Mode& mode) {
  if (mode.differentiable_once) {
    if (mode.training) {
      // A handle of its own: the layer is const, what it counts is not.
      at::Tensor batches = norm.num_batches_tracked;
      batches.add_(1);
    }
    return kernels::BatchNormAct(
        x, {norm.weight, norm.bias, norm.running_mean, norm.running_var},
        shortcut,
        {.training = mode.training,
         .momentum = norm.momentum,
         .eps = norm.eps,
         .relu = relu});
  }
  at::Tensor y = models::Forward(norm, x, mode.training);
  if (shortcut.defined()) y = y + shortcut;
  return relu ? at::relu(y) : y;
}

at::Tensor Forward(const ConvNorm& layer, const at::Tensor& x,
                   const Mode& mode) {
  const at::Tensor y =
      Normalise(layer.norm, Convolve(layer, x),
                layer.activation == Activation::kRelu, at::Tensor(), mode);
  return layer.activation == Activation::kLeakyRelu
             ? Activate(y, layer.activation)
             : y;
}

at::Tensor ForwardInto(const ConvNorm& layer, const at::Tensor& x,
                       const at::Tensor& shortcut, const Mode& mode) {
  CHECK(layer.activation == Activation::kNone);
  return Normalise(layer.norm, Convolve(layer, x), /*relu=*/true, shortcut,
                   mode);
}

void Visit(ConvNorm& layer, const std::string& conv, const std::string& norm,
           TensorVisitor visit) {
  visit(absl::StrCat(conv, ".weight"), layer.weight, true);
  Visit(layer.norm, norm, visit);
}

models::Linear ZeroLinear(int64_t in, int64_t out) {
  return {at::zeros({out, in}), at::zeros({out})};
}

void Visit(models::Linear& layer, const std::string& name,
           TensorVisitor visit) {
  visit(absl::StrCat(name, ".weight"), layer.weight, true);
  visit(absl::StrCat(name, ".bias"), layer.bias, true);
}

void Visit(models::BatchNorm& layer, const std::string& name,
           TensorVisitor visit) {
  visit(absl::StrCat(name, ".weight"), layer.weight, true);
  visit(absl::StrCat(name, ".bias"), layer.bias, true);
  visit(absl::StrCat(name, ".running_mean"), layer.running_mean, false);
  visit(absl::StrCat(name, ".running_var"), layer.running_var, false);
  visit(absl::StrCat(name, ".num_batches_tracked"), layer.num_batches_tracked,
        false);
}

void InitialiseTensor(at::Tensor& parameter, Activation nonlin,
                      at::Generator& generator) {
  if (parameter.dim() < 2) return;
  const double a = nonlin == Activation::kLeakyRelu ? kSlope : 0;
  const auto fan_in =
      static_cast<double>(parameter.numel() / parameter.size(0));
  parameter.normal_(0, std::sqrt(2 / ((1 + a * a) * fan_in)), generator);
}

}  // namespace altprop::sedona
