#include "sedona/decoupling.h"

#include <algorithm>
#include <numeric>

#include "common/logging.h"

namespace altprop::sedona {

Decoupling Decode(const at::Tensor& alpha, const at::Tensor& beta, int64_t k) {
  const at::Tensor a = alpha.detach().cpu().to(at::kDouble);
  const int64_t rows = a.size(0);
  CHECK_GE(k, 0);
  CHECK_LE(k, rows + 1);
  std::vector<double> margins;
  for (int64_t i = 0; i < rows; ++i) {
    margins.push_back(a[i][0].item<double>() - a[i][1].item<double>());
  }
  Decoupling result;
  if (k == 0) {
    for (int64_t i = 0; i < rows; ++i) {
      if (margins[static_cast<size_t>(i)] >= 0) result.cuts.push_back(i);
    }
  } else {
    std::vector<int64_t> ranked(static_cast<size_t>(rows));
    std::iota(ranked.begin(), ranked.end(), int64_t{0});
    std::stable_sort(ranked.begin(), ranked.end(), [&](int64_t i, int64_t j) {
      return margins[static_cast<size_t>(i)] > margins[static_cast<size_t>(j)];
    });
    result.cuts.assign(ranked.begin(), ranked.begin() + (k - 1));
    std::sort(result.cuts.begin(), result.cuts.end());
  }
  if (beta.defined() && beta.size(1) > 0) {
    const at::Tensor best = beta.detach().cpu().argmax(1);
    for (const int64_t cut : result.cuts) {
      result.candidates.push_back(best[cut].item<int64_t>());
    }
  }
  return result;
}

Decoupling UniformDecoupling(int64_t units, int64_t k) {
  CHECK_GE(k, 1);
  CHECK_LE(k, units);
  Decoupling result;
  for (int64_t j = 1; j < k; ++j) {
    result.cuts.push_back(std::max<int64_t>(0, j * units / k - 1));
  }
  return result;
}

}  // namespace altprop::sedona
