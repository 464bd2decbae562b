#define ALTPROP_KERNELS kAvx2
#define ALTPROP_CAPABILITY "AVX2"

#include "common/kernels/batch_norm_kernel_inl.h"
