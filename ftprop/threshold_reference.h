// altprop::threshold written out with ATen's own operators, the way the method
// is described: targets, a hidden loss's slope, importance weighting. What the
// operators are held to; tests only.

#ifndef FTPROP_THRESHOLD_REFERENCE_H_
#define FTPROP_THRESHOLD_REFERENCE_H_

#include "ATen/core/Tensor.h"
#include "ftprop/nonlinearity.h"

namespace altprop::ftprop {

// As Apply() and ThresholdBackward() in threshold.h.
at::Tensor ApplyReference(const Nonlinearity& nonlinearity,
                          const at::Tensor& x);
at::Tensor BackwardReference(const Threshold& threshold, const at::Tensor& grad,
                             const at::Tensor& x);

}  // namespace altprop::ftprop

#endif  // FTPROP_THRESHOLD_REFERENCE_H_
