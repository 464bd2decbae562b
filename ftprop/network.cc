#include "ftprop/network.h"

#include <cmath>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/avg_pool2d.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/max_pool2d.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/random.h"
#include "ftprop/threshold.h"

namespace altprop::ftprop {
namespace {

using models::BatchNorm;
using models::Conv2d;
using models::Linear;

constexpr uint64_t kDropoutStream = RandomStream("dropout");

// Adds layers in order, drawing as it goes.
class Builder {
 public:
  Builder(Network& network, at::Generator& generator)
      : network_(network), generator_(generator) {}

  bool batch_norm() const { return network_.spec.batch_norm; }

  void Conv(const std::string& name, int64_t in, int64_t out, int64_t kernel,
            int64_t stride, int64_t padding, bool bias) {
    Conv2d layer =
        models::MakeConv2d(in, out, kernel, stride, padding, bias, generator_);
    network_.state.Add(name, layer);
    Add(std::move(layer));
  }

  void Fc(const std::string& name, int64_t in, int64_t out, bool bias) {
    Linear layer = models::MakeLinear(in, out, bias, generator_);
    network_.state.Add(name, layer);
    Add(std::move(layer));
  }

  void Bn(const std::string& name, int64_t channels, double eps) {
    BatchNorm layer = MakeBn(channels, eps);
    network_.state.Add(name, layer);
    Add(std::move(layer));
  }

  BatchNorm MakeBn(int64_t channels, double eps) {
    BatchNorm layer = models::MakeBatchNorm(channels, eps);
    if (network_.spec.uniform_bn_weights &&
        network_.spec.architecture != Architecture::kResnet18) {
      layer.weight.uniform_(0, 1, generator_);
    }
    return layer;
  }

  Hidden MakeHidden(std::string name) {
    network_.hidden_names.push_back(std::move(name));
    return Hidden{network_.hidden_names.size() - 1};
  }
  void Nonlinear(std::string name) { Add(MakeHidden(std::move(name))); }

  void Add(Layer layer) { network_.layers.push_back(std::move(layer)); }

  // `shortcut`: its name in the state.
  void Block(const std::string& name, const std::string& shortcut, int64_t in,
             int64_t out, int64_t stride) {
    constexpr double kEps = 1e-5;
    BasicBlock block;
    block.conv1 = models::MakeConv2d(in, out, 3, stride, 1, false, generator_);
    block.bn1 = MakeBn(out, kEps);
    block.hidden1 = MakeHidden(name + ".1");
    block.conv2 = models::MakeConv2d(out, out, 3, 1, 1, false, generator_);
    block.bn2 = MakeBn(out, kEps);
    block.hidden2 = MakeHidden(name + ".2");
    network_.state.Add(name + ".conv1", block.conv1);
    network_.state.Add(name + ".bn1", block.bn1);
    network_.state.Add(name + ".conv2", block.conv2);
    network_.state.Add(name + ".bn2", block.bn2);
    if (stride != 1 || in != out) {
      block.shortcut =
          models::MakeConv2d(in, out, 1, stride, 0, false, generator_);
      block.shortcut_bn = MakeBn(out, kEps);
      network_.state.Add(absl::StrCat(name, ".", shortcut, ".0"),
                         *block.shortcut);
      network_.state.Add(absl::StrCat(name, ".", shortcut, ".1"),
                         *block.shortcut_bn);
    }
    Add(std::move(block));
  }

