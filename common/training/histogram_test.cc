#include "common/training/histogram.h"

#include <limits>
#include <numeric>

#include "ATen/ops/arange.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/tensor.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

using Counts = std::vector<int64_t>;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(MakeHistogram, CountsEqualBinsAndTheTopEdge) {
  // Bins [0, 1), [1, 2), [2, 3), [3, 4].
  const Histogram h =
      MakeHistogram(at::tensor({0.0, 0.5, 1.0, 2.0, 2.5, 4.0}), 4);
  EXPECT_EQ(h.counts, (Counts{2, 1, 2, 1}));
  EXPECT_EQ(h.min, 0);
  EXPECT_EQ(h.max, 4);
  EXPECT_EQ(h.finite, 6);
  EXPECT_EQ(h.sum, 10);
  EXPECT_EQ(h.sum_of_squares, 0.25 + 1 + 4 + 6.25 + 16);
}

TEST(MakeHistogram, TakesAnyShapeAndType) {
  const at::Tensor numbers = at::arange(12, at::kInt).view({3, 4}).t();
  EXPECT_EQ(MakeHistogram(numbers, 3).counts, (Counts{4, 4, 4}));
}

TEST(MakeHistogram, LeavesOutWhatIsNotFinite) {
  const Histogram h =
      MakeHistogram(at::tensor({kNan, 1.0, kInf, 2.0, -kInf}), 2);
  EXPECT_EQ(h.counts, (Counts{1, 1}));
  EXPECT_EQ(h.not_finite, 3);
  EXPECT_EQ(MakeHistogram(at::tensor({kNan, kNan})).counts, Counts{});
}

TEST(MakeHistogram, HasOneBinForOneValueAndNoneForNoElements) {
  EXPECT_EQ(MakeHistogram(at::full({5}, 3.0)).counts, Counts{5});
  EXPECT_EQ(MakeHistogram(at::empty({0})).counts, Counts{});
}

TEST(MakeHistogram, SpansTheLargestDoubles) {
  const double most = std::numeric_limits<double>::max();
  EXPECT_EQ(MakeHistogram(at::tensor({-most, 0.0, most}), 4).counts,
            (Counts{1, 0, 1, 1}));
}

}  // namespace
}  // namespace altprop::training
