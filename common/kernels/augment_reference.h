// altprop::augment written out with ATen's own operators: what its kernels are
// held to.
#ifndef COMMON_KERNELS_AUGMENT_REFERENCE_H_
#define COMMON_KERNELS_AUGMENT_REFERENCE_H_

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>

namespace altprop::kernels {

// As Augment() in augment.h, image by image and slowly, for draws within
// 0 .. 2 pad.
at::Tensor AugmentReference(const at::Tensor& images, const at::Tensor& draws,
                            int64_t pad, bool replicate_edge,
                            at::ArrayRef<double> mean, at::ArrayRef<double> std,
                            at::ScalarType dtype);

}  // namespace altprop::kernels

#endif  // COMMON_KERNELS_AUGMENT_REFERENCE_H_
