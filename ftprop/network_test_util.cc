#include "ftprop/network_test_util.h"

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "absl/strings/match.h"
#include "common/models/init.h"
#include "ftprop/test_util.h"
#include "torch/csrc/autograd/autograd.h"
#include "torch/csrc/autograd/variable.h"

namespace altprop::ftprop {

NetworkSpec SpecOf(const std::string& name) {
  NetworkSpec spec;
  const bool imagenet =
      absl::StrContains(name, "imagenet") || absl::StrContains(name, "alexnet");
  if (absl::StrContains(name, "convnet8")) {
    spec.architecture = Architecture::kConvnet8;
  } else if (absl::StrContains(name, "alexnet")) {
    spec.architecture = Architecture::kAlexnetDrf;
  } else if (absl::StrContains(name, "resnet18")) {
    spec.architecture =
        imagenet ? Architecture::kResnet18 : Architecture::kResnet18Cifar;
  }
  spec.batch_norm = imagenet || absl::StrContains(name, "_bn") ||
                    absl::StrContains(name, "resnet18");
  if (imagenet) {
    spec.side = 224;
    spec.classes = 1000;
  } else if (absl::StrContains(name, "svhn")) {
    spec.side = 40;
  } else if (absl::StrContains(name, "mnist")) {
    spec.side = 28;
    spec.channels = 1;
  }
  return spec;
}

Network MakeFilled(const NetworkSpec& spec, const Threshold& threshold) {
  Network network = MakeNetwork(
      spec, std::vector<Threshold>(HiddenLayers(spec.architecture), threshold),
      models::SeededGenerator(0));
  network.state.ConvertTo(at::kDouble, at::kCPU);
  Fill(network.state.parameters());
  network.state.RequireGradients();
  return network;
}

Fixture FixtureOf(const NetworkSpec& spec) {
  const int64_t n = spec.architecture == Architecture::kResnet18 ? 2 : 4;
  return {2 * Sequence(1000, {n, spec.channels, spec.side, spec.side}),
          at::arange(n, at::kLong).mul(3).remainder(spec.classes)};
}

std::vector<at::Tensor> Gradients(const Network& network,
                                  const at::Tensor& loss) {
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : network.state.parameters()) {
    parameters.push_back(tensor);
  }
  return torch::autograd::grad({loss}, parameters);
}

Threshold ThresholdOf(const std::string& nonlin, const std::string& rule,
                      bool scaled) {
  return {*ParseNonlinearity(nonlin), *ParseRule(rule), scaled, true};
}

}  // namespace altprop::ftprop
