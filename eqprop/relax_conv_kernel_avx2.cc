#define ALTPROP_LANE_BYTES 32

#include "eqprop/relax_conv_kernel_inl.h"

namespace altprop::eqprop::relax {

extern const ConvKernelSet kConvAvx2 = {kConvKernels<float>,
                                        kConvKernels<double>};

}  // namespace altprop::eqprop::relax
