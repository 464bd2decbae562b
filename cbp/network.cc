#include "cbp/network.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "ATen/core/grad_mode.h"
#include "ATen/ops/adaptive_avg_pool2d.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/max_pool2d.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/relu.h"
#include "ATen/ops/zeros.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cbp/constraint.h"

namespace altprop::cbp {
namespace {

struct ModelFacts {
  Model model;
  const char* name;
  int64_t width, smallest;
};

constexpr std::array<ModelFacts, 6> kModels = {{
    {Model::kAlexNet, "alexnet", 64, 63},
    {Model::kResNet18, "resnet18", 64, 1},
    {Model::kResNet50, "resnet50", 64, 1},
    {Model::kGoogLeNet, "googlenet", 64, 15},
    {Model::kMnistCnn, "mnist_cnn", 32, 28},
    {Model::kResNet20, "resnet20", 16, 1},
}};

const ModelFacts& FactsOf(Model model) {
  return *std::find_if(kModels.begin(), kModels.end(),
                       [&](const ModelFacts& m) { return m.model == model; });
}

// Product operands in another type, and the result back.
at::Tensor In(const at::Tensor& tensor, at::ScalarType type) {
  return tensor.scalar_type() == type ? tensor : tensor.to(type);
}

// oneDNN's weight gradient of a 1x1 convolution with channels innermost writes
// beyond its buffers (2.11, AVX-512) where channels are no multiple of 16.
bool IsNarrowPointwise(const WeightLayer& layer) {
  const at::Tensor& w = layer.weight;
  return w.dim() == 4 && w.size(2) * w.size(3) == 1 &&
         (w.size(0) % 16 != 0 || w.size(1) % 16 != 0);
}

at::Tensor Leaf(const at::Tensor& view) {
  return view.detach().set_requires_grad(true);
}

}  // namespace

absl::string_view ModelName(Model model) { return FactsOf(model).name; }

absl::StatusOr<Model> ParseModel(absl::string_view text) {
  std::string names;
  for (const ModelFacts& facts : kModels) {
    if (text == facts.name) return facts.model;
    absl::StrAppend(&names, names.empty() ? "expected " : ", ", facts.name);
  }
  return absl::InvalidArgumentError(names);
}

int64_t DefaultWidth(Model model) { return FactsOf(model).width; }
int64_t SmallestImage(Model model) { return FactsOf(model).smallest; }

at::Tensor Constrained::View(const at::Tensor& buffer, size_t k) const {
  const std::vector<int64_t>& shape = shapes[k];
  const at::Tensor part =
      buffer.narrow(0, offsets[k], offsets[k + 1] - offsets[k]);
  if (!channels_last || shape.size() != 4) return part.view(shape);
  return part.view({shape[0], shape[2], shape[3], shape[1]})
      .permute({0, 3, 1, 2});
}

at::Tensor Constrained::Flatten(const at::Tensor& tensor, size_t k) const {
  const bool permuted = channels_last && shapes[k].size() == 4;
  return (permuted ? tensor.permute({0, 2, 3, 1}) : tensor)
      .contiguous()
      .view({-1});
}

Network::Network(const Architecture& architecture,
                 const NetworkOptions& options, at::Generator generator)
    : Network(BuildParts(architecture, std::move(generator)), options) {}

Network::Network(Parts parts, const NetworkOptions& options)
    : parts_(std::move(parts)), options_(options) {
  if (options_.device.is_cpu() &&
      std::any_of(parts_.layers.begin(), parts_.layers.end(),
                  IsNarrowPointwise)) {
    options_.channels_last = false;
  }
  last_use_.resize(parts_.nodes.size());
  for (size_t n = 0; n < parts_.nodes.size(); ++n) {
    for (const int input : parts_.nodes[n].inputs) {
      if (input >= 0) last_use_[input] = static_cast<int>(n);
    }
  }
  for (NormLayer& layer : parts_.norms) {
    models::BatchNorm& norm = layer.norm;
    for (at::Tensor* tensor :
         {&norm.weight, &norm.bias, &norm.running_mean, &norm.running_var}) {
      *tensor = tensor->to(options_.device, options_.dtype);
    }
    norm.num_batches_tracked = norm.num_batches_tracked.to(options_.device);
    norm.weight = Leaf(norm.weight);
    norm.bias = Leaf(norm.bias);
  }
  Flatten();
  UseQuantized(false);
}

// Moves the constrained weights into the flat buffer, and makes the leaves.
void Network::Flatten() {
  Constrained& c = constrained_;
  c.channels_last = options_.channels_last;
  c.offsets = {0};
  for (WeightLayer& layer : parts_.layers) {
    layer.weight = layer.weight.to(options_.device, options_.dtype);
    if (!layer.constrained()) continue;
    layer.flat = static_cast<int64_t>(c.names.size());
    c.names.push_back(layer.name);
    c.shapes.push_back(layer.weight.sizes().vec());
    c.offsets.push_back(c.offsets.back() + layer.weight.numel());
  }
  const auto like = at::dtype(options_.dtype).device(options_.device);
  c.w = at::empty({c.weights()}, like);
  for (at::Tensor* buffer :
       {&c.q, &c.lambda, &c.v, &c.exp_avg, &c.exp_avg_sq}) {
    *buffer = at::zeros({c.weights()}, like);
  }
  c.scales = at::ones({static_cast<int64_t>(c.size())}, like);
  for (WeightLayer& layer : parts_.layers) {
    if (layer.constrained()) {
      const at::Tensor view = c.View(c.w, layer.flat);
      view.copy_(layer.weight);
      layer.weight = view;
      plain_leaves_.push_back(Leaf(view));
      quantized_leaves_.push_back(Leaf(c.View(c.q, layer.flat)));
      continue;
    }
    if (options_.channels_last && layer.weight.dim() == 4) {
      layer.weight = layer.weight.contiguous(at::MemoryFormat::ChannelsLast);
    }
    layer.weight = Leaf(layer.weight);
    if (layer.bias.defined()) {
      layer.bias = Leaf(layer.bias.to(options_.device, options_.dtype));
    }
  }
}

void Network::UseQuantized(bool quantized) {
  quantized_ = quantized;
  for (WeightLayer& layer : parts_.layers) {
    layer.used = !layer.constrained() ? layer.weight
                 : quantized          ? quantized_leaves_[layer.flat]
                                      : plain_leaves_[layer.flat];
  }
}

absl::Status Network::SetScales() {
  const at::NoGradGuard no_grad;
  for (size_t k = 0; k < constrained_.size(); ++k) {
    // In the layer's own order of summation, whatever the buffer's.
    const at::Tensor weight = constrained_.View(constrained_.w, k).contiguous();
    const at::Tensor scale = Scale(weight);
    if (!(scale.item<double>() > 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          constrained_.names[k], ".weight: mean |w| is ", scale.item<double>(),
          ", so it has no levels; expected weights that are "
          "finite and not all 0"));
    }
    constrained_.ScaleOf(k).copy_(scale);
  }
  return absl::OkStatus();
}

