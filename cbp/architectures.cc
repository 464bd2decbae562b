// The networks, layer by layer, in the order in which the authors' program
// registers their modules.

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "cbp/network.h"
#include "common/models/init.h"

namespace altprop::cbp {
namespace {

using models::MakeBatchNorm;
using models::MakeConv2d;
using models::MakeLinear;

class Builder {
 public:
  Builder(const Architecture& architecture, at::Generator generator)
      : a_(architecture), generator_(std::move(generator)) {}

  // A published channel count at this width.
  int64_t Scaled(int64_t channels) const { return channels * a_.width / 64; }

  int Conv(const std::string& name, int input, int64_t in, int64_t out,
           int64_t kernel, int64_t stride, int64_t padding) {
    const models::Conv2d conv = MakeConv2d(in, out, kernel, stride, padding,
                                           /*bias=*/false, generator_);
    return Weight({name, conv.weight, {}, stride, padding, {}, {}}, input,
                  /*constrained=*/!parts_.layers.empty());
  }
  int Linear(const std::string& name, int input, int64_t in, int64_t out) {
    const models::Linear linear =
        MakeLinear(in, out, /*bias=*/false, generator_);
    return Weight({name, linear.weight, {}, 1, 0, {}, {}}, input, true);
  }
  // The last layer: with a bias, free.
  int Classifier(const std::string& name, int input, int64_t in) {
    const models::Linear linear =
        MakeLinear(in, a_.classes, /*bias=*/true, generator_);
    return Weight({name, linear.weight, linear.bias, 1, 0, {}, {}}, input,
                  false);
  }
  int Norm(const std::string& name, int input, int64_t channels,
           double eps = 1e-5) {
    parts_.registered.push_back(-1 - static_cast<int>(parts_.norms.size()));
    parts_.norms.push_back({name, MakeBatchNorm(channels, eps)});
    return Add(
        {NodeKind::kNorm, {input}, static_cast<int>(parts_.norms.size()) - 1});
  }
  int Relu(int input) { return Add({NodeKind::kRelu, {input}}); }
  int MaxPool(int input, int64_t kernel, int64_t stride, int64_t padding = 0,
              bool ceil = false) {
    return Add(
        {NodeKind::kMaxPool, {input}, -1, kernel, stride, padding, ceil});
  }
  int MeanPool(int input) { return Add({NodeKind::kMeanPool, {input}}); }
  int MeanPoolTo(int input, int64_t size) {
    return Add({NodeKind::kMeanPoolTo, {input}, -1, size});
  }
  int Sum(int a, int b) { return Add({NodeKind::kAdd, {a, b}}); }
  int Concat(std::vector<int> inputs) {
    return Add({NodeKind::kConcat, std::move(inputs)});
  }

  const Architecture& architecture() const { return a_; }

  Network::Parts Finish() {
    // As the authors' program: over the modules again. With ten classes that
    // would make a classifier several times too large to train from, so the
    // small networks keep torch's.
    const bool small =
        a_.model == Model::kMnistCnn || a_.model == Model::kResNet20;
    for (WeightLayer& layer : parts_.layers) {
      if (small && !layer.constrained() && layer.bias.defined()) continue;
      int64_t fan_out = layer.weight.size(0);
      if (layer.weight.dim() == 4) {
        fan_out *= layer.weight.size(2) * layer.weight.size(3);
      }
      layer.weight.normal_(0, std::sqrt(2.0 / static_cast<double>(fan_out)),
                           generator_);
    }
    return std::move(parts_);
  }

 private:
  int Add(Node node) {
    parts_.nodes.push_back(std::move(node));
    return static_cast<int>(parts_.nodes.size()) - 1;
  }
  int Weight(WeightLayer layer, int input, bool constrained) {
    // Numbered in Network.
    layer.flat = constrained ? 0 : -1;
    parts_.registered.push_back(static_cast<int>(parts_.layers.size()));
    parts_.layers.push_back(std::move(layer));
    return Add({NodeKind::kWeight,
                {input},
                static_cast<int>(parts_.layers.size()) - 1});
  }

