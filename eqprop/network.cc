#include "eqprop/network.h"

#include <cmath>

#include "ATen/TensorOperators.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/logging.h"
#include "common/models/init.h"

namespace altprop::eqprop {
namespace {

constexpr absl::string_view kModelNames[] = {"MLP", "VFMLP", "CNN", "VFCNN"};

void DrawForward(Edge& edge, at::IntArrayRef shape, at::Generator& generator) {
  edge.weight = models::KaimingUniformWeight(shape, generator);
  edge.bias = models::KaimingUniformBias(edge.weight, generator);
}

// The edges of an architecture, with shapes for weights.
struct Blueprint {
  Edge edge;
  std::vector<int64_t> shape;
};

std::vector<Blueprint> Blueprints(const Architecture& a) {
  std::vector<Blueprint> edges;
  const auto matrix = [&](int64_t out, int64_t in) {
    edges.push_back({{}, {out, in}});
  };
  if (!a.convolutional()) {
    for (size_t l = 1; l < a.archi.size(); ++l) {
      matrix(a.archi[l], a.archi[l - 1]);
    }
    return edges;
  }
  int64_t below = a.input_channels, size = a.input_size;
  for (size_t l = 0; l < a.channels.size(); ++l) {
    Blueprint& blueprint = edges.emplace_back();
    blueprint.edge.stride = a.strides[l];
    blueprint.edge.padding = a.paddings[l];
    blueprint.edge.pool = a.pools[l];
    blueprint.shape = {a.channels[l], below, a.kernels[l], a.kernels[l]};
    below = a.channels[l];
    size =
        SizeAfter(size, a.kernels[l], a.strides[l], a.paddings[l], a.pools[l]);
    CHECK_GE(size, 1) << "convolution " << l;
  }
  below *= size * size;
  for (const int64_t units : a.fc) {
    matrix(units, below);
    below = units;
  }
  return edges;
}

}  // namespace

absl::string_view ModelName(Model model) {
  return kModelNames[static_cast<size_t>(model)];
}

absl::StatusOr<Model> ParseModel(absl::string_view name) {
  for (size_t i = 0; i < std::size(kModelNames); ++i) {
    if (kModelNames[i] == name) return static_cast<Model>(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "': expected MLP, VFMLP, CNN or VFCNN"));
}

std::string SizesText(const Architecture& a) {
  if (!a.convolutional()) return absl::StrJoin(a.archi, "-");
  return absl::StrCat(absl::StrJoin(a.channels, "-"), "-",
                      absl::StrJoin(a.fc, "-"));
}

size_t Architecture::edges() const {
  return convolutional() ? channels.size() + fc.size() : archi.size() - 1;
}

size_t Architecture::layers() const { return edges() - (softmax ? 1 : 0); }

int64_t Architecture::classes() const {
  return convolutional() ? fc.back() : archi.back();
}

int64_t SizeAfter(int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                  Pool pool) {
  if (size + 2 * padding < kernel) return 0;
  const int64_t after = (size + 2 * padding - kernel) / stride + 1;
  return pool == Pool::kNone ? after : after / 2;
}

at::Tensor BackwardWeight(const Network& network, size_t l) {
  const Edge& edge = network.edges[l];
  switch (network.model) {
    case Model::kVfMlp:
      return edge.backward.t();
    case Model::kVfCnn:
      return edge.backward;
    default:
      return edge.weight;
  }
}

std::vector<std::vector<int64_t>> LayerShapes(const Network& network,
                                              at::IntArrayRef x_shape) {
  std::vector<std::vector<int64_t>> shapes;
  int64_t size = x_shape.back();
  for (size_t l = 0; l < network.layers(); ++l) {
    const Edge& edge = network.edges[l];
    const int64_t units = edge.weight.size(0);
    if (edge.convolution()) {
      size = SizeAfter(size, edge.weight.size(2), edge.stride, edge.padding,
                       edge.pool);
      shapes.push_back({units, size, size});
    } else {
      shapes.push_back({units});
    }
  }
  return shapes;
}

std::vector<std::pair<std::string, at::Tensor>> Parameters(
    const Network& network) {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (size_t i = 0; i < network.edges.size(); ++i) {
    const std::string name = absl::StrCat("synapses.", i);
    parameters.emplace_back(name + ".weight", network.edges[i].weight);
    parameters.emplace_back(name + ".bias", network.edges[i].bias);
  }
  for (size_t i = 1; i < network.edges.size(); ++i) {
    if (!network.edges[i].backward.defined()) continue;
    parameters.emplace_back(absl::StrCat("B_syn.", i - 1, ".weight"),
                            network.edges[i].backward);
  }
  return parameters;
}

std::vector<size_t> EdgeOfParameters(const Network& network) {
  std::vector<size_t> edges;
  for (size_t i = 0; i < network.edges.size(); ++i) {
    edges.insert(edges.end(), {i, i});
  }
  for (size_t i = 1; i < network.edges.size(); ++i) {
    if (network.edges[i].backward.defined()) edges.push_back(i);
  }
  return edges;
}

Network MakeNetwork(const Architecture& architecture,
                    std::optional<double> scale, at::Generator generator) {
  Network network;
  network.model = architecture.model;
  network.activation = architecture.activation;
  network.softmax = architecture.softmax;
  const std::vector<Blueprint> blueprints = Blueprints(architecture);
  // Edge 1 ends in the input and the readout is outside of the dynamics:
  // neither leads down.
  const auto leads_down = [&](size_t l) {
    return IsVectorField(network.model) && l > 0 && l < architecture.layers();
  };
  const auto draw_backward = [&](size_t l) {
    std::vector<int64_t> shape = blueprints[l].shape;
    if (network.model == Model::kVfMlp) std::swap(shape[0], shape[1]);
    network.edges[l].backward = models::KaimingUniformWeight(shape, generator);
  };
  for (size_t l = 0; l < blueprints.size(); ++l) {
    network.edges.push_back(blueprints[l].edge);
    DrawForward(network.edges[l], blueprints[l].shape, generator);
    if (network.model == Model::kVfCnn && leads_down(l)) draw_backward(l);
  }
  if (network.model == Model::kVfMlp) {
    for (size_t l = 0; l < blueprints.size(); ++l) {
      if (leads_down(l)) draw_backward(l);
    }
  }
  if (!scale.has_value()) return network;
  for (size_t l = 0; l < blueprints.size(); ++l) {
    DrawForward(network.edges[l], blueprints[l].shape, generator);
  }
  for (size_t l = 0; l < blueprints.size(); ++l) {
    if (leads_down(l)) draw_backward(l);
  }
  for (auto& [name, tensor] : Parameters(network)) tensor.mul_(*scale);
  return network;
}

Network MakeMlp(const std::vector<int64_t>& sizes, Activation activation,
                std::optional<double> scale, at::Generator generator) {
  CHECK_GE(sizes.size(), 2u) << "an MLP needs an input and an output layer";
  Architecture architecture;
  architecture.activation = activation;
  architecture.archi = sizes;
  return MakeNetwork(architecture, scale, std::move(generator));
}

Network ConvertNetwork(const Network& network, at::ScalarType dtype,
                       at::Device device) {
  Network converted = network;
  for (Edge& edge : converted.edges) {
    edge.weight = edge.weight.to(device, dtype);
    edge.bias = edge.bias.to(device, dtype);
    if (edge.backward.defined()) {
      edge.backward = edge.backward.to(device, dtype);
    }
  }
  return converted;
}

std::vector<double> Angles(const Network& network) {
  std::vector<double> angles;
  for (size_t l = 1; l < network.layers(); ++l) {
    if (!network.edges[l].backward.defined()) continue;
    const at::Tensor w = network.edges[l].weight.to(at::kDouble);
    const at::Tensor b = BackwardWeight(network, l).to(at::kDouble);
    const double cosine =
        ((w * b).sum() / (w.norm() * b.norm())).item<double>();
    angles.push_back(std::acos(cosine) * 180 / M_PI);
  }
  return angles;
}

}  // namespace altprop::eqprop
