// W x + b for a batch of samples.

#ifndef EQPROP_AFFINE_H_
#define EQPROP_AFFINE_H_

#include "ATen/core/Tensor.h"

namespace altprop::eqprop {

// x: [B, n], weight: [m, n], bias: [m]; returns [B, m]. at::linear but for
// autograd, which it does not record.
//
// On the CPU each thread takes some rows of the weight. Those are the rows that
// an optimizer's fused step gives it too, so a large weight, its gradient and
// its moments stay in one core's cache from step to step; at::linear splits the
// product otherwise, and the optimizer then waits for the other core's cache
// (MLP 784-512-10, two threads: 0.8 instead of 0.1 ms in Adam).
at::Tensor Affine(const at::Tensor& x, const at::Tensor& weight,
                  const at::Tensor& bias);

}  // namespace altprop::eqprop

#endif  // EQPROP_AFFINE_H_