  Architecture a_;
  at::Generator generator_;
  Network::Parts parts_;
};

constexpr int kImage = -1;

void AlexNet(Builder& b) {
  constexpr double kEps = 1e-4;
  int x = kImage;
  const auto conv = [&](int number, int64_t in, int64_t out, int64_t kernel,
                        int64_t stride, int64_t padding) {
    x = b.Conv(absl::StrCat("features.", number), x, in, out, kernel, stride,
               padding);
    x = b.Norm(absl::StrCat("features.", number + 1), x, out, kEps);
    x = b.Relu(x);
  };
  const auto c = [&](int64_t channels) { return b.Scaled(channels); };
  conv(0, b.architecture().input_channels, c(64), 11, 4, 2);
  x = b.MaxPool(x, 3, 2);
  conv(4, c(64), c(192), 5, 1, 2);
  x = b.MaxPool(x, 3, 2);
  conv(8, c(192), c(384), 3, 1, 1);
  conv(11, c(384), c(256), 3, 1, 1);
  conv(14, c(256), c(256), 3, 1, 1);
  x = b.MaxPool(x, 3, 2);
  x = b.MeanPoolTo(x, 6);
  const auto linear = [&](int number, int64_t in, int64_t out) {
    x = b.Linear(absl::StrCat("classifier.", number), x, in, out);
    x = b.Norm(absl::StrCat("classifier.", number + 1), x, out, kEps);
    x = b.Relu(x);
  };
  linear(0, c(256) * 36, c(4096));
  linear(3, c(4096), c(4096));
  b.Classifier("classifier.6", x, c(4096));
}

// Residual stages; `x` and `channels` move on.
struct Residual {
  Builder& b;
  int x;
  int64_t channels;

