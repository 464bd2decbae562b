#include "eqprop/network.h"

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/models/init.h"

namespace altprop::eqprop {
namespace {

void Draw(Edge& edge, at::IntArrayRef shape, at::Generator& generator) {
  edge.weight = models::KaimingUniformWeight(shape, generator);
  edge.bias = models::KaimingUniformBias(edge.weight, generator);
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> Parameters(
    const Network& network) {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (size_t i = 0; i < network.edges.size(); ++i) {
    const std::string name = absl::StrCat("synapses.", i);
    parameters.emplace_back(name + ".weight", network.edges[i].weight);
    parameters.emplace_back(name + ".bias", network.edges[i].bias);
  }
  return parameters;
}

Network MakeMlp(const std::vector<int64_t>& sizes, Activation activation,
                std::optional<double> scale, at::Generator generator) {
  CHECK_GE(sizes.size(), 2u) << "an MLP needs an input and an output layer";
  Network network;
  network.activation = activation;
  for (size_t l = 1; l < sizes.size(); ++l) {
    CHECK_GE(sizes[l - 1], 1);
    CHECK_GE(sizes[l], 1);
    Draw(network.edges.emplace_back(), {sizes[l], sizes[l - 1]}, generator);
  }
  if (scale.has_value()) {
    for (Edge& edge : network.edges) {
      Draw(edge, edge.weight.sizes().vec(), generator);
      edge.weight.mul_(*scale);
      edge.bias.mul_(*scale);
    }
  }
  return network;
}

Network ConvertNetwork(const Network& network, at::ScalarType dtype,
                       at::Device device) {
  Network converted;
  converted.activation = network.activation;
  for (const Edge& edge : network.edges) {
    converted.edges.push_back(
        {edge.weight.to(device, dtype), edge.bias.to(device, dtype)});
  }
  return converted;
}

}  // namespace altprop::eqprop
