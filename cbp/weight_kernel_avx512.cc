#define ALTPROP_VECTOR_BYTES 64

#include "cbp/weight_kernel_inl.h"

namespace altprop::cbp {

extern const WeightKernels kWeightAvx512 = MakeKernels("avx512");

}  // namespace altprop::cbp
