// A hidden layer's non-linearity as one operator: hard thresholds forward,
// target propagation backward (Friesen & Domingos 2018, section 4; FTPROP-MB).
//
// Registered with PyTorch's dispatcher, with autograd:
//   altprop::threshold(Tensor x, str nonlin, str rule="SoftHinge",
//                      bool scaled=True, bool sste_v2_as_coded=False) -> Tensor
//   altprop::threshold_backward(Tensor grad, Tensor x, str nonlin, str rule,
//                      bool scaled, bool sste_v2_as_coded) -> Tensor
// nonlin and rule are the names of nonlinearity.h. float64, float32, bfloat16,
// float16 (the last two compute in float32); CPU and CUDA. The forward pass
// reads x once and keeps nothing but x; the backward pass is one loop.

#ifndef FTPROP_THRESHOLD_H_
#define FTPROP_THRESHOLD_H_

#include "ATen/core/Tensor.h"
#include "ftprop/nonlinearity.h"

namespace altprop::ftprop {

// y of x, any shape and memory format, which y has too. Where x requires a
// gradient, autograd gets ThresholdBackward. c10::Error for other types and for
// what CheckRule() refuses.
at::Tensor Apply(const Threshold& threshold, const at::Tensor& x);

// dL/dx of x and `grad` = dL/dy, of the same shape and type. N of the unscaled
// rules is grad.size(0), for a convolution's output too: the samples, without
// their positions.
at::Tensor ThresholdBackward(const Threshold& threshold, const at::Tensor& grad,
                             const at::Tensor& x);

}  // namespace altprop::ftprop

#endif  // FTPROP_THRESHOLD_H_