 private:
  Network& network_;
  at::Generator& generator_;
};

// The pool stands before the non-linearity, batch norm after it.
void BuildConvnet4(const NetworkSpec& spec, Builder& b) {
  const std::string root = "all_modules.";
  const std::vector<int64_t>& w = spec.widths;
  constexpr double kEps = 1e-5;
  b.Conv(root + "block1.conv1", spec.channels, w[0], 5, 1, 3, true);
  b.Add(MaxPool{2, 2, 0});
  b.Nonlinear("block1");
  b.Conv(root + "block2.conv2", w[0], w[1], 5, 1, 2, true);
  b.Add(MaxPool{2, 2, 0});
  b.Nonlinear("block2");
  if (spec.batch_norm) b.Bn(root + "block3.batchnorm1", w[1], kEps);
  b.Add(Flatten{});
  b.Fc(root + "block3.fc1", (spec.side / 4) * (spec.side / 4) * w[1], w[2],
       true);
  b.Nonlinear("block3");
  if (spec.batch_norm) b.Bn(root + "block4.batchnorm2", w[2], kEps);
  b.Fc(root + "block4.fc2", w[2], spec.classes, true);
}

void BuildConvnet8(const NetworkSpec& spec, Builder& b) {
  constexpr double kEps = 1e-4;
  const bool small = spec.side == 32;
  struct Row {
    int64_t in, out, kernel, padding;
    bool pool, dropout;
  };
  const Row rows[] = {{48, 64, 3, 1, false, false},
                      {64, 64, 3, 1, true, false},
                      {64, 128, 3, 0, false, false},
                      {128, 128, 3, 1, false, false},
                      {128, 128, 3, 0, false, false},
                      {128, 512, small ? 4 : 5, 0, false, true}};
  b.Conv("all_modules.block0.conv0", spec.channels, 48, 5, 1, small ? 2 : 0,
         true);
  b.Add(MaxPool{2, 2, 0});
  b.Nonlinear("block0");
  int k = 0;
  for (const Row& row : rows) {
    ++k;
    const std::string block = absl::StrCat("block", k);
    const std::string root = absl::StrCat("all_modules.", block, ".");
    if (row.dropout) b.Add(Dropout2d{});
    b.Conv(absl::StrCat(root, "conv", k), row.in, row.out, row.kernel, 1,
           row.padding, !spec.batch_norm);
    if (spec.batch_norm)
      b.Bn(absl::StrCat(root, "batchnorm", k), row.out, kEps);
    if (row.pool) b.Add(MaxPool{2, 2, 0});
    b.Nonlinear(block);
  }
  b.Add(Flatten{});
  b.Fc("all_modules.block7.fc1", 512, spec.classes, true);
}

void BuildAlexnet(const NetworkSpec& spec, Builder& b) {
  constexpr double kEps = 1e-4;
  // Neither bias nor batch norm: of a step, the threshold stays at 0.
  b.Conv("layers.block0.conv0", spec.channels, 96, 12, 4, 0, false);
  b.Nonlinear("block0");
  struct Row {
    int64_t in, out, kernel, padding, pool_padding;  // -1: no pool
  };
  const Row rows[] = {{96, 256, 5, 2, 1},
                      {256, 384, 3, 1, 0},
                      {384, 384, 3, 1, -1},
                      {384, 256, 3, 1, 0}};
  int k = 0;
  for (const Row& row : rows) {
    ++k;
    const std::string block = absl::StrCat("block", k);
    b.Conv(absl::StrCat("layers.", block, ".conv", k), row.in, row.out,
           row.kernel, 1, row.padding, false);
    b.Bn(absl::StrCat("layers.", block, ".batchnorm", k), row.out, kEps);
    if (row.pool_padding >= 0) b.Add(MaxPool{3, 2, row.pool_padding});
    b.Nonlinear(block);
  }
  b.Add(Flatten{});
  b.Fc("layers.block5.fc0", 256 * 6 * 6, 4096, false);
  b.Bn("layers.block5.batchnorm_fc0", 4096, kEps);
  b.Nonlinear("block5");
  b.Fc("layers.block6.fc1", 4096, 4096, false);
  b.Bn("layers.block6.batchnorm_fc1", 4096, kEps);
  b.Nonlinear("block6");
  b.Fc("layers.block7.fc2", 4096, spec.classes, true);
}

void BuildResnet18(const NetworkSpec& spec, Builder& b) {
  const bool cifar = spec.architecture == Architecture::kResnet18Cifar;
  if (cifar) {
    b.Conv("conv1", spec.channels, 64, 3, 1, 1, false);
  } else {
    b.Conv("conv1", spec.channels, 64, 7, 2, 3, false);
  }
  b.Bn("bn1", 64, 1e-5);
  b.Nonlinear("stem");
  if (!cifar) b.Add(MaxPool{3, 2, 1});
  int64_t in = 64;
  for (int stage = 1; stage <= 4; ++stage) {
    const int64_t out = int64_t{64} << (stage - 1);
    for (int block = 0; block < 2; ++block) {
      b.Block(absl::StrCat("layer", stage, ".", block),
              cifar ? "shortcut" : "downsample", in, out,
              stage > 1 && block == 0 ? 2 : 1);
      in = out;
    }
  }
  b.Add(AveragePool{cifar ? 4 : 7});
  b.Add(Flatten{});
  b.Fc(cifar ? "linear" : "fc", 512, spec.classes, true);
}

// He et al.'s initialisation, after all of PyTorch's own draws.
void DrawNormalConvolutions(Network& network, at::Generator& generator) {
  for (const auto& [name, tensor] : network.state.parameters()) {
    if (tensor.dim() != 4) continue;
    const auto fan_out =
        static_cast<double>(tensor.size(0) * tensor.size(2) * tensor.size(3));
    at::Tensor weight = tensor;
    weight.normal_(0, std::sqrt(2 / fan_out), generator);
  }
}

// The forward pass, layer by layer.
class Runner {
 public:
  Runner(const Network& network, const Pass& pass)
      : network_(network), pass_(pass) {}

