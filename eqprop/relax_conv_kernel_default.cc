#define ALTPROP_LANE_BYTES 16

#include "eqprop/relax_conv_kernel_inl.h"

namespace altprop::eqprop::relax {

extern const ConvKernelSet kConvDefault = {kConvKernels<float>,
                                           kConvKernels<double>};

}  // namespace altprop::eqprop::relax
