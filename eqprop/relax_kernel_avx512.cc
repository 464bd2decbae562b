#define ALTPROP_LANE_BYTES 64

#include "eqprop/relax_kernel_inl.h"

namespace altprop::eqprop::relax {

extern const Kernels kAvx512 = {"AVX512", RelaxBlock<float>, RelaxBlock<double>,
                                10};

}  // namespace altprop::eqprop::relax