  at::Tensor operator()(const at::Tensor& x, const Conv2d& layer) const {
    if (!pass_.bf16) return models::Forward(layer, x);
    const Conv2d rounded{
        layer.weight.to(at::kBFloat16), {}, layer.stride, layer.padding};
    const at::Tensor y =
        models::Forward(rounded, x.to(at::kBFloat16)).to(x.scalar_type());
    return layer.bias.defined() ? y + layer.bias.view({1, -1, 1, 1}) : y;
  }
  at::Tensor operator()(const at::Tensor& x, const Linear& layer) const {
    if (!pass_.bf16) return models::Forward(layer, x);
    const Linear rounded{layer.weight.to(at::kBFloat16), {}};
    const at::Tensor y =
        models::Forward(rounded, x.to(at::kBFloat16)).to(x.scalar_type());
    return layer.bias.defined() ? y + layer.bias : y;
  }
  at::Tensor operator()(const at::Tensor& x, const BatchNorm& layer) const {
    return models::Forward(layer, x, pass_.training);
  }
  at::Tensor operator()(const at::Tensor& x, const Hidden& layer) const {
    at::Tensor y = Apply(network_.hidden[layer.index], x);
    if (pass_.inputs != nullptr) pass_.inputs->at(layer.index) = x;
    if (pass_.outputs != nullptr) pass_.outputs->at(layer.index) = y;
    return y;
  }
  at::Tensor operator()(const at::Tensor& x, const MaxPool& pool) const {
    return at::max_pool2d(x, pool.kernel, pool.stride, pool.padding);
  }
  at::Tensor operator()(const at::Tensor& x, const AveragePool& pool) const {
    return at::avg_pool2d(x, pool.kernel);
  }
  at::Tensor operator()(const at::Tensor& x, const Flatten&) const {
    return x.flatten(1);
  }
  at::Tensor operator()(const at::Tensor& x, const Dropout2d&) const {
    if (!pass_.training || pass_.dropout == 0) return x;
    return x * DropoutMask(x.size(0), x.size(1), pass_.dropout, pass_.seed,
                           pass_.step)
                   .to(x.device(), x.scalar_type());
  }
  at::Tensor operator()(const at::Tensor& x, const BasicBlock& block) const {
    at::Tensor y = (*this)((*this)(x, block.conv1), block.bn1);
    y = (*this)((*this)((*this)(y, block.hidden1), block.conv2), block.bn2);
    if (!block.shortcut) return (*this)(y + x, block.hidden2);
    return (*this)(y + (*this)((*this)(x, *block.shortcut), *block.shortcut_bn),
                   block.hidden2);
  }

