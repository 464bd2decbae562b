#include "common/models/layers.h"

#include <optional>
#include <utility>
#include <vector>

#include "ATen/ops/batch_norm.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "common/kernels/batch_norm.h"
#include "common/models/init.h"

namespace altprop::models {
namespace {

std::optional<at::Tensor> Optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

std::string Name(absl::string_view module, absl::string_view tensor) {
  return module.empty() ? std::string(tensor)
                        : absl::StrCat(module, ".", tensor);
}

void CountBatch(const BatchNorm& layer, bool training) {
  if (!training) return;
  // A handle of its own: the layer is const, what it counts is not.
  at::Tensor batches = layer.num_batches_tracked;
  batches.add_(1);
}

}  // namespace

Linear MakeLinear(int64_t in, int64_t out, bool bias,
                  at::Generator& generator) {
  Linear layer;
  layer.weight = KaimingUniformWeight({out, in}, generator);
  if (bias) layer.bias = KaimingUniformBias(layer.weight, generator);
  return layer;
}

Conv2d MakeConv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                  int64_t padding, bool bias, at::Generator& generator) {
  Conv2d layer;
  layer.weight = KaimingUniformWeight({out, in, kernel, kernel}, generator);
  if (bias) layer.bias = KaimingUniformBias(layer.weight, generator);
  layer.stride = stride;
  layer.padding = padding;
  return layer;
}

BatchNorm MakeBatchNorm(int64_t channels, double eps, double momentum) {
  BatchNorm layer;
  layer.weight = at::ones({channels});
  layer.bias = at::zeros({channels});
  layer.running_mean = at::zeros({channels});
  layer.running_var = at::ones({channels});
  layer.num_batches_tracked = at::zeros({}, at::kLong);
  layer.eps = eps;
  layer.momentum = momentum;
  return layer;
}

at::Tensor Forward(const Linear& layer, const at::Tensor& x) {
  return at::linear(x, layer.weight, Optional(layer.bias));
}

at::Tensor Forward(const Conv2d& layer, const at::Tensor& x) {
  return at::conv2d(x, layer.weight, Optional(layer.bias), layer.stride,
                    layer.padding);
}

at::Tensor Forward(const BatchNorm& layer, const at::Tensor& x, bool training) {
  CountBatch(layer, training);
  return at::batch_norm(x, layer.weight, layer.bias, layer.running_mean,
                        layer.running_var, training, layer.momentum, layer.eps,
                        /*cudnn_enabled=*/true);
}

at::Tensor ForwardRelu(const BatchNorm& layer, const at::Tensor& x,
                       bool training, const at::Tensor& shortcut) {
  CountBatch(layer, training);
  return kernels::BatchNormAct(
      x, {layer.weight, layer.bias, layer.running_mean, layer.running_var},
      shortcut,
      {.training = training,
       .momentum = layer.momentum,
       .eps = layer.eps,
       .relu = true});
}

void StateDict::Add(absl::string_view name, const Linear& layer) {
  AddParameter(Name(name, "weight"), layer.weight);
  if (layer.bias.defined()) AddParameter(Name(name, "bias"), layer.bias);
}

void StateDict::Add(absl::string_view name, const Conv2d& layer) {
  AddParameter(Name(name, "weight"), layer.weight);
  if (layer.bias.defined()) AddParameter(Name(name, "bias"), layer.bias);
}

void StateDict::Add(absl::string_view name, const BatchNorm& layer) {
  AddParameter(Name(name, "weight"), layer.weight);
  AddParameter(Name(name, "bias"), layer.bias);
  AddBuffer(Name(name, "running_mean"), layer.running_mean);
  AddBuffer(Name(name, "running_var"), layer.running_var);
  AddBuffer(Name(name, "num_batches_tracked"), layer.num_batches_tracked);
}

void StateDict::AddParameter(std::string name, at::Tensor tensor) {
  entries_.emplace_back(name, tensor);
  parameters_.emplace_back(std::move(name), std::move(tensor));
}

void StateDict::AddBuffer(std::string name, at::Tensor tensor) {
  entries_.emplace_back(std::move(name), std::move(tensor));
}

void StateDict::ConvertTo(at::ScalarType dtype, at::Device device) {
  for (auto& [name, tensor] : entries_) {
    const at::ScalarType type =
        tensor.is_floating_point() ? dtype : tensor.scalar_type();
    tensor.set_data(tensor.detach().to(device, type));
  }
}

void StateDict::RequireGradients() {
  for (auto& [name, tensor] : parameters_) tensor.set_requires_grad(true);
}

}  // namespace altprop::models
