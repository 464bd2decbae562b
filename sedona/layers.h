// The layers of SEDONA's networks. As plain structs of tensors: a network that
// is copied shares them, and its copy computes with other ones where handles
// are replaced (network.h), which is how the search differentiates through
// updates.
#ifndef SEDONA_LAYERS_H_
#define SEDONA_LAYERS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "ATen/core/Generator.h"
#include "ATen/core/Tensor.h"
#include "absl/functional/function_ref.h"
#include "common/models/layers.h"

namespace altprop::sedona {

enum class Activation { kNone, kRelu, kLeakyRelu };  // slope 0.01

at::Tensor Activate(const at::Tensor& x, Activation activation);

// How a forward pass runs. In training batch norm takes the batch's statistics
// and `dropout`, where it is above 0, draws from `generator`.
struct Mode {
  bool training = false;
  double dropout = 0;
  at::Generator* generator = nullptr;
  // Nobody will differentiate the gradients: batch norm and what follows it are
  // then one pass where they can be (common/kernels/batch_norm.h).
  bool differentiable_once = false;
};

// A network's input as the fused passes want it: channels together.
at::Tensor Arrange(const at::Tensor& x, const Mode& mode);

// relu(norm(x) + shortcut), without the rectifier or the shortcut where they
// are not asked for. shortcut: undefined, or of x's shape.
at::Tensor Normalise(const models::BatchNorm& norm, const at::Tensor& x,
                     bool relu, const at::Tensor& shortcut, const Mode& mode);

// Called with a tensor's name, its handle, and whether it is trained.
using TensorVisitor =
    absl::FunctionRef<void(const std::string&, at::Tensor&, bool)>;

// Convolution without bias, batch norm, activation.
struct ConvNorm {
  at::Tensor weight;  // [out, in / groups, kernel, kernel]
  int64_t stride = 1, padding = 0, groups = 1;
  models::BatchNorm norm;
  Activation activation = Activation::kRelu;
};

struct ConvShape {
  int64_t in = 0, out = 0, kernel = 1, stride = 1, groups = 1;
};

// Padding keeps the size at stride 1. Weights are zero until InitialiseTensor.
ConvNorm MakeConvNorm(const ConvShape& shape, Activation activation);
at::Tensor Forward(const ConvNorm& layer, const at::Tensor& x,
                   const Mode& mode);
// The layer's activation must be kNone: relu(layer(x) + shortcut).
at::Tensor ForwardInto(const ConvNorm& layer, const at::Tensor& x,
                       const at::Tensor& shortcut, const Mode& mode);
// `conv`, `norm`: the names of the two modules.
void Visit(ConvNorm& layer, const std::string& conv, const std::string& norm,
           TensorVisitor visit);

models::Linear ZeroLinear(int64_t in, int64_t out);
void Visit(models::Linear& layer, const std::string& name, TensorVisitor visit);
void Visit(models::BatchNorm& layer, const std::string& name,
           TensorVisitor visit);

// Kaiming normal, fan-in, for convolutions and matrices: standard deviation
// sqrt(2 / ((1 + a^2) fan_in)), a the slope of `nonlin`. The rest is left as it
// was made: batch norm weight 1, biases 0.
void InitialiseTensor(at::Tensor& parameter, Activation nonlin,
                      at::Generator& generator);

}  // namespace altprop::sedona

#endif  // SEDONA_LAYERS_H_
