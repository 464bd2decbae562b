#define ALTPROP_LANE_BYTES 16

#include "eqprop/relax_kernel_inl.h"

namespace altprop::eqprop::relax {

extern const Kernels kDefault = {"DEFAULT", RelaxBlock<float>,
                                 RelaxBlock<double>, 5};

}  // namespace altprop::eqprop::relax
