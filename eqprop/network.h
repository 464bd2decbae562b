// The network: a chain of edges x = s_0 - s_1 - ... - s_S, matrices in an MLP,
// convolutions and then matrices in a CNN. Edge l joins layers l-1 and l. In
// the symmetric models it carries both ways, upwards through W_l, downwards
// through its adjoint; in the vector-field models (VFMLP, VFCNN) a weight B_l
// of its own leads down.

#ifndef EQPROP_NETWORK_H_
#define EQPROP_NETWORK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ATen/core/Generator.h"
#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eqprop/activation.h"
#include "eqprop/edge.h"

namespace altprop::eqprop {

enum class Model { kMlp, kVfMlp, kCnn, kVfCnn };

// "MLP", "VFMLP", "CNN", "VFCNN", and back.
absl::string_view ModelName(Model model);
absl::StatusOr<Model> ParseModel(absl::string_view name);

inline bool IsConvolutional(Model model) {
  return model == Model::kCnn || model == Model::kVfCnn;
}
inline bool IsVectorField(Model model) {
  return model == Model::kVfMlp || model == Model::kVfCnn;
}

// What a network is made of, as the authors' flags say it.
struct Architecture {
  Model model = Model::kMlp;
  Activation activation = Activation::kMysig;
  std::vector<int64_t> archi;  // MLPs: n_0 ... n_L
  // CNNs: square images of input_size, then an entry per convolution.
  int64_t input_channels = 0, input_size = 0;
  std::vector<int64_t> channels, kernels, strides, paddings;
  std::vector<Pool> pools;
  std::vector<int64_t> fc;  // matrices after the convolutions, to the classes
  // CNNs: the last matrix is a readout outside of the dynamics, a softmax.
  bool softmax = false;

  bool convolutional() const { return IsConvolutional(model); }
  size_t edges() const;   // N
  size_t layers() const;  // S: N, or N - 1 with a softmax readout
  int64_t classes() const;
};

// The sizes of the layers that people know a network by: "784-512-10", or
// channels and then matrices, "128-256-512-512-10".
std::string SizesText(const Architecture& architecture);

// The size of an image after a convolution and its pooling; 0 or less where the
// kernel or the window does not fit.
int64_t SizeAfter(int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                  Pool pool);

struct Network {
  Model model = Model::kMlp;
  Activation activation = Activation::kMysig;
  bool softmax = false;     // the last edge is the readout
  std::vector<Edge> edges;  // edge l of the paper is edges[l - 1]

  size_t layers() const { return edges.size() - (softmax ? 1 : 0); }
  int64_t classes() const { return edges.back().weight.size(0); }
};

// The weight that carries layer l + 1 (0-based: edges[l]) down to the layer
// below, shaped as that edge's W: W itself, or B.
at::Tensor BackwardWeight(const Network& network, size_t l);

// The shape of each layer's state, without the batch, for an input of
// `x_shape`, [B, n_0] or [B, C, H, W].
std::vector<std::vector<int64_t>> LayerShapes(const Network& network,
                                              at::IntArrayRef x_shape);

// The parameters under the authors' names: `synapses.{i}.weight` and
// `synapses.{i}.bias`, edge after edge, then `B_syn.{j}.weight`, which belongs
// to edges[j + 1]: the order of every gradient in this package. The tensors are
// the network's own, not copies.
std::vector<std::pair<std::string, at::Tensor>> Parameters(
    const Network& network);

// The edge (0-based) that each of Parameters(network) belongs to.
std::vector<size_t> EdgeOfParameters(const Network& network);

// A network initialised as the authors' program does after torch.manual_seed:
// weights and biases uniform in +-1/sqrt(fan_in), weight before bias, edge
// after edge, drawn in float32 from `generator` (CPU). A VFCNN draws the
// backward weight of an edge right after its bias, a VFMLP all of them at the
// end. With `scale` everything is drawn a second time, all edges and then all
// backward weights, and multiplied by it. The result is float32 on the CPU; see
// ConvertNetwork. `architecture` fits together (flags.h checks it).
Network MakeNetwork(const Architecture& architecture,
                    std::optional<double> scale, at::Generator generator);

// An MLP with layers of `sizes`, n_0 to n_L.
Network MakeMlp(const std::vector<int64_t>& sizes, Activation activation,
                std::optional<double> scale, at::Generator generator);

// The same network with parameters of `dtype` on `device` (copies where they
// differ). The draw above is the same for every dtype.
Network ConvertNetwork(const Network& network, at::ScalarType dtype,
                       at::Device device);

// Degrees between B_l and W_l for every edge of a vector-field network that has
// both, from edge 2 on: arccos(<B, W> / (|B| |W|)).
std::vector<double> Angles(const Network& network);

}  // namespace altprop::eqprop

#endif  // EQPROP_NETWORK_H_
