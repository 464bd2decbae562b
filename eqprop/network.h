// The network: a chain of edges x = s_0 - s_1 - ... - s_S. Edge l joins layers
// l-1 and l and is used in both directions, upwards through W_l and downwards
// through its transpose. In an MLP every edge is a matrix.

#ifndef EQPROP_NETWORK_H_
#define EQPROP_NETWORK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ATen/core/Generator.h"
#include "ATen/core/Tensor.h"
#include "eqprop/activation.h"

namespace altprop::eqprop {

struct Edge {
  at::Tensor weight;  // W_l, [n_l, n_{l-1}]
  at::Tensor bias;    // b_l, [n_l]
};

struct Network {
  std::vector<Edge> edges;  // edge l of the paper is edges[l - 1]
  Activation activation = Activation::kMysig;

  int64_t classes() const { return edges.back().weight.size(0); }
  int64_t inputs() const { return edges.front().weight.size(1); }
};

// The parameters under the authors' names, `synapses.{i}.weight` and
// `synapses.{i}.bias`, edge after edge: the order of every gradient in
// equilibrium.h. The tensors are the network's own, not copies.
std::vector<std::pair<std::string, at::Tensor>> Parameters(
    const Network& network);

// An MLP with layers of `sizes` (n_0 the input, n_S the classes; at least two,
// each at least 1), initialised as the authors' program does after
// torch.manual_seed: weights and biases uniform in +-1/sqrt(n_{l-1}), weight
// before bias, edge after edge, drawn in float32 from `generator` (CPU). With
// `scale` everything is drawn a second time and multiplied by it. The result is
// float32 on the CPU; see ConvertNetwork.
Network MakeMlp(const std::vector<int64_t>& sizes, Activation activation,
                std::optional<double> scale, at::Generator generator);

// The same network with parameters of `dtype` on `device` (copies where they
// differ). The draw above is the same for every dtype.
Network ConvertNetwork(const Network& network, at::ScalarType dtype,
                       at::Device device);

}  // namespace altprop::eqprop

#endif  // EQPROP_NETWORK_H_
