// The loops of batch_norm.h over a [rows, channels] matrix, one compilation per
// instruction set; nothing here needs LibTorch.
#ifndef COMMON_KERNELS_BATCH_NORM_KERNEL_H_
#define COMMON_KERNELS_BATCH_NORM_KERNEL_H_

#include <cstdint>

namespace altprop::kernels::batch_norm {

// A block of rows of the forward pass. Each function adds to its sums.
struct Forward {
  const float* x;
  const float* shortcut;  // or nullptr
  float* y;
  int64_t rows, channels;
};

// A block of rows of the backward pass. dz is dy where y > 0 with a rectifier,
// dy itself without.
struct Backward {
  const float* dy;
  const float* y;  // nullptr: no rectifier
  const float* x;
  float* dx;
  float* dshortcut;  // or nullptr
  int64_t rows, channels;
};

struct Kernels {
  const char* name;  // as at::get_cpu_capability() has it
  // sum[c] += x - shift[c], square[c] += (x - shift[c])^2. `part`: scratch,
  // [2 channels].
  void (*moments)(const Forward& block, const float* shift, float* part,
                  double* sum, double* square);
  // y = x scale[c] + offset[c] + shortcut, rectified or not.
  void (*apply)(const Forward& block, const float* scale, const float* offset,
                bool relu);
  // sum[c] += dz, product[c] += dz (x - mean[c]). `part`: scratch, [2
  // channels].
  void (*reduce)(const Backward& block, const float* mean, float* part,
                 double* sum, double* product);
  // dx = dz a[c] + (x - mean[c]) b[c] + d[c], dshortcut = dz.
  void (*gradient)(const Backward& block, const float* mean, const float* a,
                   const float* b, const float* d);
};

extern const Kernels kAvx512;
extern const Kernels kAvx2;
extern const Kernels kDefault;

}  // namespace altprop::kernels::batch_norm

#endif  // COMMON_KERNELS_BATCH_NORM_KERNEL_H_
