#include "eqprop/affine.h"

#include "ATen/Parallel.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/rand.h"
#include "c10/core/InferenceMode.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

// Sums of at most 900 products below 1.
constexpr double kRounding = 1e-12;

class AffineTest : public testing::TestWithParam<int> {
 protected:
  AffineTest() : threads_before_(at::get_num_threads()) {
    at::set_num_threads(GetParam());
  }
  ~AffineTest() override { at::set_num_threads(threads_before_); }

 private:
  const int threads_before_;
};

INSTANTIATE_TEST_SUITE_P(Threads, AffineTest, testing::Values(1, 2, 3));

// The last shape is large enough for every thread to get rows.
TEST_P(AffineTest, EqualsLinear) {
  const std::vector<std::vector<int64_t>> shapes = {
      {1, 1, 1}, {5, 3, 2}, {0, 4, 3}, {2, 7, 1}, {64, 900, 301}};
  for (const auto& shape : shapes) {
    const at::Tensor x = at::rand({shape[0], shape[1]}, at::kDouble);
    const at::Tensor weight = at::rand({shape[2], shape[1]}, at::kDouble);
    const at::Tensor bias = at::rand({shape[2]}, at::kDouble);
    ExpectClose(Affine(x, weight, bias), at::linear(x, weight, bias),
                kRounding);
  }
}

TEST_P(AffineTest, WorksInInferenceMode) {
  const c10::InferenceMode inference;
  const at::Tensor x = at::rand({64, 900}, at::kDouble);
  const at::Tensor weight = at::rand({301, 900}, at::kDouble);
  const at::Tensor bias = at::rand({301}, at::kDouble);
  ExpectClose(Affine(x, weight, bias), at::linear(x, weight, bias), kRounding);
}

}  // namespace
}  // namespace altprop::eqprop
