// What the operators ask of their arguments, on every device.

#ifndef FTPROP_THRESHOLD_CHECK_H_
#define FTPROP_THRESHOLD_CHECK_H_

#include "ATen/core/Tensor.h"
#include "c10/util/Exception.h"
#include "c10/util/string_view.h"
#include "ftprop/nonlinearity.h"

namespace altprop::ftprop {

inline Threshold ReadThreshold(c10::string_view nonlin, c10::string_view rule,
                               bool scaled, bool sste_v2_as_coded) {
  const auto n = ParseNonlinearity({nonlin.data(), nonlin.size()});
  TORCH_CHECK(n.ok(), "threshold: nonlin \"", nonlin,
              "\": ", std::string(n.status().message()));
  const auto r = ParseRule({rule.data(), rule.size()});
  TORCH_CHECK(r.ok(), "threshold: rule \"", rule,
              "\": ", std::string(r.status().message()));
  const absl::Status fits = CheckRule(*n, *r, scaled);
  TORCH_CHECK(fits.ok(), "threshold: rule \"", rule,
              "\": ", std::string(fits.message()));
  return {*n, *r, scaled, sste_v2_as_coded};
}

inline void CheckFloating(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kDouble ||
                  type == at::kBFloat16 || type == at::kHalf,
              "threshold: x is ", type, ", expected a floating-point type");
}

inline void CheckGradient(const at::Tensor& grad, const at::Tensor& x) {
  CheckFloating(x);
  TORCH_CHECK(grad.sizes() == x.sizes() &&
                  grad.scalar_type() == x.scalar_type() &&
                  grad.device() == x.device(),
              "threshold: the gradient is ", grad.scalar_type(), " ",
              grad.sizes(), " on ", grad.device(), ", x ", x.scalar_type(), " ",
              x.sizes(), " on ", x.device());
}

// As it lies in memory, without gaps: element i of one tensor is element i of
// another of the same strides.
inline at::Tensor Dense(const at::Tensor& x) {
  return x.is_non_overlapping_and_dense() ? x : x.contiguous();
}

inline double Samples(const at::Tensor& grad) {
  return grad.dim() == 0 ? 1 : static_cast<double>(grad.size(0));
}

}  // namespace altprop::ftprop

#endif  // FTPROP_THRESHOLD_CHECK_H_
