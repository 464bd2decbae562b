#include "ftprop/statistics.h"

#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "ftprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::ftprop {
namespace {

// One sample through two units, z = W y: with the label 0 the gradient at the
// outputs is g = (softmax - (1, 0)) W = (p - 1) (W_0 - W_1).
struct TwoUnits {
  Network network;
  models::Linear first, second;

  explicit TwoUnits(const Threshold& threshold) {
    first = {at::tensor({1.0, 2.0}).view({2, 1}), at::zeros({2}, at::kDouble)};
    second = {at::tensor({1.0, -1.0, -1.0, 1.0}).view({2, 2}),
              at::zeros({2}, at::kDouble)};
    network.hidden = {threshold};
    network.hidden_names = {"units"};
    network.state.Add("1", first);
    network.state.Add("2", second);
    network.state.RequireGradients();
    network.layers = {first, Hidden{0}, second};
  }
};

StatisticsProbe Probe(double x) {
  return {at::tensor({x}).view({1, 1}), at::tensor({0}, at::kLong),
          Loss::kCrossEntropy};
}

// g = (p - 1) (2, -2): the label wants the first output up, the second down.
TEST(Statistics, CountUnitsThatDisagreeWithTheirTargets) {
  // Both outputs are +1: the second disagrees.
  TwoUnits up({*ParseNonlinearity("step11"), Rule::kSoftHinge});
  StatisticsProbe probe = Probe(0.3);
  const auto first = probe.Measure(up.network, false);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].layer, "units");
  EXPECT_EQ(first[0].disagreement, 0.5);
  EXPECT_FALSE(first[0].flips.has_value());
  EXPECT_EQ(first[0].saturated, 0);  // sech^2 is never 0

  // The first unit's weight turns: it gives -1, and both disagree.
  {
    const at::NoGradGuard no_grad;
    up.first.weight[0].fill_(-1);
  }
  const auto second = probe.Measure(up.network, false);
  EXPECT_EQ(second[0].disagreement, 1);
  EXPECT_EQ(second[0].flips, 0.5);
}

// Outputs 2/3 and 1 of a staircase: the first is 1/3 short of its target, the
// second as far as can be. SSTE lets no gradient through above 1.
TEST(Statistics, MeasureStaircasesByLevels) {
  TwoUnits units({*ParseNonlinearity("staircase3"), Rule::kSste});
  StatisticsProbe probe = Probe(0.8);
  const auto s = probe.Measure(units.network, false);
  EXPECT_NEAR(*s[0].disagreement, (1.0 / 3 + 1) / 2, 1e-14);
  EXPECT_EQ(s[0].saturated, 0.5);
}

TEST(Statistics, SayNothingOfDisagreementWithoutARange) {
  TwoUnits units({*ParseNonlinearity("relu"), Rule::kSoftHinge});
  const auto s = Probe(-1).Measure(units.network, false);
  EXPECT_FALSE(s[0].disagreement.has_value());
  EXPECT_EQ(s[0].saturated, 1);  // both inputs are negative
}

TEST(Statistics, GoOnFromACheckpoint) {
  TwoUnits units({*ParseNonlinearity("step11"), Rule::kSoftHinge});
  StatisticsProbe before = Probe(0.3);
  EXPECT_TRUE(before.State().empty());
  before.Measure(units.network, false);
  StatisticsProbe after = Probe(0.3);
  ASSERT_TRUE(
      after.LoadState(training::Value(before.State()), units.network).ok());
  EXPECT_EQ(after.Measure(units.network, false)[0].flips, 0.0);
  EXPECT_FALSE(Probe(0.3)
                   .LoadState(training::Value(training::Dict{{"other", 3}}),
                              units.network)
                   .ok());
  EXPECT_FALSE(Probe(0.3).LoadState(training::Value(3), units.network).ok());
}

}  // namespace
}  // namespace altprop::ftprop
