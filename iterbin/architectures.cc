// The networks, module by module as the authors' classes have them: names,
// positions and random draws follow from that.

#include <cmath>
#include <utility>

#include "ATen/core/Generator.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/models/init.h"
#include "iterbin/network.h"

namespace altprop::iterbin {
namespace {

// Lays modules out in pre-order and draws their weights.
class Builder {
 public:
  Builder(std::string name, Kind kind, at::Generator generator)
      : generator_(std::move(generator)) {
    network_.name = std::move(name);
    network_.kind = kind;
    network_.modules = 1;  // the root
  }

  // A module without parameters, or a container.
  void Module() { ++network_.modules; }

  void Linear(const std::string& name, int64_t in, int64_t out) {
    const models::Linear drawn =
        models::MakeLinear(in, out, /*bias=*/true, generator_);
    Add({name, network_.modules, drawn.weight, drawn.bias});
  }

  void Conv(const std::string& name, int64_t in, int64_t out, int64_t kernel,
            int64_t stride, int64_t padding, bool bias) {
    const models::Conv2d drawn =
        models::MakeConv2d(in, out, kernel, stride, padding, bias, generator_);
    Add({name, network_.modules, drawn.weight, drawn.bias, stride, padding});
  }

  // After the layer before it.
  void Norm(std::string name) {
    network_.norm_names.push_back(std::move(name));
    network_.norms.push_back(
        models::MakeBatchNorm(network_.layers.back().weight.size(0)));
    Module();
  }

  void PoolAfter() {
    network_.pool_after.back() = true;
    Module();
  }

  Network& network() { return network_; }
  at::Generator& generator() { return generator_; }

 private:
  void Add(Layer layer) {
    network_.layers.push_back(std::move(layer));
    network_.pool_after.push_back(false);
    Module();
  }