void Network::Quantize(Mode mode) {
  QuantizeInto(constrained_.w, constrained_.q, constrained_.layers(), mode);
}

training::NamedTensors Network::State() const {
  training::NamedTensors state;
  for (const int entry : parts_.registered) {
    if (entry < 0) {
      const NormLayer& layer = parts_.norms[-1 - entry];
      models::StateDict dict;
      dict.Add(layer.name, layer.norm);
      state.insert(state.end(), dict.entries().begin(), dict.entries().end());
      continue;
    }
    const WeightLayer& layer = parts_.layers[entry];
    state.emplace_back(layer.name + ".weight", layer.weight);
    if (layer.constrained() && quantized_) {
      state.emplace_back(layer.name + ".scale",
                         constrained_.ScaleOf(layer.flat));
    }
    if (layer.bias.defined())
      state.emplace_back(layer.name + ".bias", layer.bias);
  }
  return state;
}

training::NamedTensors Network::FreeWeights() const {
  training::NamedTensors weights;
  for (const WeightLayer& layer : parts_.layers) {
    if (!layer.constrained()) {
      weights.emplace_back(layer.name + ".weight", layer.weight);
    }
  }
  return weights;
}

training::NamedTensors Network::FreeOthers() const {
  training::NamedTensors others;
  for (const int entry : parts_.registered) {
    if (entry < 0) {
      const NormLayer& layer = parts_.norms[-1 - entry];
      others.emplace_back(layer.name + ".weight", layer.norm.weight);
      others.emplace_back(layer.name + ".bias", layer.norm.bias);
    } else if (parts_.layers[entry].bias.defined()) {
      others.emplace_back(parts_.layers[entry].name + ".bias",
                          parts_.layers[entry].bias);
    }
  }
  return others;
}

