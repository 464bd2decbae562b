#ifndef COMMON_TRAINING_HISTOGRAM_H_
#define COMMON_TRAINING_HISTOGRAM_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"

namespace altprop::training {

// Counts of a tensor's finite elements in equal bins between the smallest and
// the largest. Bin i covers [min + i w, min + (i + 1) w), w = (max - min) /
// bins; the last one takes max too. All elements equal: a single bin. None
// finite: no bins.
struct Histogram {
  double min = 0, max = 0;
  double sum = 0, sum_of_squares = 0;  // of the finite elements
  int64_t finite = 0, not_finite = 0;  // numbers of elements
  std::vector<int64_t> counts;
};

// `values`: any shape, device and floating or integer type. CHECKs bins > 0.
Histogram MakeHistogram(const at::Tensor& values, int64_t bins = 50);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_HISTOGRAM_H_