  void Shortcut(const std::string& name, int& identity, int64_t out,
                int64_t stride) {
    if (stride == 1 && channels == out) return;
    identity =
        b.Conv(name + ".downsample.0", identity, channels, out, 1, stride, 0);
    identity = b.Norm(name + ".downsample.1", identity, out);
  }
  void Basic(const std::string& name, int64_t out, int64_t stride) {
    int identity = x;
    int y = b.Conv(name + ".conv1", x, channels, out, 3, stride, 1);
    y = b.Relu(b.Norm(name + ".bn1", y, out));
    y = b.Conv(name + ".conv2", y, out, out, 3, 1, 1);
    y = b.Norm(name + ".bn2", y, out);
    Shortcut(name, identity, out, stride);
    x = b.Relu(b.Sum(y, identity));
    channels = out;
  }
  void Bottleneck(const std::string& name, int64_t middle, int64_t stride) {
    const int64_t out = 4 * middle;
    int identity = x;
    int y = b.Conv(name + ".conv1", x, channels, middle, 1, 1, 0);
    y = b.Relu(b.Norm(name + ".bn1", y, middle));
    y = b.Conv(name + ".conv2", y, middle, middle, 3, stride, 1);
    y = b.Relu(b.Norm(name + ".bn2", y, middle));
    y = b.Conv(name + ".conv3", y, middle, out, 1, 1, 0);
    y = b.Norm(name + ".bn3", y, out);
    Shortcut(name, identity, out, stride);
    x = b.Relu(b.Sum(y, identity));
    channels = out;
  }
  void Stage(int number, int64_t width, int blocks, int64_t stride,
             bool bottleneck) {
    for (int block = 0; block < blocks; ++block) {
      const std::string name = absl::StrCat("layer", number, ".", block);
      const int64_t step = block == 0 ? stride : 1;
      if (bottleneck) {
        Bottleneck(name, width, step);
      } else {
        Basic(name, width, step);
      }
    }
  }
};

void ResNet(Builder& b, const std::array<int, 4>& blocks, bool bottleneck) {
  const int64_t width = b.Scaled(64);
  int x =
      b.Conv("conv1", kImage, b.architecture().input_channels, width, 7, 2, 3);
  x = b.Relu(b.Norm("bn1", x, width));
  Residual r{b, b.MaxPool(x, 3, 2, 1), width};
  for (int stage = 0; stage < 4; ++stage) {
    r.Stage(stage + 1, width << stage, blocks[stage], stage == 0 ? 1 : 2,
            bottleneck);
  }
  b.Classifier("fc", b.MeanPool(r.x), r.channels);
}

void ResNet20(Builder& b) {
  const int64_t width = b.architecture().width;
  const int x =
      b.Conv("conv1", kImage, b.architecture().input_channels, width, 3, 1, 1);
  Residual r{b, b.Relu(b.Norm("bn1", x, width)), width};
  for (int stage = 0; stage < 3; ++stage) {
    r.Stage(stage + 1, width << stage, 3, stage == 0 ? 1 : 2,
            /*bottleneck=*/false);
  }
  b.Classifier("fc", b.MeanPool(r.x), r.channels);
}

void MnistCnn(Builder& b) {
  const int64_t width = b.architecture().width;
  int x = b.Conv("features.0", kImage, b.architecture().input_channels, width,
                 5, 1, 2);
  x = b.MaxPool(b.Relu(b.Norm("features.1", x, width)), 2, 2);
  x = b.Conv("features.4", x, width, 2 * width, 5, 1, 2);
  x = b.MaxPool(b.Relu(b.Norm("features.5", x, 2 * width)), 2, 2);
  x = b.Linear("classifier.0", x, 98 * width, 16 * width);
  x = b.Relu(b.Norm("classifier.1", x, 16 * width));
  b.Classifier("classifier.3", x, 16 * width);
}

// Channel counts of an inception module: its four branches.
struct Inception {
  const char* name;
  int64_t in, one, reduce3, three, reduce5, five, pool;
};

constexpr std::array<Inception, 9> kInception = {{
    {"inception3a", 192, 64, 96, 128, 16, 32, 32},
    {"inception3b", 256, 128, 128, 192, 32, 96, 64},
    {"inception4a", 480, 192, 96, 208, 16, 48, 64},
    {"inception4b", 512, 160, 112, 224, 24, 64, 64},
    {"inception4c", 512, 128, 128, 256, 24, 64, 64},
    {"inception4d", 512, 112, 144, 288, 32, 64, 64},
    {"inception4e", 528, 256, 160, 320, 32, 128, 128},
    {"inception5a", 832, 256, 160, 320, 32, 128, 128},
    {"inception5b", 832, 384, 192, 384, 48, 128, 128},
}};

void GoogLeNet(Builder& b) {
  const auto conv = [&](const std::string& name, int x, int64_t in, int64_t out,
                        int64_t kernel, int64_t stride) {
    x = b.Conv(name + ".conv", x, in, out, kernel, stride, kernel / 2);
    return b.Relu(b.Norm(name + ".bn", x, out, /*eps=*/1e-3));
  };
  const auto c = [&](int64_t channels) { return b.Scaled(channels); };
  int x = conv("conv1", kImage, b.architecture().input_channels, c(64), 7, 2);
  x = b.MaxPool(x, 3, 2, 0, /*ceil=*/true);
  x = conv("conv2", x, c(64), c(64), 1, 1);
  x = conv("conv3", x, c(64), c(192), 3, 1);
  x = b.MaxPool(x, 3, 2, 0, /*ceil=*/true);
  for (const Inception& i : kInception) {
    const std::string name = i.name;
    const int one = conv(name + ".branch1", x, c(i.in), c(i.one), 1, 1);
    int three = conv(name + ".branch2.0", x, c(i.in), c(i.reduce3), 1, 1);
    three = conv(name + ".branch2.1", three, c(i.reduce3), c(i.three), 3, 1);
    int five = conv(name + ".branch3.0", x, c(i.in), c(i.reduce5), 1, 1);
    // 3x3 where the paper of the network has 5x5: torchvision's weights do.
    five = conv(name + ".branch3.1", five, c(i.reduce5), c(i.five), 3, 1);
    int pool = b.MaxPool(x, 3, 1, 1, /*ceil=*/true);
    pool = conv(name + ".branch4.1", pool, c(i.in), c(i.pool), 1, 1);
    x = b.Concat({one, three, five, pool});
    if (name == "inception3b") x = b.MaxPool(x, 3, 2, 0, /*ceil=*/true);
    if (name == "inception4e") x = b.MaxPool(x, 2, 2, 0, /*ceil=*/true);
  }
  b.Classifier("fc", b.MeanPool(x), c(1024));
}

}  // namespace

Network::Parts BuildParts(const Architecture& architecture,
                          at::Generator generator) {
  Builder b(architecture, std::move(generator));
  switch (architecture.model) {
    case Model::kAlexNet:
      AlexNet(b);
      break;
    case Model::kResNet18:
      ResNet(b, {2, 2, 2, 2}, /*bottleneck=*/false);
      break;
    case Model::kResNet50:
      ResNet(b, {3, 4, 6, 3}, /*bottleneck=*/true);
      break;
    case Model::kGoogLeNet:
      GoogLeNet(b);
      break;
    case Model::kMnistCnn:
      MnistCnn(b);
      break;
    case Model::kResNet20:
      ResNet20(b);
      break;
  }
  return b.Finish();
}

}  // namespace altprop::cbp
