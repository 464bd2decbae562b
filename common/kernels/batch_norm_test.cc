#include "common/kernels/batch_norm.h"

#include <string>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randn.h"
#include "common/models/init.h"
#include "gtest/gtest.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::kernels {
namespace {

struct Case {
  std::vector<int64_t> shape;
  bool relu, shortcut;
};

// Rows and channels that fill neither vectors, nor tasks, nor threads evenly.
const Case kCases[] = {
    {{5, 3, 7, 9}, true, false},    {{5, 3, 7, 9}, false, true},
    {{9, 64, 12, 11}, true, true},  {{2, 17, 1, 1}, true, false},
    {{130, 33}, true, false},       {{130, 33}, false, false},
    {{3, 16, 32, 31}, true, true},  {{2, 1, 3, 3}, false, false},
    {{4, 128, 5, 5}, false, false},
};

struct Inputs {
  at::Tensor x, shortcut, dy;
  BatchNormTensors norm;
};

// Values far from zero beside their spread, where a variance can cancel.
Inputs Draw(const Case& c) {
  at::Generator generator = models::SeededGenerator(2);
  const int64_t channels = c.shape[1];
  Inputs in;
  std::vector<int64_t> per_channel(c.shape.size(), 1);
  per_channel[1] = channels;
  in.x = at::randn(c.shape, generator) +
         30 * at::randn({channels}, generator).view(per_channel);
  in.dy = at::randn(c.shape, generator);
  if (c.shortcut) in.shortcut = at::randn(c.shape, generator);
  if (c.shape.size() == 4) {
    in.x = in.x.contiguous(at::MemoryFormat::ChannelsLast);
  }
  in.norm = {at::randn({channels}, generator), at::randn({channels}, generator),
             at::randn({channels}, generator), at::rand({channels}, generator)};
  return in;
}

struct Outputs {
  at::Tensor y, running_mean, running_var;
  std::vector<at::Tensor> gradients;
};

template <typename Function>
Outputs Measure(const Case& c, const Inputs& from, at::ScalarType type,
                const Function& function) {
  const auto leaf = [&](const at::Tensor& tensor) {
    return tensor.to(type, /*non_blocking=*/false, /*copy=*/true)
        .set_requires_grad(true);
  };
  const at::Tensor x = leaf(from.x);
  const at::Tensor shortcut = c.shortcut ? leaf(from.shortcut) : at::Tensor();
  const BatchNormTensors norm = {leaf(from.norm.weight), leaf(from.norm.bias),
                                 from.norm.running_mean.to(type, false, true),
                                 from.norm.running_var.to(type, false, true)};
  const at::Tensor y = function(x, norm, shortcut, {.relu = c.relu});
  std::vector<at::Tensor> inputs = {x, norm.weight, norm.bias};
  if (c.shortcut) inputs.push_back(shortcut);
  return {y.detach(), norm.running_mean, norm.running_var,
          torch::autograd::grad({y}, inputs, {from.dy.to(type)})};
}

void ExpectClose(const at::Tensor& actual, const at::Tensor& expected,
                 const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const double scale = expected.abs().max().item<double>() + 1e-3;
  EXPECT_LT((actual.to(at::kDouble) - expected).abs().max().item<double>(),
            2e-5 * scale)
      << what;
}

class BatchNormActTest : public testing::TestWithParam<Case> {};

// Both against double precision: float32's own distance from it is the measure.
TEST_P(BatchNormActTest, EqualsThePlainFormInDoublePrecision) {
  const Inputs in = Draw(GetParam());
  const Outputs fused = Measure(GetParam(), in, at::kFloat, BatchNormAct);
  const Outputs plain = Measure(GetParam(), in, at::kDouble, BatchNormActPlain);
  ExpectClose(fused.y, plain.y, "y");
  ExpectClose(fused.running_mean, plain.running_mean, "running mean");
  ExpectClose(fused.running_var, plain.running_var, "running variance");
  const char* const kNames[] = {"dx", "dweight", "dbias", "dshortcut"};
  for (size_t i = 0; i < fused.gradients.size(); ++i) {
    ExpectClose(fused.gradients[i], plain.gradients[i], kNames[i]);
  }
  EXPECT_EQ(fused.y.strides(), in.x.strides());
}

TEST_P(BatchNormActTest, IsTheSameForAnyNumberOfThreads) {
  const Inputs in = Draw(GetParam());
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Outputs one = Measure(GetParam(), in, at::kFloat, BatchNormAct);
  at::set_num_threads(3);
  const Outputs three = Measure(GetParam(), in, at::kFloat, BatchNormAct);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(one.y, three.y));
  EXPECT_TRUE(at::equal(one.running_var, three.running_var));
  for (size_t i = 0; i < one.gradients.size(); ++i) {
    EXPECT_TRUE(at::equal(one.gradients[i], three.gradients[i])) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(, BatchNormActTest, testing::ValuesIn(kCases));

TEST(BatchNormAct, EvaluationAndOtherLayoutsArePlain) {
  const Case c = {{4, 3, 5, 5}, true, false};
  const Inputs in = Draw(c);
  BatchNormOptions options{.training = false, .relu = true};
  EXPECT_TRUE(at::equal(BatchNormAct(in.x, in.norm, {}, options),
                        BatchNormActPlain(in.x, in.norm, {}, options)));
  const at::Tensor mean = in.norm.running_mean.clone();
  EXPECT_TRUE(at::equal(mean, in.norm.running_mean));
  options.training = true;
  const at::Tensor x = in.x.contiguous();
  const at::Tensor y = BatchNormAct(x, in.norm, {}, options);
  EXPECT_TRUE(y.is_contiguous());
  EXPECT_FALSE(at::equal(mean, in.norm.running_mean));
}

}  // namespace
}  // namespace altprop::kernels
