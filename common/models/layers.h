// The layers that networks are made of, as plain structs of tensors: a method
// writes its network's forward pass out and changes a layer where it must.
// Autograd records the forward functions where a parameter requires a gradient.
#ifndef COMMON_MODELS_LAYERS_H_
#define COMMON_MODELS_LAYERS_H_

#include <cstdint>
#include <string>

#include "ATen/core/Generator.h"
#include "ATen/core/Tensor.h"
#include "absl/strings/string_view.h"
#include "common/training/value.h"

namespace altprop::models {

// y = x W^T + b.
struct Linear {
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out]; undefined: none
};

// Cross-correlation, zero padding, as torch.nn.Conv2d.
struct Conv2d {
  at::Tensor weight;  // [out, in, kernel, kernel]
  at::Tensor bias;    // [out]; undefined: none
  int64_t stride = 1;
  int64_t padding = 0;
};

// Per channel: y = (x - mean) / sqrt(variance + eps) * weight + bias. Training
// takes the batch's mean and biased variance, and moves the running ones by
// `momentum` towards the batch's (the variance unbiased); evaluation takes the
// running ones (Ioffe & Szegedy 2015, as torch.nn.BatchNorm1d and 2d).
struct BatchNorm {
  at::Tensor weight;               // [C]
  at::Tensor bias;                 // [C]
  at::Tensor running_mean;         // [C]
  at::Tensor running_var;          // [C]
  at::Tensor num_batches_tracked;  // int64, no dimensions
  double eps = 1e-5;
  double momentum = 0.1;
};

// As Python constructs them (init.h): the weight is drawn, then the bias.
// float32, on the CPU.
Linear MakeLinear(int64_t in, int64_t out, bool bias, at::Generator& generator);
Conv2d MakeConv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                  int64_t padding, bool bias, at::Generator& generator);
// Draws nothing: weight 1, bias 0, mean 0, variance 1.
BatchNorm MakeBatchNorm(int64_t channels, double eps = 1e-5,
                        double momentum = 0.1);

// x: [B, in] or [B, C, H, W] (batch norm: either).
at::Tensor Forward(const Linear& layer, const at::Tensor& x);
at::Tensor Forward(const Conv2d& layer, const at::Tensor& x);
at::Tensor Forward(const BatchNorm& layer, const at::Tensor& x, bool training);

// relu(norm(x) + shortcut), in fewer passes over memory than one after the
// other takes where x is float32 on the CPU with its channels together
// (kernels/batch_norm.h). shortcut: undefined, or of x's shape. Differentiable
// once.
at::Tensor ForwardRelu(const BatchNorm& layer, const at::Tensor& x,
                       bool training, const at::Tensor& shortcut = {});

// A network's tensors by the names that Python's state_dict gives them, in its
// order. The tensors are the layers' own.
class StateDict {
 public:
  // `name`: the module's, "features.0"; "" for none.
  void Add(absl::string_view name, const Linear& layer);
  void Add(absl::string_view name, const Conv2d& layer);
  void Add(absl::string_view name, const BatchNorm& layer);
  void AddParameter(std::string name, at::Tensor tensor);
  void AddBuffer(std::string name, at::Tensor tensor);

  // All of them, as a checkpoint's "model" holds them, and those that are
  // trained, in the same order.
  const training::NamedTensors& entries() const { return entries_; }
  const training::NamedTensors& parameters() const { return parameters_; }

  // Changes the tensors in place, so that the layers' handles follow: integers
  // keep their type. Gradients are asked for the parameters only.
  void ConvertTo(at::ScalarType dtype, at::Device device);
  void RequireGradients();

 private:
  training::NamedTensors entries_;
  training::NamedTensors parameters_;
};

}  // namespace altprop::models

#endif  // COMMON_MODELS_LAYERS_H_
