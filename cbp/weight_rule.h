// The two updates of the method over all constrained layers at once, each one
// pass over memory: what constraint.h does layer by layer and call by call.
//
// Layers lie end to end in flat buffers: layer k is [offsets[k], offsets[k +
// 1]). All buffers are contiguous, of one dtype (float32 or float64) and on one
// device. Sums are added in an order that depends on the sizes alone, so they
// are the same for any number of threads. c10::Error for other shapes and
// types.

#ifndef CBP_WEIGHT_RULE_H_
#define CBP_WEIGHT_RULE_H_

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "c10/util/ArrayRef.h"
#include "cbp/constraint.h"
#include "cbp/levels.h"

namespace altprop::cbp {

struct FlatLayers {
  at::Tensor scales;              // [L]
  at::ArrayRef<int64_t> offsets;  // L + 1, ascending from 0
};

// UpdateWeight() for every layer, in place in w, v and q. `gradients`: L
// tensors, contiguous, each of its layer's size. Returns float64 [2]: the sum
// of lambda cs(w) with the weights before the step, and of Y(w) with those
// after. Reads 16 and writes 12 bytes per float32 weight. Dispatches to
// altprop::cbp_update_weights.
at::Tensor UpdateWeights(const at::Tensor& w, at::TensorList gradients,
                         const at::Tensor& lambda, const at::Tensor& v,
                         const at::Tensor& q, const FlatLayers& layers,
                         Mode mode, const WeightStep& step);

// UpdateMultiplier() for every layer, in place in lambda, m and v. Returns
// float64 [1]: the sum of Y(w). Dispatches to altprop::cbp_update_multipliers.
at::Tensor UpdateMultipliers(const at::Tensor& w, const at::Tensor& lambda,
                             const at::Tensor& m, const at::Tensor& v,
                             const FlatLayers& layers, Mode mode, double u,
                             double lr_lambda, int64_t t);

// q = Q(w) for every layer. Dispatches to altprop::cbp_quantize.
void QuantizeInto(const at::Tensor& w, const at::Tensor& q,
                  const FlatLayers& layers, Mode mode);

}  // namespace altprop::cbp

#endif  // CBP_WEIGHT_RULE_H_
