// The paper's networks: perceptrons, VGG-5, VGG-9, ResNet-20 and ResNet-21.
//
// Every linear and convolutional layer is binarizable, the first and the last
// one too; nothing else is. Layers are numbered from 0 in forward order, which
// in a ResNet-21 block is first convolution, second, projection.

#ifndef ITERBIN_NETWORK_H_
#define ITERBIN_NETWORK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Generator.h"
#include "ATen/core/Tensor.h"
#include "common/models/layers.h"
#include "common/training/value.h"
#include "iterbin/binarize.h"

namespace altprop::iterbin {

struct Layer {
  std::string name;   // of the module: "features.0"
  int64_t position;   // of the module, counted from the root in pre-order with
                      // containers; what the authors' order files hold
  at::Tensor weight;  // [out, in] or [out, in, k, k]: the master
  at::Tensor bias;    // [out]; undefined: none
  int64_t stride = 1, padding = 0;  // of a convolution
};

// How the layers are put together. Batch norm i follows layer i; the ResNets
// have none after the last layer.
//   kPlain     layer, batch norm, ReLU (log-softmax after the last one); 2x2
//              maximum pooling where `pool_after` says
//   kResNet20  stem, blocks of two layers, shortcuts without parameters (every
//              second pixel, zero channels before and behind), mean, linear
//   kResNet21  ResNet-18: stem with pooling, blocks of two layers, 1x1
//              projections where the stride is 2, mean, linear
enum class Kind { kPlain, kResNet20, kResNet21 };

struct Network {
  std::string name;  // "300", "vgg5", ..., as the command line has it
  Kind kind = Kind::kPlain;
  std::vector<Layer> layers;
  std::vector<models::BatchNorm> norms;
  std::vector<std::string> norm_names;  // of the modules: "features.1"
  std::vector<bool> pool_after;         // kPlain; per layer
  int64_t modules = 0;                  // positions in use, the root included
  bool channels_last = false;  // how images lie in memory: faster on a CPU

  int64_t classes() const { return layers.back().weight.size(0); }
  int64_t weights() const;  // binarizable ones
  std::vector<at::Tensor> masters() const;
  // Names and order of the authors' checkpoints. The tensors are the network's.
  models::StateDict State() const;
  training::NamedTensors parameters() const { return State().parameters(); }
  training::NamedTensors entries() const { return State().entries(); }
};

// Networks as Python builds them after torch.manual_seed, from a generator of
// that seed; float32 on the CPU. ResNet-20 draws everything twice, ResNet-21
// its convolutions again from N(0, 2 / fan_out), as the authors' classes do.
//
// `widths`: input, hidden layers, classes.
Network MakeMlp(std::string name, const std::vector<int64_t>& widths,
                at::Generator generator);
// 3 x 32 x 32 images. `blocks`: channels of the 3x3 convolutions before each
// pooling; `hidden`: units of the linear layers.
Network MakeVgg(std::string name,
                const std::vector<std::vector<int64_t>>& blocks,
                const std::vector<int64_t>& hidden, int64_t classes,
                at::Generator generator);
Network MakeResNet20(at::Generator generator);
Network MakeResNet21(at::Generator generator);

// 300 (784-300-100-10), 784 (784-784-784-10), vgg5, vgg9, resnet20, resnet21.
// 784-784-100-10 as the paper's text has it is "784x100". CHECKs the name.
Network MakeNamed(const std::string& name, const at::Generator& generator);
bool IsNetworkName(const std::string& name);

// What a forward pass computes with.
struct Weights {
  std::vector<at::Tensor> weight;  // E(W)
  std::vector<at::Tensor> bias;
  std::vector<models::BatchNorm> norms;  // running statistics are the network's
};
Weights EffectiveWeights(const Network& network, const Flags& binary);

// x: [B, C, H, W]. Log-probabilities (kPlain) or logits (ResNets), [B,
// classes]. `training`: batch statistics, and the running ones move.
// `operands`: the type that factors of a product are rounded to (x's own: no
// rounding).
at::Tensor Forward(const Network& network, const Weights& weights,
                   const at::Tensor& x, bool training, at::ScalarType operands);

// The two-layer block whose first layer is `first`, with its shortcut; moves
// `first` behind it. For tests of its own too.
at::Tensor ResidualBlock(const Network& network, const Weights& weights,
                         size_t& first, const at::Tensor& x, bool training,
                         at::ScalarType operands);

// Layer i without its batch norm.
at::Tensor ApplyLayer(const Network& network, const Weights& weights, size_t i,
                      const at::Tensor& x, at::ScalarType operands);

// The mean over a map, [B, C, H, W] to [B, C], before the ResNets' last layer.
at::Tensor MeanOfMap(const at::Tensor& x);

// The option-A shortcut to `channels` channels and half the size.
at::Tensor PaddedShortcut(const at::Tensor& x, int64_t channels);

// Mean over the minibatch: of -log p (kPlain), cross-entropy (ResNets); the
// same function of what comes before the log-softmax.
at::Tensor Loss(const Network& network, const at::Tensor& output,
                const at::Tensor& labels);

// dLoss/dE for each weight, dLoss/d(parameter) for the rest, in the order of
// State().parameters(): what straight-through hands to the optimizer.
struct Gradients {
  at::Tensor output;  // [B, classes], detached
  double loss = 0;    // mean
  std::vector<at::Tensor> gradients;
};
Gradients LossGradients(const Network& network, const Flags& binary,
                        const at::Tensor& x, const at::Tensor& labels,
                        at::ScalarType operands);

}  // namespace altprop::iterbin

#endif  // ITERBIN_NETWORK_H_
