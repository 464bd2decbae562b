#define ALTPROP_KERNELS kAvx512
#define ALTPROP_CAPABILITY "AVX512"

#include "common/kernels/batch_norm_kernel_inl.h"
