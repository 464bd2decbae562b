#define ALTPROP_VECTOR_BYTES 32

#include "cbp/weight_kernel_inl.h"

namespace altprop::cbp {

extern const WeightKernels kWeightAvx2 = MakeKernels("avx2");

}  // namespace altprop::cbp
