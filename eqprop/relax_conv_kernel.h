// The inner loops of relax_conv.h for the CPU. One compilation per instruction
// set; nothing here needs LibTorch.
//
// Images lie channels last, [height, width, Padded(channels)], some within a
// border of zeros, so that a row of a convolution's window is one run of
// memory. Every pointer and every distance between pixels is a multiple of
// kAlignment bytes.

#ifndef EQPROP_RELAX_CONV_KERNEL_H_
#define EQPROP_RELAX_CONV_KERNEL_H_

#include <cstdint>

#include "eqprop/relax_kernel.h"

namespace altprop::eqprop::relax {

// A linear map from windows of an image to the channels of a pixel:
//
//   out[i][c] = addend[i][c] + bias[c]
//             + sum_r sum_j in[offset[i] + r run_stride + j] weight[r, j][c]
//
// The sum of a pixel always runs over r and j in this order, wherever the pixel
// lies: equal windows have equal results to the last bit. Max pooling breaks
// ties by position, so a result that differed in rounding would send the
// feedback elsewhere, and to another fixed point.
template <typename T>
struct Product {
  const T* in;
  const int32_t* offset;  // [pixels]
  int64_t pixels;
  int64_t runs, run_length, run_stride;
  // Blocks of `block` vectors of output channels, each [runs, run_length,
  // block * lanes]; the last one has zeros beyond `vectors`.
  const T* weight;
  const T* bias;    // [ceil(vectors / block) * block * lanes]
  const T* addend;  // [pixels, vectors * lanes], null: zero; may be `out`
  T* out;           // [pixels, vectors * lanes]
  int64_t vectors, block;
};

enum class Window { kNone, kMax, kAverage };

// U(v), sparse: for each pixel of z, the channels that are not zero. Max
// pooling leaves three quarters out, and many units rest at zero. Channels are
// listed in blocks, whose weights fit a core's own cache.
template <typename T>
struct Active {
  int64_t block;     // channels of a block
  int32_t* count;    // [z pixels, ceil(channels / block)]
  int32_t* channel;  // [z pixels, channels], within the block
  T* value;          // as `channel`
};

// Pools `z` to `p` and lists U(v) by the same routing; either may be left out
// (`p`, `active.count` null). Pixels that no window holds keep their count.
template <typename T>
struct Route {
  Window window;
  int64_t samples, channels;  // channels: padded
  int64_t real_channels;      // those that are listed
  int64_t height, width;      // of p and v
  int64_t z_height, z_width;  // of z, which has no border
  int64_t v_row, v_sample;    // distances in v and p
  const T* z;
  const T* v;
  T* p;
  Active<T> active;
};

// The adjoint of a convolution, U(v) weight added to `out`. A window is `rows`
// runs of `width` vectors in `out`. The order of the sums is that of the
// windows' pixels and channels, as for Product.
template <typename T>
struct Scatter {
  Active<T> active;
  int64_t samples, channels;  // of the active
  int64_t z_height, z_width;
  int64_t rows, width;                     // rows: 1, or 3 of at most 6 vectors
  const T* weight;                         // [channels, rows, width]
  T* out;                                  // of the first window
  int64_t out_pixel, out_row, out_sample;  // distances between windows
  int64_t run_stride;                      // distance between rows of a window
};

// s <- sigma(keep (mask u + pull)), in v: mask s.
template <typename T>
struct Advance {
  Sigma sigma;
  bool linear;  // no sigma
  T keep;
  int64_t samples, height, row;  // row: width * padded channels
  int64_t v_row, v_sample;       // distances in u and v
  const T* u;
  const T* mask;  // null: ones; the next three have no border
  const T* pull;  // null: zeros
  T* s;           // null: v alone, where there is no mask
  T* v;
  T* change;  // raised to max |s - old s|; null: not asked
};

template <typename T>
struct ConvKernels {
  void (*product)(const Product<T>&);
  void (*route)(const Route<T>&);
  void (*scatter)(const Scatter<T>&);
  void (*advance)(const Advance<T>&);
  int64_t lanes;      // entries of a vector
  int64_t max_block;  // the widest block of a Product, in vectors
  int64_t max_sums;   // the largest rows * width of a Scatter
};

struct ConvKernelSet {
  ConvKernels<float> float32;
  ConvKernels<double> float64;
};

extern const ConvKernelSet kConvAvx512;
extern const ConvKernelSet kConvAvx2;
extern const ConvKernelSet kConvDefault;

}  // namespace altprop::eqprop::relax

#endif  // EQPROP_RELAX_CONV_KERNEL_H_
