#define ALTPROP_LANE_BYTES 64

#include "eqprop/relax_conv_kernel_inl.h"

namespace altprop::eqprop::relax {

extern const ConvKernelSet kConvAvx512 = {kConvKernels<float>,
                                          kConvKernels<double>};

}  // namespace altprop::eqprop::relax
