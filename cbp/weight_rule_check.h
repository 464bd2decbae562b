// What the operators of weight_rule.h ask of their arguments, on every device.

#ifndef CBP_WEIGHT_RULE_CHECK_H_
#define CBP_WEIGHT_RULE_CHECK_H_

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "c10/util/ArrayRef.h"
#include "c10/util/Exception.h"

namespace altprop::cbp {

// Buffers of one shape, type and device, and layers that fill them.
inline void CheckFlat(at::ArrayRef<at::Tensor> buffers,
                      const at::Tensor& scales, at::ArrayRef<int64_t> offsets) {
  const at::Tensor& first = buffers.front();
  TORCH_CHECK(
      first.scalar_type() == at::kFloat || first.scalar_type() == at::kDouble,
      "cbp: weights are ", first.scalar_type(), ", expected float or double");
  for (const at::Tensor& buffer : buffers) {
    TORCH_CHECK(buffer.dim() == 1 && buffer.is_contiguous() &&
                    buffer.numel() == first.numel() &&
                    buffer.scalar_type() == first.scalar_type() &&
                    buffer.device() == first.device(),
                "cbp: a buffer is ", buffer.scalar_type(), " ", buffer.sizes(),
                " on ", buffer.device(), ", expected contiguous ",
                first.scalar_type(), " ", first.sizes(), " on ",
                first.device());
  }
  TORCH_CHECK(scales.dim() == 1 && scales.is_contiguous() &&
                  scales.scalar_type() == first.scalar_type() &&
                  scales.device() == first.device(),
              "cbp: scales are ", scales.scalar_type(), " ", scales.sizes());
  TORCH_CHECK(static_cast<int64_t>(offsets.size()) == scales.size(0) + 1 &&
                  offsets.front() == 0 && offsets.back() == first.numel(),
              "cbp: ", offsets.size(), " offsets for ", scales.size(0),
              " layers and ", first.numel(), " weights");
  for (size_t k = 1; k < offsets.size(); ++k) {
    TORCH_CHECK(offsets[k] >= offsets[k - 1], "cbp: offsets fall");
  }
}

inline void CheckGradients(at::TensorList gradients, const at::Tensor& w,
                           at::ArrayRef<int64_t> offsets) {
  TORCH_CHECK(gradients.size() + 1 == offsets.size(), "cbp: ", gradients.size(),
              " gradients for ", offsets.size() - 1, " layers");
  for (size_t k = 0; k < gradients.size(); ++k) {
    const at::Tensor& gradient = gradients[k];
    TORCH_CHECK(gradient.is_contiguous() &&
                    gradient.numel() == offsets[k + 1] - offsets[k] &&
                    gradient.scalar_type() == w.scalar_type() &&
                    gradient.device() == w.device(),
                "cbp: gradient ", k, " is ", gradient.scalar_type(), " ",
                gradient.sizes(), ", expected ", offsets[k + 1] - offsets[k],
                " contiguous ", w.scalar_type());
  }
}

inline void CheckMode(int64_t mode) {
  TORCH_CHECK(mode >= 0 && mode < 4, "cbp: mode ", mode, ", expected 0 to 3");
}

}  // namespace altprop::cbp

#endif  // CBP_WEIGHT_RULE_CHECK_H_