 private:
  const Network& network_;
  const Pass& pass_;
};

}  // namespace

size_t HiddenLayers(Architecture architecture) {
  constexpr size_t kLayers[] = {3, 7, 7, 17, 17};
  return kLayers[static_cast<size_t>(architecture)];
}

absl::string_view ArchitectureName(Architecture architecture) {
  constexpr absl::string_view kNames[] = {"convnet4", "convnet8", "alexnet_drf",
                                          "resnet18", "resnet18"};
  return kNames[static_cast<size_t>(architecture)];
}

absl::Status CheckSpec(const NetworkSpec& spec) {
  const auto expected = [](absl::string_view what) {
    return absl::InvalidArgumentError(what);
  };
  switch (spec.architecture) {
    case Architecture::kConvnet4:
      return spec.side % 4 == 0 && spec.side >= 4
                 ? absl::OkStatus()
                 : expected("needs images of a side that 4 divides");
    case Architecture::kConvnet8:
      return spec.side == 32 || spec.side == 40
                 ? absl::OkStatus()
                 : expected("needs 32 x 32 or 40 x 40 images");
    case Architecture::kAlexnetDrf:
    case Architecture::kResnet18:
      if (spec.side != 224) return expected("needs 224 x 224 images");
      break;
    case Architecture::kResnet18Cifar:
      if (spec.side != 32) return expected("needs 32 x 32 or 224 x 224 images");
      break;
  }
  return spec.batch_norm ? absl::OkStatus() : expected("needs batch norm");
}

Network MakeNetwork(const NetworkSpec& spec, std::vector<Threshold> hidden,
                    at::Generator generator) {
  CHECK(CheckSpec(spec).ok()) << CheckSpec(spec);
  CHECK_EQ(hidden.size(), HiddenLayers(spec.architecture));
  Network network;
  network.spec = spec;
  network.hidden = std::move(hidden);
  Builder builder(network, generator);
  switch (spec.architecture) {
    case Architecture::kConvnet4:
      BuildConvnet4(spec, builder);
      break;
    case Architecture::kConvnet8:
      BuildConvnet8(spec, builder);
      break;
    case Architecture::kAlexnetDrf:
      BuildAlexnet(spec, builder);
      break;
    case Architecture::kResnet18:
    case Architecture::kResnet18Cifar:
      BuildResnet18(spec, builder);
      break;
  }
  if (spec.architecture == Architecture::kResnet18) {
    DrawNormalConvolutions(network, generator);
  }
  CHECK_EQ(network.hidden_names.size(), network.hidden.size());
  return network;
}

void UseChannelsLast(Network& network) {
  network.channels_last = true;
  for (const auto& [name, tensor] : network.state.parameters()) {
    if (tensor.dim() != 4) continue;
    const at::Tensor weight = tensor;
    weight.set_data(weight.contiguous(at::MemoryFormat::ChannelsLast));
  }
}

at::Tensor Forward(const Network& network, const at::Tensor& x,
                   const Pass& pass) {
  if (pass.inputs != nullptr) pass.inputs->resize(network.hidden.size());
  if (pass.outputs != nullptr) pass.outputs->resize(network.hidden.size());
  const Runner run(network, pass);
  at::Tensor y = network.channels_last && x.dim() == 4
                     ? x.contiguous(at::MemoryFormat::ChannelsLast)
                     : x;
  for (const Layer& layer : network.layers) {
    y = std::visit([&](const auto& typed) { return run(y, typed); }, layer);
  }
  return y;
}

at::Tensor DropoutMask(int64_t samples, int64_t channels, double p,
                       uint64_t seed, int64_t step) {
  at::Tensor mask = at::empty({samples, channels, 1, 1}, at::kDouble);
  auto* out = mask.mutable_data_ptr<double>();
  const double keep = p < 1 ? 1 / (1 - p) : 0;
  for (int64_t n = 0; n < samples; ++n) {
    CounterRandom random(seed, kDropoutStream, static_cast<uint32_t>(step),
                         static_cast<uint64_t>(n));
    for (int64_t c = 0; c < channels; ++c) {
      *out++ = random.Uniform() < p ? 0 : keep;
    }
  }
  return mask;
}

}  // namespace altprop::ftprop