training::NamedTensors Network::ConstrainedWeights() const {
  training::NamedTensors weights;
  for (const WeightLayer& layer : parts_.layers) {
    if (layer.constrained()) {
      weights.emplace_back(layer.name + ".weight", layer.weight);
    }
  }
  return weights;
}

at::Tensor Network::Weighted(const WeightLayer& layer,
                             const at::Tensor& x) const {
  const at::ScalarType type = options_.operand_dtype;
  const at::Tensor weight = In(layer.used, type);
  if (layer.weight.dim() == 4) {
    return In(at::conv2d(In(x, type), weight, {}, layer.stride, layer.padding),
              options_.dtype);
  }
  // Channel-major, whatever the layout of x.
  return In(
      at::linear(In(x.flatten(1), type), weight,
                 layer.bias.defined() ? std::optional(In(layer.bias, type))
                                      : std::nullopt),
      options_.dtype);
}

at::Tensor Network::Apply(const Node& node,
                          const std::vector<at::Tensor>& values,
                          const at::Tensor& x, bool training) const {
  const auto input = [&](size_t i) {
    return node.inputs[i] < 0 ? x : values[node.inputs[i]];
  };
  switch (node.kind) {
    case NodeKind::kWeight:
      return Weighted(parts_.layers[node.index], input(0));
    case NodeKind::kNorm:
      return models::Forward(parts_.norms[node.index].norm, input(0), training);
    case NodeKind::kRelu:
      return input(0).relu_();
    case NodeKind::kMaxPool:
      return at::max_pool2d(input(0), node.kernel, node.stride, node.padding,
                            /*dilation=*/1, node.ceil);
    case NodeKind::kMeanPool:
      return at::adaptive_avg_pool2d(input(0), {1, 1});
    case NodeKind::kMeanPoolTo:
      return at::adaptive_avg_pool2d(input(0), {node.kernel, node.kernel});
    case NodeKind::kAdd:
      return input(0).add_(input(1));
    case NodeKind::kConcat:
      break;
  }
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < node.inputs.size(); ++i) parts.push_back(input(i));
  return at::cat(parts, 1);
}

at::Tensor Network::Forward(const at::Tensor& x, bool training) const {
  const at::Tensor image = options_.channels_last && x.dim() == 4
                               ? x.contiguous(at::MemoryFormat::ChannelsLast)
                               : x;
  std::vector<at::Tensor> values(parts_.nodes.size());
  for (size_t n = 0; n < parts_.nodes.size(); ++n) {
    values[n] = Apply(parts_.nodes[n], values, image, training);
    for (const int used : parts_.nodes[n].inputs) {
      if (used >= 0 && last_use_[used] == static_cast<int>(n)) {
        values[used].reset();
      }
    }
  }
  return values.back();
}

std::string Network::SingleValueNorm(int64_t channels, int64_t side) const {
  const at::NoGradGuard no_grad;
  const at::Tensor x =
      at::zeros({1, channels, side, side},
                at::dtype(options_.dtype).device(options_.device));
  std::vector<at::Tensor> values(parts_.nodes.size());
  for (size_t n = 0; n < parts_.nodes.size(); ++n) {
    values[n] = Apply(parts_.nodes[n], values, x, /*training=*/false);
    if (parts_.nodes[n].kind == NodeKind::kNorm &&
        values[n].numel() == values[n].size(1)) {
      return parts_.norms[parts_.nodes[n].index].name;
    }
  }
  return "";
}

}  // namespace altprop::cbp