  Network network_;
  at::Generator generator_;
};

// Linear, batch norm and, but for the classes, ReLU; the last one's log-softmax
// is a module too.
void LinearUnit(Builder& b, const std::string& container, int64_t& child,
                int64_t in, int64_t out) {
  b.Linear(absl::StrCat(container, ".", child), in, out);
  b.Norm(absl::StrCat(container, ".", child + 1));
  b.Module();
  child += 3;
}

std::string BlockName(int64_t stage, int64_t block, absl::string_view module) {
  return absl::StrCat("layer", stage, ".", block, ".", module);
}

// Two 3x3 convolutions. `projects`: a 1x1 convolution as the shortcut.
void Block(Builder& b, int64_t stage, int64_t block, int64_t in, int64_t out,
           int64_t stride, Kind kind) {
  b.Module();  // the block
  b.Conv(BlockName(stage, block, "conv1"), in, out, 3, stride, 1, false);
  b.Norm(BlockName(stage, block, "bn1"));
  if (kind == Kind::kResNet21) b.Module();  // its ReLU
  b.Conv(BlockName(stage, block, "conv2"), out, out, 3, 1, 1, false);
  b.Norm(BlockName(stage, block, "bn2"));
  if (kind == Kind::kResNet20) {
    b.Module();  // its shortcut, a module also where it does nothing
  } else if (stride != 1) {
    b.Module();  // the projection's container
    b.Conv(BlockName(stage, block, "downsample.0"), in, out, 1, stride, 0,
           false);
    b.Norm(BlockName(stage, block, "downsample.1"));
  }
}

}  // namespace

Network MakeMlp(std::string name, const std::vector<int64_t>& widths,
                at::Generator generator) {
  CHECK_GE(widths.size(), 2u);
  Builder b(std::move(name), Kind::kPlain, std::move(generator));
  const size_t layers = widths.size() - 1;
  b.Module();  // features
  int64_t child = 0;
  for (size_t i = 0; i + 1 < layers; ++i) {
    LinearUnit(b, "features", child, widths[i], widths[i + 1]);
  }
  b.Module();  // classifier
  child = 0;
  LinearUnit(b, "classifier", child, widths[layers - 1], widths[layers]);
  return b.network();
}

Network MakeVgg(std::string name,
                const std::vector<std::vector<int64_t>>& blocks,
                const std::vector<int64_t>& hidden, int64_t classes,
                at::Generator generator) {
  Builder b(std::move(name), Kind::kPlain, std::move(generator));
  b.Module();  // features
  int64_t child = 0;
  int64_t in = 3;
  int64_t size = 32;
  for (const std::vector<int64_t>& block : blocks) {
    for (const int64_t out : block) {
      b.Conv(absl::StrCat("features.", child), in, out, 3, 1, 1, true);
      b.Norm(absl::StrCat("features.", child + 1));
      b.Module();  // ReLU
      child += 3;
      in = out;
    }
    b.PoolAfter();
    ++child;
    size /= 2;
  }
  b.Module();  // classifier
  child = 0;
  in *= size * size;
  for (const int64_t units : hidden) {
    LinearUnit(b, "classifier", child, in, units);
    in = units;
  }
  LinearUnit(b, "classifier", child, in, classes);
  return b.network();
}

Network MakeResNet20(at::Generator generator) {
  Builder b("resnet20", Kind::kResNet20, std::move(generator));
  b.Conv("conv1", 3, 16, 3, 1, 1, false);
  b.Norm("bn1");
  int64_t in = 16;
  for (int64_t stage = 1; stage <= 3; ++stage) {
    b.Module();  // the stage
    const int64_t out = int64_t{8} << stage;
    for (int64_t block = 0; block < 3; ++block) {
      Block(b, stage, block, in, out, in == out ? 1 : 2, Kind::kResNet20);
      in = out;
    }
  }
  b.Linear("linear", 64, 10);
  // Initialised once by the constructors and again by a pass over all layers.
  for (Layer& layer : b.network().layers) {
    layer.weight =
        models::KaimingUniformWeight(layer.weight.sizes(), b.generator());
    if (layer.bias.defined()) {
      layer.bias = models::KaimingUniformBias(layer.weight, b.generator());
    }
  }
  return b.network();
}

Network MakeResNet21(at::Generator generator) {
  Builder b("resnet21", Kind::kResNet21, std::move(generator));
  b.Conv("conv1", 3, 64, 7, 2, 3, false);
  b.Norm("bn1");
  b.Module();  // ReLU
  b.Module();  // pooling
  int64_t in = 64;
  for (int64_t stage = 1; stage <= 4; ++stage) {
    b.Module();  // the stage
    const int64_t out = int64_t{32} << stage;
    for (int64_t block = 0; block < 2; ++block) {
      Block(b, stage, block, in, out, in == out ? 1 : 2, Kind::kResNet21);
      in = out;
    }
  }
  b.Module();  // pooling
  b.Linear("fc", 512, 1000);
  for (Layer& layer : b.network().layers) {
    if (layer.weight.dim() != 4) continue;
    const int64_t fan_out =
        layer.weight.size(0) * layer.weight.size(2) * layer.weight.size(3);
    layer.weight.normal_(
        0, std::sqrt(2.0) / std::sqrt(static_cast<double>(fan_out)),
        b.generator());
  }
  return b.network();
}

bool IsNetworkName(const std::string& name) {
  for (const char* known :
       {"300", "784", "784x100", "vgg5", "vgg9", "resnet20", "resnet21"}) {
    if (name == known) return true;
  }
  return false;
}

Network MakeNamed(const std::string& name, const at::Generator& generator) {
  if (name == "300") return MakeMlp(name, {784, 300, 100, 10}, generator);
  if (name == "784") return MakeMlp(name, {784, 784, 784, 10}, generator);
  if (name == "784x100") return MakeMlp(name, {784, 784, 100, 10}, generator);
  if (name == "vgg5") {
    return MakeVgg(name, {{64, 64}}, {256, 256}, 10, generator);
  }
  if (name == "vgg9") {
    return MakeVgg(name, {{64, 64}, {128, 128}, {256, 256}}, {256, 256}, 10,
                   generator);
  }
  if (name == "resnet20") return MakeResNet20(generator);
  CHECK_EQ(name, "resnet21");
  return MakeResNet21(generator);
}

models::StateDict Network::State() const {
  models::StateDict state;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    state.AddParameter(layer.name + ".weight", layer.weight);
    if (layer.bias.defined()) {
      state.AddParameter(layer.name + ".bias", layer.bias);
    }
    if (i < norms.size()) state.Add(norm_names[i], norms[i]);
  }
  return state;
}

}  // namespace altprop::iterbin
