#include "iterbin/network.h"

#include <optional>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/adaptive_avg_pool2d.h"
#include "ATen/ops/constant_pad_nd.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/cross_entropy_loss.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/log_softmax.h"
#include "ATen/ops/max_pool2d.h"
#include "ATen/ops/nll_loss.h"
#include "ATen/ops/relu.h"
#include "common/kernels/batch_norm.h"
#include "common/logging.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::iterbin {
namespace {

std::optional<at::Tensor> Optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

at::Tensor Product(const Layer& layer, const at::Tensor& weight,
                   const at::Tensor& x, const std::optional<at::Tensor>& bias) {
  return weight.dim() == 4
             ? at::conv2d(x, weight, bias, layer.stride, layer.padding)
             : at::linear(x, weight, bias);
}

// Layer i and its batch norm, then the sum with `shortcut` where there is one,
// then the rectifier where `relu` asks for it.
at::Tensor Normalized(const Network& network, const Weights& w, size_t i,
                      const at::Tensor& x, bool training,
                      at::ScalarType operands, bool relu = false,
                      const at::Tensor& shortcut = {}) {
  const models::BatchNorm& norm = w.norms[i];
  const at::Tensor sum = ApplyLayer(network, w, i, x, operands);
  if (network.channels_last && training) {
    at::Tensor batches = norm.num_batches_tracked;
    batches.add_(1);
    return kernels::BatchNormAct(
        sum, {norm.weight, norm.bias, norm.running_mean, norm.running_var},
        shortcut,
        {.training = true,
         .momentum = norm.momentum,
         .eps = norm.eps,
         .relu = relu});
  }
  at::Tensor y = models::Forward(norm, sum, training);
  if (shortcut.defined()) y = y + shortcut;
  return relu ? at::relu(y) : y;
}

at::Tensor ForwardPlain(const Network& network, const Weights& w, at::Tensor x,
                        bool training, at::ScalarType operands) {
  const size_t last = network.layers.size() - 1;
  for (size_t i = 0; i <= last; ++i) {
    if (w.weight[i].dim() == 2 && x.dim() > 2) x = x.flatten(1);
    x = Normalized(network, w, i, x, training, operands, /*relu=*/i < last);
    if (network.pool_after[i]) x = at::max_pool2d(x, 2, 2);
  }
  return at::log_softmax(x, 1);
}

at::Tensor ForwardResNet(const Network& network, const Weights& w, at::Tensor x,
                         bool training, at::ScalarType operands) {
  const size_t last = network.layers.size() - 1;
  x = Normalized(network, w, 0, x, training, operands, /*relu=*/true);
  if (network.kind == Kind::kResNet21) x = at::max_pool2d(x, 3, 2, 1);
  for (size_t i = 1; i < last;) {
    x = ResidualBlock(network, w, i, x, training, operands);
  }
  return ApplyLayer(network, w, last, MeanOfMap(x), operands);
}

}  // namespace

int64_t Network::weights() const {
  int64_t count = 0;
  for (const Layer& layer : layers) count += layer.weight.numel();
  return count;
}

std::vector<at::Tensor> Network::masters() const {
  std::vector<at::Tensor> masters;
  masters.reserve(layers.size());
  for (const Layer& layer : layers) masters.push_back(layer.weight);
  return masters;
}

Weights EffectiveWeights(const Network& network, const Flags& binary) {
  CHECK_EQ(binary.size(), network.layers.size());
  Weights w;
  for (size_t i = 0; i < binary.size(); ++i) {
    w.weight.push_back(Effective(network.layers[i].weight, binary[i]));
    w.bias.push_back(network.layers[i].bias);
  }
  w.norms = network.norms;
  return w;
}

at::Tensor ApplyLayer(const Network& network, const Weights& w, size_t i,
                      const at::Tensor& x, at::ScalarType operands) {
  const Layer& layer = network.layers[i];
  if (operands == x.scalar_type()) {
    return Product(layer, w.weight[i], x, Optional(w.bias[i]));
  }
  // Factors are rounded, the bias is not.
  at::Tensor y =
      Product(layer, w.weight[i].to(operands), x.to(operands), std::nullopt)
          .to(x.scalar_type());
  if (!w.bias[i].defined()) return y;
  return y + (y.dim() == 4 ? w.bias[i].view({1, -1, 1, 1}) : w.bias[i]);
}

at::Tensor MeanOfMap(const at::Tensor& x) {
  return at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
}

at::Tensor PaddedShortcut(const at::Tensor& x, int64_t channels) {
  const int64_t pad = channels / 4;
  return at::constant_pad_nd(
      x.slice(2, 0, std::nullopt, 2).slice(3, 0, std::nullopt, 2),
      {0, 0, 0, 0, pad, pad});
}

at::Tensor ResidualBlock(const Network& network, const Weights& w,
                         size_t& first, const at::Tensor& x, bool training,
                         at::ScalarType operands) {
  const size_t i = first;
  const Layer& opening = network.layers[i];
  const bool reshapes =
      opening.stride != 1 || opening.weight.size(0) != opening.weight.size(1);
  const at::Tensor y =
      Normalized(network, w, i, x, training, operands, /*relu=*/true);
  at::Tensor shortcut = x;
  first += 2;
  if (reshapes && network.kind == Kind::kResNet21) {
    shortcut = Normalized(network, w, i + 2, x, training, operands);
    first += 1;
  } else if (reshapes) {
    shortcut = PaddedShortcut(x, opening.weight.size(0));
  }
  return Normalized(network, w, i + 1, y, training, operands, /*relu=*/true,
                    shortcut);
}

at::Tensor Forward(const Network& network, const Weights& weights,
                   const at::Tensor& images, bool training,
                   at::ScalarType operands) {
  const at::Tensor x = network.channels_last && images.dim() == 4
                           ? images.contiguous(at::MemoryFormat::ChannelsLast)
                           : images;
  return network.kind == Kind::kPlain
             ? ForwardPlain(network, weights, x, training, operands)
             : ForwardResNet(network, weights, x, training, operands);
}

at::Tensor Loss(const Network& network, const at::Tensor& output,
                const at::Tensor& labels) {
  return network.kind == Kind::kPlain ? at::nll_loss(output, labels)
                                      : at::cross_entropy_loss(output, labels);
}

Gradients LossGradients(const Network& network, const Flags& binary,
                        const at::Tensor& x, const at::Tensor& labels,
                        at::ScalarType operands) {
  Weights w = EffectiveWeights(network, binary);
  std::vector<at::Tensor> leaves;
  // A leaf of its own for each parameter: the network's tensors stay without
  // gradients, and dLoss/dE is all that reaches the master.
  const auto leaf = [&](at::Tensor& tensor) {
    tensor = tensor.detach();
    tensor.requires_grad_(true);
    leaves.push_back(tensor);
  };
  for (size_t i = 0; i < w.weight.size(); ++i) {
    leaf(w.weight[i]);
    if (w.bias[i].defined()) leaf(w.bias[i]);
    if (i < w.norms.size()) {
      leaf(w.norms[i].weight);
      leaf(w.norms[i].bias);
    }
  }
  const at::Tensor output = Forward(network, w, x, /*training=*/true, operands);
  const at::Tensor loss = Loss(network, output, labels);
  return {output.detach(), loss.item().toDouble(),
          torch::autograd::grad({loss}, leaves)};
}

}  // namespace altprop::iterbin
