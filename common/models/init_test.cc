#include "common/models/init.h"

#include <cmath>

#include "gtest/gtest.h"

namespace altprop::models {
namespace {

float At(const at::Tensor& tensor, int64_t index) {
  return tensor.flatten()[index].item().toFloat();
}

// torch.manual_seed(0); torch.nn.Linear(784, 512), then torch.nn.Linear(512,
// 10), in PyTorch 2.11 on the CPU.
TEST(KaimingUniform, EqualsTorchsLinearLayers) {
  at::Generator generator = SeededGenerator(0);
  const at::Tensor w1 = KaimingUniformWeight({512, 784}, generator);
  const at::Tensor b1 = KaimingUniformBias(w1, generator);
  const at::Tensor w2 = KaimingUniformWeight({10, 512}, generator);
  const at::Tensor b2 = KaimingUniformBias(w2, generator);
  EXPECT_EQ(At(w1, 0), -0x1.1860000000000p-12f);
  EXPECT_EQ(At(w1, 1), 0x1.39e56a0000000p-6f);
  EXPECT_EQ(At(w1, 401407), 0x1.36cd660000000p-6f);
  EXPECT_EQ(At(b1, 0), 0x1.067eae0000000p-5f);
  EXPECT_EQ(At(b1, 1), 0x1.d17b1c0000000p-7f);
  EXPECT_EQ(At(b1, 511), 0x1.71fdca0000000p-6f);
  EXPECT_EQ(At(w2, 0), 0x1.63eb1a0000000p-6f);
  EXPECT_EQ(At(w2, 1), 0x1.5cd5320000000p-5f);
  EXPECT_EQ(At(w2, 5119), 0x1.a0b41e0000000p-7f);
  EXPECT_EQ(At(b2, 0), 0x1.c669080000000p-6f);
  EXPECT_EQ(At(b2, 1), -0x1.30c8fe0000000p-8f);
  EXPECT_EQ(At(b2, 9), -0x1.02fe9e0000000p-6f);
}

// The same for torch.nn.Conv2d(3, 4, 5): fan_in is 3 * 5 * 5.
TEST(KaimingUniform, EqualsTorchsConvolution) {
  at::Generator generator = SeededGenerator(7);
  const at::Tensor weight = KaimingUniformWeight({4, 3, 5, 5}, generator);
  const at::Tensor bias = KaimingUniformBias(weight, generator);
  EXPECT_EQ(At(weight, 0), 0x1.0846400000000p-7f);
  EXPECT_EQ(At(weight, 1), -0x1.1ce94c0000000p-4f);
  EXPECT_EQ(At(weight, 299), 0x1.2ebe580000000p-4f);
  EXPECT_EQ(At(bias, 0), 0x1.9d1e8e0000000p-4f);
  EXPECT_EQ(At(bias, 1), 0x1.873b7e0000000p-7f);
  EXPECT_EQ(At(bias, 3), 0x1.5ddcc80000000p-4f);
}

TEST(KaimingUniform, IsAFunctionOfTheSeed) {
  const auto draw = [](uint64_t seed) {
    at::Generator generator = SeededGenerator(seed);
    return KaimingUniformWeight({20, 30}, generator);
  };
  EXPECT_TRUE(draw(3).equal(draw(3)));
  EXPECT_FALSE(draw(3).equal(draw(4)));
}

TEST(KaimingUniform, FillsTheRangeAndNoMore) {
  at::Generator generator = SeededGenerator(1);
  const at::Tensor weight = KaimingUniformWeight({500, 100}, generator);
  EXPECT_EQ(weight.scalar_type(), at::kFloat);
  EXPECT_LE(weight.abs().max().item().toFloat(), 0.1f);
  EXPECT_GT(weight.max().item().toFloat(), 0.0999f);
  EXPECT_LT(weight.min().item().toFloat(), -0.0999f);
}

TEST(KaimingUniformDeathTest, ChecksTheShape) {
  at::Generator generator = SeededGenerator(0);
  EXPECT_DEATH(KaimingUniformWeight({5}, generator), "");
  EXPECT_DEATH(KaimingUniformWeight({5, 0}, generator), "");
}

}  // namespace
}  // namespace altprop::models
