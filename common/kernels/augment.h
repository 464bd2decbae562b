// From stored bytes to a network's input, in one pass on the images' device:
// flip, pad, crop, scale to [0, 1], normalise.
//
//   out[n,c,y,x] = (P[n,c, y + top, x + left] / 255 - mean[c]) / std[c]
//
// where P is image n, mirrored left to right if flip, with `pad` pixels added
// on each side: the edge repeated, or zeros. This is torchvision's ToTensor and
// Normalize after a flip, a Pad and a crop of the 8-bit image.
#ifndef COMMON_KERNELS_AUGMENT_H_
#define COMMON_KERNELS_AUGMENT_H_

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>

namespace altprop::kernels {

// images: uint8 [N, C, H, W], any strides, N = 0 too. draws: int32 [N, 3] with
// columns top, left (0 .. 2 pad; beyond that the padding goes on) and flip (0
// or not), on the images' device, or undefined: no flip, and the image itself.
// mean, std: one per channel, in units of [0, 1]; std not 0.
// dtype: float32 (the same bits as torchvision's), float64 (every step in
// float64), bfloat16 or float16 (float32, rounded at the end).
// Returns [N, C, H, W], contiguous. c10::Error for other shapes and types.
// Dispatches to altprop::augment; equal bits on CPU, CUDA and in the reference.
at::Tensor Augment(const at::Tensor& images, const at::Tensor& draws,
                   int64_t pad, bool replicate_edge, at::ArrayRef<double> mean,
                   at::ArrayRef<double> std, at::ScalarType dtype);

// Without augmentation: (byte / 255 - mean) / std.
at::Tensor Normalize(const at::Tensor& images, at::ArrayRef<double> mean,
                     at::ArrayRef<double> std, at::ScalarType dtype);

}  // namespace altprop::kernels

#endif  // COMMON_KERNELS_AUGMENT_H_
