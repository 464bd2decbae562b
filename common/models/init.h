#ifndef COMMON_MODELS_INIT_H_
#define COMMON_MODELS_INIT_H_

#include <cstdint>

#include "ATen/core/Generator.h"
#include "ATen/core/Tensor.h"

namespace altprop::models {

// torch.nn's default initialisation, bit for bit: a model built in the same
// order from a generator of the same seed has the weights that Python has after
// torch.manual_seed(seed). Drawn in float32 on the CPU always; convert after.

// A CPU generator at the start of the stream of torch.manual_seed(`seed`).
at::Generator SeededGenerator(uint64_t seed);

// The weight of torch.nn.Linear (`shape` [out, in]) or Conv2d ([out, in, kh,
// kw]): kaiming_uniform_(a = sqrt(5)), uniform in +-1/sqrt(fan_in) up to
// rounding, with fan_in = in * kh * kw. CHECKs at least two dimensions, none of
// them 0.
at::Tensor KaimingUniformWeight(at::IntArrayRef shape,
                                at::Generator& generator);

// The bias of such a layer, [weight.size(0)], uniform in +-1/sqrt(fan_in).
// Python draws it after the weight.
at::Tensor KaimingUniformBias(const at::Tensor& weight,
                              at::Generator& generator);

}  // namespace altprop::models

#endif  // COMMON_MODELS_INIT_H_
