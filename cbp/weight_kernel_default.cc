#define ALTPROP_VECTOR_BYTES 16

#include "cbp/weight_kernel_inl.h"

namespace altprop::cbp {

extern const WeightKernels kWeightDefault = MakeKernels("default");

}  // namespace altprop::cbp
