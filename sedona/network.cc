#include "sedona/network.h"

#include <algorithm>
#include <array>

#include "ATen/TensorOperators.h"
#include "ATen/ops/max_pool2d.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/models/init.h"
#include "common/status.h"

namespace altprop::sedona {
namespace {

// 0: a 2x2 max-pool.
using Plan = std::vector<int64_t>;

Plan VggPlan(absl::string_view name) {
  const int64_t narrow = name == "vgg11" ? 1 : 2;
  const int64_t wide = name == "vgg19" ? 4 : name == "vgg16" ? 3 : 2;
  Plan plan;
  const std::pair<int64_t, int64_t> stages[] = {
      {16, narrow}, {32, narrow}, {64, wide}, {128, wide}, {128, wide}};
  for (const auto& [channels, count] : stages) {
    plan.insert(plan.end(), static_cast<size_t>(count), channels);
    plan.push_back(0);
  }
  return plan;
}

struct ResNetPlan {
  std::array<int64_t, 4> blocks;
  bool bottleneck;

  int64_t expansion() const { return bottleneck ? 4 : 1; }
};

ResNetPlan PlanOfResNet(absl::string_view name) {
  if (name == "resnet18") return {{2, 2, 2, 2}, false};
  if (name == "resnet34") return {{3, 4, 6, 3}, false};
  if (name == "resnet50") return {{3, 4, 6, 3}, true};
  if (name == "resnet101") return {{3, 4, 23, 3}, true};
  return {{3, 8, 36, 3}, true};
}

bool IsVgg(const Architecture& a) { return absl::StartsWith(a.name, "vgg"); }

int64_t Width(const Architecture& a, int64_t width) {
  return static_cast<int64_t>(static_cast<double>(width) * a.feat_mult);
}

AuxShape ShapeOfAux(const Architecture& a, const Unit& unit) {
  AuxShape shape;
  shape.channels = unit.channels;
  shape.size = unit.size;
  shape.classes = a.classes;
  shape.expansion = a.name == "resnet18" || a.name == "resnet34" ? 1 : 4;
  shape.tail = Width(a, 512);
  shape.nonlin = a.nonlin;
  return shape;
}

absl::Status TooNarrow(const Architecture& a, absl::string_view what) {
  return FlagError(
      "feat_mult", absl::StrCat(a.feat_mult),
      absl::StrCat("leaves ", what, " of ", a.name, " no channels"));
}

absl::StatusOr<Aux> MakeAux(const Architecture& a, const Unit& unit,
                            const AuxChoice& choice) {
  const AuxShape shape = ShapeOfAux(a, unit);
  const bool light =
      choice.kind == AuxKind::kMixture || choice.kind == AuxKind::kLight;
  if (light && (shape.channels / shape.expansion == 0 || shape.tail == 0)) {
    return TooNarrow(a, "an auxiliary network");
  }
  switch (choice.kind) {
    case AuxKind::kNone:
      return Aux();
    case AuxKind::kMixture:
      return MakeMixture(shape, a.min_depth, a.max_depth);
    case AuxKind::kLight:
      return MakeLightDecoder(shape, choice.depth);
    case AuxKind::kMlpSr:
      return MakeMlpSr(shape);
    case AuxKind::kPredSim:
      return MakePredSim(shape, Width(a, a.predsim_features), a.similarity_std);
  }
  return Aux();
}

absl::StatusOr<std::vector<Unit>> VggUnits(const Architecture& a) {
  std::vector<Unit> units;
  const Plan plan = VggPlan(a.name);
  int64_t in = 3, size = a.input_size;
  for (size_t k = 0; k + 1 < plan.size(); ++k) {
    if (plan[k] == 0) {
      size /= 2;
      continue;
    }
    Unit& unit = units.emplace_back();
    unit.position = static_cast<int64_t>(k);
    unit.pool_before = k > 0 && plan[k - 1] == 0;
    unit.channels = Width(a, plan[k]);
    unit.size = size;
    if (unit.channels == 0) return TooNarrow(a, "a convolution");
    unit.body =
        MakeConvNorm({.in = in, .out = unit.channels, .kernel = 3}, a.nonlin);
    in = unit.channels;
  }
  const int64_t hidden = Width(a, 1024), side = size / 2;
  if (hidden == 0) return TooNarrow(a, "the head");
  units.back().aux =
      VggHead{{ZeroLinear(side * side * in, hidden), ZeroLinear(hidden, hidden),
               ZeroLinear(hidden, a.classes)}};
  return units;
}

ResidualBlock MakeBlock(const ResNetPlan& plan, int64_t in, int64_t planes,
                        int64_t stride) {
  ResidualBlock block;
  const int64_t out = planes * plan.expansion();
  const Activation relu = Activation::kRelu, none = Activation::kNone;
  if (plan.bottleneck) {
    block.layers = {
        MakeConvNorm({.in = in, .out = planes}, relu),
        MakeConvNorm(
            {.in = planes, .out = planes, .kernel = 3, .stride = stride}, relu),
        MakeConvNorm({.in = planes, .out = out}, none)};
  } else {
    block.layers = {
        MakeConvNorm({.in = in, .out = planes, .kernel = 3, .stride = stride},
                     relu),
        MakeConvNorm({.in = planes, .out = planes, .kernel = 3}, none)};
  }
  if (stride != 1 || in != out) {
    block.shortcut =
        MakeConvNorm({.in = in, .out = out, .stride = stride}, none);
  }
  return block;
}

// Makes the first unit's stem; returns the size that it leaves.
int64_t AddStem(const Architecture& a, int64_t width, Unit& unit) {
  const bool small = a.input_size < 64;
  unit.stem = MakeConvNorm(
      {.in = 3, .out = width, .kernel = small ? 3 : 7, .stride = small ? 1 : 2},
      Activation::kRelu);
  if (small) return a.input_size;
  const int64_t size = a.input_size / 2;
  unit.stem_pool = size > 32;
  return unit.stem_pool ? size / 2 : size;
}

absl::StatusOr<std::vector<Unit>> ResNetUnits(const Architecture& a) {
  const ResNetPlan plan = PlanOfResNet(a.name);
  const int64_t width = Width(a, 16);
  if (width == 0) return TooNarrow(a, "a convolution");
  std::vector<Unit> units;
  int64_t in = width, size = 0;
  for (size_t stage = 0; stage < plan.blocks.size(); ++stage) {
    const int64_t planes = width << stage;
    for (int64_t j = 0; j < plan.blocks[stage]; ++j) {
      const int64_t stride = stage > 0 && j == 0 ? 2 : 1;
      Unit& unit = units.emplace_back();
      unit.position = static_cast<int64_t>(units.size()) - 1;
      if (units.size() == 1) size = AddStem(a, width, unit);
      size = (size + stride - 1) / stride;
      unit.body = MakeBlock(plan, in, planes, stride);
      in = unit.channels = planes * plan.expansion();
      unit.size = size;
    }
  }
  units.back().aux = ResNetHead{ZeroLinear(in, a.classes)};
  return units;
}

at::Tensor Run(const ResidualBlock& block, const at::Tensor& x,
               const Mode& mode) {
  at::Tensor h = x;
  for (size_t i = 0; i + 1 < block.layers.size(); ++i) {
    h = Forward(block.layers[i], h, mode);
  }
  return ForwardInto(block.layers.back(), h,
                     block.shortcut ? Forward(*block.shortcut, x, mode) : x,
                     mode);
}

void VisitBlock(ResidualBlock& block, const std::string& prefix,
                TensorVisitor visit) {
  for (size_t i = 0; i < block.layers.size(); ++i) {
    Visit(block.layers[i], absl::StrCat(prefix, "conv", i + 1),
          absl::StrCat(prefix, "bn", i + 1), visit);
  }
  if (block.shortcut) {
    Visit(*block.shortcut, absl::StrCat(prefix, "downsample.0"),
          absl::StrCat(prefix, "downsample.1"), visit);
  }
}

training::NamedTensors Collect(const Network& network, bool all,
                               std::optional<size_t> only) {
  // A copy: its handles are the network's own tensors.
  Network copy = network;
  training::NamedTensors tensors;
  const auto add = [&](const std::string& name, at::Tensor& tensor,
                       bool parameter) {
    if (all || parameter) tensors.emplace_back(name, tensor);
  };
  if (only) {
    VisitUnit(copy, *only, add);
  } else {
    Visit(copy, add);
  }
  return tensors;
}

}  // namespace

const std::vector<std::string>& ArchitectureNames() {
  static const auto* names = new std::vector<std::string>{
      "vgg11",    "vgg13",    "vgg16",     "vgg19",    "resnet18",
      "resnet34", "resnet50", "resnet101", "resnet152"};
  return *names;
}

int64_t UnitCount(absl::string_view architecture) {
  const auto& names = ArchitectureNames();
  if (std::find(names.begin(), names.end(), architecture) == names.end()) {
    return 0;
  }
  if (absl::StartsWith(architecture, "vgg")) {
    const Plan plan = VggPlan(architecture);
    return static_cast<int64_t>(plan.size()) - 5;
  }
  int64_t units = 0;
  for (const int64_t blocks : PlanOfResNet(architecture).blocks) {
    units += blocks;
  }
  return units;
}

absl::StatusOr<Network> MakeNetwork(const Architecture& architecture,
                                    const std::vector<AuxChoice>& aux) {
  Network network;
  network.architecture = architecture;
  ALTPROP_ASSIGN_OR_RETURN(network.units, IsVgg(architecture)
                                              ? VggUnits(architecture)
                                              : ResNetUnits(architecture));
  CHECK_EQ(aux.size() + 1, network.units.size());
  for (size_t i = 0; i < aux.size(); ++i) {
    ALTPROP_ASSIGN_OR_RETURN(network.units[i].aux,
                             MakeAux(architecture, network.units[i], aux[i]));
  }
  return network;
}

void Initialise(Network& network, uint64_t seed) {
  at::Generator generator = models::SeededGenerator(seed);
  Visit(network, [&](const std::string&, at::Tensor& tensor, bool parameter) {
    if (parameter) {
      InitialiseTensor(tensor, network.architecture.nonlin, generator);
    }
  });
}

void VisitUnit(Network& network, size_t index, TensorVisitor visit) {
  Unit& unit = network.units[index];
  const std::string module = absl::StrCat("moduleList.", unit.position, ".");
  const std::string encoder =
      absl::StrCat(module, unit.ends_block() ? "encoder." : "");
  if (auto* layer = std::get_if<ConvNorm>(&unit.body)) {
    Visit(*layer, absl::StrCat(encoder, "layers.0"),
          absl::StrCat(encoder, "layers.1"), visit);
  } else {
    int64_t at = 0;
    if (unit.stem) {
      Visit(*unit.stem, absl::StrCat(encoder, 0), absl::StrCat(encoder, 1),
            visit);
      at = unit.stem_pool ? 4 : 3;
    }
    VisitBlock(std::get<ResidualBlock>(unit.body),
               absl::StrCat(encoder, at, "."), visit);
  }
  Visit(unit.aux, absl::StrCat(module, "decoder."), visit);
}

void Visit(Network& network, TensorVisitor visit) {
  for (size_t i = 0; i < network.units.size(); ++i) {
    VisitUnit(network, i, visit);
  }
}

training::NamedTensors State(const Network& network) {
  return Collect(network, /*all=*/true, std::nullopt);
}

training::NamedTensors Parameters(const Network& network) {
  return Collect(network, /*all=*/false, std::nullopt);
}

training::NamedTensors UnitParameters(const Network& network, size_t unit) {
  return Collect(network, /*all=*/false, unit);
}

void ConvertTo(Network& network, at::ScalarType dtype, at::Device device) {
  Visit(network, [&](const std::string&, at::Tensor& tensor, bool) {
    tensor = tensor.detach().to(
        device, tensor.is_floating_point() ? dtype : tensor.scalar_type());
  });
}

void RequireGradients(Network& network) {
  Visit(network, [](const std::string&, at::Tensor& tensor, bool parameter) {
    if (parameter) tensor.set_requires_grad(true);
  });
}

Network Clone(const Network& network) {
  Network clone = network;
  Visit(clone, [](const std::string&, at::Tensor& tensor, bool parameter) {
    const bool gradient = parameter && tensor.requires_grad();
    tensor = tensor.detach().clone();
    if (gradient) tensor.set_requires_grad(true);
  });
  return clone;
}

at::Tensor Forward(const Unit& unit, const at::Tensor& x, const Mode& mode) {
  at::Tensor h = unit.pool_before ? at::max_pool2d(x, 2, 2) : x;
  if (unit.stem) {
    h = Forward(*unit.stem, h, mode);
    if (unit.stem_pool) h = at::max_pool2d(h, 3, 2, 1);
  }
  if (const auto* layer = std::get_if<ConvNorm>(&unit.body)) {
    return Forward(*layer, h, mode);
  }
  return Run(std::get<ResidualBlock>(unit.body), h, mode);
}

}  // namespace altprop::sedona
