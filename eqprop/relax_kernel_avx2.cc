#define ALTPROP_LANE_BYTES 32

#include "eqprop/relax_kernel_inl.h"

namespace altprop::eqprop::relax {

extern const Kernels kAvx2 = {"AVX2", RelaxBlock<float>, RelaxBlock<double>,
                              10};

}  // namespace altprop::eqprop::relax
