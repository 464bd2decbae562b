#include "common/training/histogram.h"

#include <algorithm>
#include <cmath>

#include "common/logging.h"

namespace altprop::training {

Histogram MakeHistogram(const at::Tensor& values, int64_t bins) {
  CHECK_GT(bins, 0);
  const at::Tensor flat =
      values.detach().to(at::kCPU, at::kDouble).contiguous();
  const double* data = flat.const_data_ptr<double>();
  const int64_t size = flat.numel();
  Histogram h;
  h.min = INFINITY;
  h.max = -INFINITY;
  for (int64_t i = 0; i < size; ++i) {
    if (!std::isfinite(data[i])) continue;
    ++h.finite;
    h.min = std::min(h.min, data[i]);
    h.max = std::max(h.max, data[i]);
    h.sum += data[i];
    h.sum_of_squares += data[i] * data[i];
  }
  h.not_finite = size - h.finite;
  if (h.finite == 0) {
    h.min = h.max = 0;
    return h;
  }
  h.counts.assign(h.min == h.max ? 1 : bins, 0);
  // Halves, so that the range of values near the largest double is finite.
  const double width = h.max / 2 - h.min / 2;
  const int64_t last = static_cast<int64_t>(h.counts.size()) - 1;
  for (int64_t i = 0; i < size; ++i) {
    if (!std::isfinite(data[i])) continue;
    const double position =
        width > 0 ? (data[i] / 2 - h.min / 2) / width : 0;  // in [0, 1]
    const auto bin = static_cast<int64_t>(position * (last + 1));
    ++h.counts[std::min(bin, last)];
  }
  return h;
}

}  // namespace altprop::training
