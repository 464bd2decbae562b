// The networks of the paper's experiments: full-precision weights, hard
// thresholds (or other non-linearities) between them, real-valued logits.

#ifndef FTPROP_NETWORK_H_
#define FTPROP_NETWORK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ATen/core/Generator.h"
#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/models/layers.h"
#include "ftprop/nonlinearity.h"

namespace altprop::ftprop {

enum class Architecture {
  kConvnet4,       // 2 convolutions, 2 fully connected
  kConvnet8,       // 7 convolutions, 1 fully connected: DoReFa's digit network
  kAlexnetDrf,     // AlexNet as the DoReFa paper has it
  kResnet18,       // for 224 x 224 images: stem of stride 2 and a pool
  kResnet18Cifar,  // for 32 x 32 images: stem of stride 1
};

struct NetworkSpec {
  Architecture architecture = Architecture::kConvnet4;
  int64_t channels = 3, side = 32;  // of the images
  int64_t classes = 10;
  // Optional for the convnets; AlexNet and the ResNets always have it.
  bool batch_norm = false;
  // Of convnet4: channels of its convolutions and units of its hidden fully
  // connected layer.
  std::vector<int64_t> widths = {32, 64, 1024};
  // Batch norm's initial weights uniform on [0, 1), as PyTorch of 2018 drew
  // them (not in kResnet18, which sets them to 1), in place of 1.
  bool uniform_bn_weights = false;
};

// One non-linearity layer, number `index` from the input.
struct Hidden {
  size_t index;
};
struct MaxPool {  // padded with -infinity
  int64_t kernel, stride, padding;
};
struct AveragePool {
  int64_t kernel;
};
struct Flatten {};    // (C, H, W) order
struct Dropout2d {};  // whole channels of a sample; where a network has it

// conv - BN - hidden - conv - BN - add shortcut - hidden.
struct BasicBlock {
  models::Conv2d conv1, conv2;
  models::BatchNorm bn1, bn2;
  Hidden hidden1, hidden2;
  std::optional<models::Conv2d> shortcut;  // 1 x 1; none: the identity
  std::optional<models::BatchNorm> shortcut_bn;
};

using Layer =
    std::variant<models::Conv2d, models::Linear, models::BatchNorm, Hidden,
                 MaxPool, AveragePool, Flatten, Dropout2d, BasicBlock>;

struct Network {
  NetworkSpec spec;
  std::vector<Layer> layers;
  std::vector<Threshold> hidden;          // by Hidden::index
  std::vector<std::string> hidden_names;  // "block2", "layer1.0.1"
  // Parameters and buffers by the authors' names.
  models::StateDict state;
  // Activations and convolutions' weights lie in memory with their channels
  // last, which pooling and convolution are faster on.
  bool channels_last = false;
};

// Lays a network out so, before its parameters require gradients.
void UseChannelsLast(Network& network);

// How many Hidden a network has: 3, 7, 7, 17, 17.
size_t HiddenLayers(Architecture architecture);

// "convnet4", "convnet8", "alexnet_drf", "resnet18" (both).
absl::string_view ArchitectureName(Architecture architecture);

// Whether images and options fit: InvalidArgument with what was expected.
absl::Status CheckSpec(const NetworkSpec& spec);

// The network with PyTorch's default initialisation, drawn in its order: from a
// generator at torch.manual_seed(s) the weights that Python has after it.
// (kResnet18: convolutions normal with deviation sqrt(2 / (k k out)).)
// `hidden`: one per layer, of HiddenLayers() (CHECKed). float32, on the CPU.
Network MakeNetwork(const NetworkSpec& spec, std::vector<Threshold> hidden,
                    at::Generator generator);

// What a forward pass needs beside the network.
struct Pass {
  bool training = false;  // batch statistics, dropout
  double dropout = 0;     // probability of Dropout2d
  // The drop of a channel is a function of these, of its sample's place in the
  // batch and its own.
  uint64_t seed = 0;
  int64_t step = 0;
  // Operands of convolutions and matrix products rounded to bfloat16, results
  // and all else as they are. Outputs of steps are exact in it.
  bool bf16 = false;
  // Where given: every Hidden's input and output, by index.
  std::vector<at::Tensor>* inputs = nullptr;
  std::vector<at::Tensor>* outputs = nullptr;
};

// x: [N, channels, side, side] -> logits [N, classes].
at::Tensor Forward(const Network& network, const at::Tensor& x,
                   const Pass& pass);

// [samples, channels, 1, 1]: 0 with probability `p`, else 1 / (1 - p).
at::Tensor DropoutMask(int64_t samples, int64_t channels, double p,
                       uint64_t seed, int64_t step);

}  // namespace altprop::ftprop

#endif  // FTPROP_NETWORK_H_
