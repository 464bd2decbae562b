// The networks of the paper and of the small experiments, and their constrained
// weights.
//
// A network is a list of nodes in order of execution, made by a builder
// (architectures.cc). All convolutions and linear layers are constrained, but
// for the first convolution and the last linear layer. Parameters have the
// names of the authors' program, torchvision's where there is such a model.

#ifndef CBP_NETWORK_H_
#define CBP_NETWORK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Generator.h"
#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cbp/levels.h"
#include "cbp/weight_rule.h"
#include "common/models/layers.h"
#include "common/training/value.h"

namespace altprop::cbp {

enum class Model {
  kAlexNet,  // AlexNet-BN: torchvision's widths, batch norm, no dropout
  kResNet18,
  kResNet50,   // the stride on the 3x3 convolutions
  kGoogLeNet,  // torchvision's, batch norm, without auxiliary classifiers
  kMnistCnn,   // two convolutions, two linear layers, for 28x28 images
  kResNet20,   // three stages of three basic blocks, for 32x32 images
};

absl::string_view ModelName(Model model);
// InvalidArgument lists the names.
absl::StatusOr<Model> ParseModel(absl::string_view text);
// The first channel count of the published network.
int64_t DefaultWidth(Model model);

struct Architecture {
  Model model = Model::kResNet18;
  // The first channel count: mnist_cnn and resnet20 count from it, the others
  // have every channel count times width / 64.
  int64_t width = 64;
  int64_t classes = 1000;
  int64_t input_channels = 3;
};

// A convolution or a linear layer. No bias but the last one's.
struct WeightLayer {
  std::string name;
  at::Tensor weight;  // [out, in, k, k] or [out, in]
  at::Tensor bias;    // [out] or undefined
  int64_t stride = 1, padding = 0;
  int64_t flat = -1;  // number among the constrained layers, or -1: free
  // What the forward pass takes: `weight`, or the constrained layer's Q(w).
  at::Tensor used;

  bool constrained() const { return flat >= 0; }
};

struct NormLayer {
  std::string name;
  models::BatchNorm norm;
};

enum class NodeKind {
  kWeight,      // layers[index]; a linear layer flattens its input
  kNorm,        // norms[index]
  kRelu,        // in place
  kMaxPool,     // kernel, stride, padding; ceil: the size rounds up
  kMeanPool,    // to 1x1
  kMeanPoolTo,  // to kernel x kernel
  kAdd,         // in place on the first input
  kConcat,      // along channels
};

struct Node {
  NodeKind kind;
  std::vector<int> inputs;  // nodes; -1: the image
  int index = -1;
  int64_t kernel = 0, stride = 0, padding = 0;
  bool ceil = false;
};

// The constrained layers' state, each kind in one flat buffer, in order of
// registration. With channels_last a convolution lies in it as [out, k, k, in].
struct Constrained {
  std::vector<std::string> names;
  std::vector<std::vector<int64_t>> shapes;
  std::vector<int64_t> offsets;  // L + 1
  bool channels_last = false;
  at::Tensor w;                    // real-valued weights
  at::Tensor q;                    // Q(w): levels
  at::Tensor lambda;               // multipliers
  at::Tensor v;                    // momentum of w
  at::Tensor exp_avg, exp_avg_sq;  // Adam's moments of lambda
  at::Tensor scales;               // [L]

  size_t size() const { return names.size(); }
  int64_t weights() const { return offsets.back(); }  // N_q
  // Layer k of one of the buffers, in the layer's shape, sharing its storage.
  at::Tensor View(const at::Tensor& buffer, size_t k) const;
  // A tensor of layer k's shape as the buffers have it: 1-d, contiguous.
  at::Tensor Flatten(const at::Tensor& tensor, size_t k) const;
  at::Tensor ScaleOf(size_t k) const { return scales.narrow(0, k, 1); }
  FlatLayers layers() const { return {scales, offsets}; }
};

struct NetworkOptions {
  at::ScalarType dtype = at::kFloat;
  at::ScalarType operand_dtype = at::kFloat;  // of products
  at::Device device = at::Device(at::kCPU);
  bool channels_last = false;  // on a CPU only where all channels suit oneDNN
};

class Network {
 public:
  // Weights drawn from `generator` as the authors' program does: each layer as
  // torch constructs it, then all convolutions and linear layers again, normal
  // with variance 2 / fan_out (not the small networks' classifiers).
  Network(const Architecture& architecture, const NetworkOptions& options,
          at::Generator generator);
  // A network of one's own: `layers`, `norms` and `nodes` as a builder left
  // them, `registered` as below.
  struct Parts {
    std::vector<WeightLayer> layers;
    std::vector<NormLayer> norms;
    std::vector<Node> nodes;
    // In order of registration: i is layers[i], -1 - i is norms[i].
    std::vector<int> registered;
  };
  Network(Parts parts, const NetworkOptions& options);

  Network(Network&&) = default;
  Network& operator=(Network&&) = default;

  // x: [B, C, H, W] (or [B, in]) of the network's type. Logits, [B, classes].
  at::Tensor Forward(const at::Tensor& x, bool training) const;

  // The first batch norm to which an image of `side` pixels squared brings a
  // single value per channel, or "". A batch of one such has no variance.
  std::string SingleValueNorm(int64_t channels, int64_t side) const;

  // Full precision (the start) or Q(w) in the forward pass.
  void UseQuantized(bool quantized);
  bool quantized() const { return quantized_; }

  // s <- mean |w| of every constrained layer. InvalidArgument for a layer of
  // zeros, which has no levels.
  absl::Status SetScales();
  // q <- Q(w).
  void Quantize(Mode mode);

  // Names and tensors in the authors' order; the scales are left out where the
  // network is in full precision.
  training::NamedTensors State() const;
  // Those of the forward pass that are trained: of the constrained layers, in
  // order; of the others: weights, then biases and normalisation parameters.
  const std::vector<at::Tensor>& constrained_leaves() const {
    return quantized_ ? quantized_leaves_ : plain_leaves_;
  }
  training::NamedTensors FreeWeights() const;
  training::NamedTensors FreeOthers() const;
  training::NamedTensors ConstrainedWeights() const;

  Constrained& constrained() { return constrained_; }
  const Constrained& constrained() const { return constrained_; }
  const std::vector<WeightLayer>& layers() const { return parts_.layers; }
  const NetworkOptions& options() const { return options_; }

 private:
  void Flatten();
  at::Tensor Apply(const Node& node, const std::vector<at::Tensor>& values,
                   const at::Tensor& x, bool training) const;
  at::Tensor Weighted(const WeightLayer& layer, const at::Tensor& x) const;

  Parts parts_;
  NetworkOptions options_;
  Constrained constrained_;
  std::vector<at::Tensor> plain_leaves_, quantized_leaves_;
  std::vector<int> last_use_;  // of each node's value: a node
  bool quantized_ = false;
};

// The parts of a published network, weights drawn (architectures.cc).
Network::Parts BuildParts(const Architecture& architecture,
                          at::Generator generator);

// The smallest square image that the network takes.
int64_t SmallestImage(Model model);

}  // namespace altprop::cbp

#endif  // CBP_NETWORK_H_
