#include "common/models/layers.h"

#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/allclose.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/randn.h"
#include "common/models/init.h"
#include "gtest/gtest.h"

namespace altprop::models {
namespace {

struct Net {
  Conv2d conv;
  BatchNorm norm;
  Linear linear;
  StateDict state;

  explicit Net(uint64_t seed) {
    at::Generator generator = SeededGenerator(seed);
    conv = MakeConv2d(2, 3, 3, 2, 1, /*bias=*/false, generator);
    norm = MakeBatchNorm(3);
    linear = MakeLinear(12, 4, /*bias=*/true, generator);
    state.Add("features.0", conv);
    state.Add("features.1", norm);
    state.Add("", linear);
  }
};

std::vector<std::string> Names(const training::NamedTensors& tensors) {
  std::vector<std::string> names;
  names.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

TEST(Layers, NamesAreThoseOfPythonsStateDict) {
  const Net net(1);
  EXPECT_EQ(Names(net.state.entries()),
            (std::vector<std::string>{
                "features.0.weight", "features.1.weight", "features.1.bias",
                "features.1.running_mean", "features.1.running_var",
                "features.1.num_batches_tracked", "weight", "bias"}));
  EXPECT_EQ(Names(net.state.parameters()),
            (std::vector<std::string>{"features.0.weight", "features.1.weight",
                                      "features.1.bias", "weight", "bias"}));
}

TEST(Layers, AreDrawnInPythonsOrder) {
  const Net net(7);
  at::Generator generator = SeededGenerator(7);
  const at::Tensor conv = KaimingUniformWeight({3, 2, 3, 3}, generator);
  const at::Tensor weight = KaimingUniformWeight({4, 12}, generator);
  EXPECT_TRUE(at::equal(net.conv.weight, conv));
  EXPECT_TRUE(at::equal(net.linear.weight, weight));
  EXPECT_TRUE(
      at::equal(net.linear.bias, KaimingUniformBias(weight, generator)));
}

TEST(Layers, ConvolutionHasItsStrideAndPadding) {
  const Net net(1);
  EXPECT_EQ(Forward(net.conv, at::randn({5, 2, 4, 4})).sizes(),
            (std::vector<int64_t>{5, 3, 2, 2}));
}

TEST(Layers, BatchNormTrainsOnTheBatchAndRemembersItsMoments) {
  BatchNorm norm = MakeBatchNorm(3);
  StateDict state;
  state.Add("bn", norm);
  state.ConvertTo(at::kDouble, at::kCPU);
  const at::Tensor x = at::randn({6, 3, 2, 2}, at::kDouble);
  const at::Tensor mean = x.mean({0, 2, 3});
  const at::Tensor centred = x - mean.view({1, 3, 1, 1});
  const at::Tensor biased = centred.square().mean({0, 2, 3});

  const at::Tensor y = Forward(norm, x, /*training=*/true);
  EXPECT_TRUE(at::allclose(
      y, centred / (biased.view({1, 3, 1, 1}) + 1e-5).sqrt(), 1e-10, 1e-12));
  EXPECT_TRUE(at::allclose(norm.running_mean, 0.1 * mean, 1e-10, 1e-12));
  EXPECT_TRUE(at::allclose(norm.running_var, 0.9 + 0.1 * biased * 24 / 23,
                           1e-10, 1e-12));
  EXPECT_EQ(norm.num_batches_tracked.item<int64_t>(), 1);

  const at::Tensor evaluated = Forward(norm, x, /*training=*/false);
  EXPECT_TRUE(
      at::allclose(evaluated,
                   (x - norm.running_mean.view({1, 3, 1, 1})) /
                       (norm.running_var.view({1, 3, 1, 1}) + 1e-5).sqrt(),
                   1e-10, 1e-12));
  EXPECT_EQ(norm.num_batches_tracked.item<int64_t>(), 1);
}

TEST(Layers, RectifiedBatchNormIsTheTwoAfterEachOther) {
  const at::Tensor x = at::randn({4, 3, 5, 5});
  const at::Tensor shortcut = at::randn({4, 3, 5, 5});
  for (const auto layout :
       {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (const bool training : {true, false}) {
      const BatchNorm norm = MakeBatchNorm(3), fused = MakeBatchNorm(3);
      const at::Tensor expected =
          (Forward(norm, x, training) + shortcut).clamp_min(0);
      EXPECT_TRUE(at::allclose(
          ForwardRelu(fused, x.contiguous(layout), training, shortcut),
          expected, 1e-5, 1e-6));
      EXPECT_TRUE(
          at::allclose(fused.running_var, norm.running_var, 1e-5, 1e-6));
      EXPECT_TRUE(
          at::equal(fused.num_batches_tracked, norm.num_batches_tracked));
    }
  }
}

TEST(Layers, ConversionKeepsTheLayersHandlesAndIntegers) {
  Net net(1);
  net.state.ConvertTo(at::kDouble, at::kCPU);
  EXPECT_EQ(net.conv.weight.scalar_type(), at::kDouble);
  EXPECT_EQ(net.norm.running_var.scalar_type(), at::kDouble);
  EXPECT_EQ(net.norm.num_batches_tracked.scalar_type(), at::kLong);

  net.state.RequireGradients();
  EXPECT_TRUE(net.linear.bias.requires_grad());
  EXPECT_FALSE(net.norm.running_mean.requires_grad());
  Forward(net.linear, at::randn({2, 12}, at::kDouble)).sum().backward();
  EXPECT_TRUE(net.linear.weight.grad().defined());
}

}  // namespace
}  // namespace altprop::models
