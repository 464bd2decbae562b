// Batch normalisation with what follows it in most networks, in as few passes
// over memory as there can be: the sum with a shortcut and the rectifier.
//
//   y = relu((x - mean) / sqrt(variance + eps) * weight + bias + shortcut)
//
// With training the moments are the batch's (biased variance), and the running
// ones move towards them (the variance unbiased), as torch.nn.BatchNorm's do.
#ifndef COMMON_KERNELS_BATCH_NORM_H_
#define COMMON_KERNELS_BATCH_NORM_H_

#include <ATen/core/Tensor.h>

namespace altprop::kernels {

struct BatchNormTensors {
  at::Tensor weight, bias;               // [C]
  at::Tensor running_mean, running_var;  // [C], updated in place by training
};

struct BatchNormOptions {
  bool training = true;
  double momentum = 0.1;
  double eps = 1e-5;
  bool relu = false;
};

// x: [N, C] or [N, C, H, W], N H W > 1 for training. shortcut: undefined, or of
// x's shape and type. Returns y in x's layout; autograd records it, for x, the
// shortcut, weight and bias, once: gradients of gradients are an error.
//
// Fused, as altprop::batch_norm_act, on the CPU for float32 whose channels lie
// together ([N, C], or channels-last images) while training; everything else is
// the ATen calls of BatchNormActPlain. Moments are summed in float over 64 rows
// and in double beyond that, in an order that does not depend on the number of
// threads.
at::Tensor BatchNormAct(const at::Tensor& x, const BatchNormTensors& norm,
                        const at::Tensor& shortcut,
                        const BatchNormOptions& options);

// The same as one ATen call after the other, for any device and type.
at::Tensor BatchNormActPlain(const at::Tensor& x, const BatchNormTensors& norm,
                             const at::Tensor& shortcut,
                             const BatchNormOptions& options);

}  // namespace altprop::kernels

#endif  // COMMON_KERNELS_BATCH_NORM_H_
