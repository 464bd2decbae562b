#define ALTPROP_KERNELS kDefault
#define ALTPROP_CAPABILITY "DEFAULT"

#include "common/kernels/batch_norm_kernel_inl.h"
