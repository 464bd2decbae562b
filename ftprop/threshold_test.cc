#include "ftprop/threshold.h"

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ATen/Context.h"
#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/full.h"
#include "ATen/ops/isnan.h"
#include "ATen/ops/linspace.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/randint.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "c10/util/Exception.h"
#include "common/kernels/test_devices.h"
#include "ftprop/test_util.h"
#include "ftprop/threshold_reference.h"
#include "gtest/gtest.h"
#include "torch/csrc/autograd/autograd.h"
#include "torch/csrc/autograd/variable.h"

namespace altprop::ftprop {
namespace {

Threshold Make(const std::string& nonlin, const std::string& rule = "SoftHinge",
               bool scaled = true, bool as_coded = true) {
  return {*ParseNonlinearity(nonlin), *ParseRule(rule), scaled, as_coded};
}

// ---- The authors' program ----

class ForwardGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(ForwardGolden, HasTheValuesOfTheAuthorsProgram) {
  const Golden golden(GetParam());
  const at::Tensor x = golden.Get("x");
  for (const std::string& key : golden.Keys()) {
    if (key == "x") continue;
    const std::string nonlin = key.substr(2);
    const at::Tensor y = Apply(Make(nonlin), x);
    // A sum of quotients rounds as it likes; all else is exact. Values, since
    // a negative x rounds up to -0.
    const double tolerance = nonlin.substr(0, 3) != "old"     ? 0
                             : x.scalar_type() == at::kDouble ? 1e-15
                                                              : 2e-7;
    ExpectNear(y, golden.Get(key), tolerance, key);
    EXPECT_EQ(y.scalar_type(), x.scalar_type());
  }
}

INSTANTIATE_TEST_SUITE_P(, ForwardGolden,
                         ::testing::Values("activation_forward_f64.pt",
                                           "activation_forward_f32.pt"));

class BackwardGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(BackwardGolden, HasTheGradientsOfTheAuthorsProgram) {
  const Golden golden(GetParam());
  const at::Tensor x = golden.Get("x"), g = golden.Get("g");
  const bool single = x.scalar_type() == at::kFloat;
  int compared = 0;
  for (const std::string& key : golden.Keys()) {
    if (key == "x" || key == "g") continue;
    const std::vector<std::string> parts = absl::StrSplit(key, '/');
    const Threshold threshold =
        parts.size() == 1 ? Make(parts[0])
                          : Make(parts[0], parts[1], parts[2] == "scaled");
    const at::Tensor got = ThresholdBackward(threshold, g, x);
    const at::Tensor expected = golden.Get(key);
    if (single) {
      // Their tanh is rounded once more; 1e-6 |g| is some eight roundings.
      EXPECT_TRUE(
          at::abs(got - expected).le(1e-6 * at::abs(g)).all().item<bool>())
          << key;
    } else {
      ExpectNear(got, expected, 1e-13, key);
    }
    ++compared;
  }
  EXPECT_GT(compared, 15);
}

INSTANTIATE_TEST_SUITE_P(, BackwardGolden,
                         ::testing::Values("targetprop_backward_2d.pt",
                                           "targetprop_backward_4d.pt",
                                           "targetprop_backward_f32.pt"));

TEST(Rules, AreAllowedWhereTheAuthorsProgramRuns) {
  const Golden golden("rule_matrix.pt");
  const at::Tensor status = golden.Get("status");
  const at::Tensor values = golden.Get("rule_value");
  ASSERT_EQ(Rules().size(), 25u);
  for (size_t r = 0; r < Rules().size(); ++r) {
    EXPECT_EQ(static_cast<int64_t>(Rules()[r]), values[r].item<int64_t>());
    EXPECT_EQ(*ParseRule(RuleName(Rules()[r])), Rules()[r]);
    for (int64_t n = 0; n < status.size(1); ++n) {
      const std::string name = NonlinearityNames()[n];
      for (const bool scaled : {false, true}) {
        EXPECT_EQ(CheckRule(*ParseNonlinearity(name), Rules()[r], scaled).ok(),
                  status[r][n][scaled].item<int64_t>() == 0)
            << RuleName(Rules()[r]) << " " << name << " " << scaled;
      }
    }
  }
}

// ---- Worked out by hand ----

// x = (-1.2, .3, .8, 2), g = (.2, -.5, .4, -.1), so t = (-1, 1, -1, 1); N = 4.
TEST(Backward, HasTheValuesWorkedOutByHand) {
  const at::Tensor x = at::tensor({-1.2, 0.3, 0.8, 2.0}).view({4, 1});
  const at::Tensor g = at::tensor({0.2, -0.5, 0.4, -0.1}).view({4, 1});
  const auto expect = [&](const Threshold& threshold,
                          std::vector<double> values) {
    ExpectNear(ThresholdBackward(threshold, g, x),
               at::tensor(values).view({4, 1}), 5e-9,
               absl::StrCat(NonlinearityName(threshold.nonlinearity), " ",
                            std::string(RuleName(threshold.rule))));
  };
  expect(Make("step11", "SoftHinge"),
         {.06100400, -.45756848, .22362207, -.00706508});
  expect(Make("step01", "SoftHinge", false),
         {.07625500, -.22878424, .13976379, -.01766271});
  expect(Make("step11", "SSTE"), {0, -.5, .4, 0});
  expect(Make("step11", "Ramp"), {.16, -.5, .4, 0});
  expect(Make("step01", "Ramp"), {0, -.5, .4, 0});
  expect(Make("step11", "Adaline"), {-.04, -.35, .72, .1});
  expect(Make("step11", "Adaline", false), {-.05, -.175, .45, .25});
  expect(Make("step11", "SSTEv2"), {.16, -1.0, .64, 0});
  expect(Make("step11", "SSTEv2", true, /*as_coded=*/false), {.2, -.5, .4, 0});
  expect(Make("step11", "SSTEv2", false), {.2, -.5, .4, 0});
  expect(Make("staircase3", "SoftHinge", false),
         {.00111130, -.21390970, .17789444, -.00246651});
  expect(Make("staircase3", "TruncWtHinge"), {0, -.5, .4, -.1 / 3});
  expect(Make("staircase", "TruncWtHinge", false), {0, -.25, .25, -.05});
}

TEST(Backward, TakesBothEndsOfAWindowAsTheAuthorsProgramDoes) {
  const at::Tensor x = at::tensor({1.0, -1.0, 1.0, -1.0});
  const at::Tensor g = at::tensor({0.1, 0.1, -0.1, -0.1});
  EXPECT_TRUE(at::equal(ThresholdBackward(Make("step11", "SSTE"), g, x), g));
  EXPECT_TRUE(at::equal(ThresholdBackward(Make("step11", "TruncWtHinge"), g, x),
                        at::tensor({0.0, 0.1, -0.1, 0.0})));
  EXPECT_TRUE(at::equal(ThresholdBackward(Make("step11", "WeightedPerceptron"),
                                          g, at::zeros({4}, at::kDouble)),
                        g));
  EXPECT_TRUE(at::equal(ThresholdBackward(Make("step11", "Ramp"), g, x * 2),
                        at::zeros({4}, at::kDouble)));
  const at::Tensor ends = at::tensor({0.0, 1.0, 0.0, 1.0});
  EXPECT_TRUE(
      at::equal(ThresholdBackward(Make("staircase3", "SSTE"), g, ends), g));
}

TEST(Names, AreReadAndWritten) {
  for (const std::string& name : NonlinearityNames()) {
    EXPECT_EQ(NonlinearityName(*ParseNonlinearity(name)), name);
  }
  for (const char* name : {"staircase:4", "staircase:9:-2:0.5",
                           "oldstaircase:4", "oldstaircase:4:0:2"}) {
    EXPECT_EQ(NonlinearityName(*ParseNonlinearity(name)), name);
  }
  // Every digit of a bound comes back.
  for (const auto& [low, high] : {std::pair{-1.0 / 3, 1.0 / 3},
                                  {-0.33333333, 0.66666667},
                                  {-1e-5, 1e22},
                                  {0.1, 0.1 + 1e-15}}) {
    const Nonlinearity n{Family::kStaircase, 3, low, high};
    const auto read = ParseNonlinearity(NonlinearityName(n));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->low, low) << NonlinearityName(n);
    EXPECT_EQ(read->high, high) << NonlinearityName(n);
  }
  // Two names of one staircase.
  EXPECT_EQ(NonlinearityName(*ParseNonlinearity("staircase:3:-1:1")),
            "staircase11_3");
  for (const char* name :
       {"step", "sign", "", "staircase:", "staircase:1", "staircase:255",
        "staircase:3:1:1", "staircase:3:1", "staircase:3:0:1:2",
        "staircase:3:nan:1", "relu:3", "Step11"}) {
    EXPECT_FALSE(ParseNonlinearity(name).ok()) << name;
  }
}

// ---- Properties, over random shapes ----

// A shape of one to four dimensions.
at::Tensor RandomTensor(int64_t draw, at::ScalarType type = at::kDouble) {
  std::vector<int64_t> shape;
  for (int64_t d = 0; d <= draw % 4; ++d) {
    shape.push_back(at::randint(1, 9, {}).item<int64_t>());
  }
  return at::randn(shape, type) * 1.5;
}

using Pair = std::tuple<std::string, std::string>;

// Every rule of every hard threshold, and some staircases of no name.
std::vector<Pair> Pairs() {
  std::vector<Pair> pairs;
  for (const char* nonlin :
       {"step11", "step01", "staircase3", "staircase", "staircase7",
        "staircase11_3", "staircase_t2", "staircase:4:-2:0.5", "oldstaircase3",
        "oldstaircase11"}) {
    for (const Rule rule : Rules()) {
      if (!CheckRule(*ParseNonlinearity(nonlin), rule, true).ok()) continue;
      pairs.emplace_back(nonlin, std::string(RuleName(rule)));
    }
  }
  return pairs;
}

class RuleTest : public ::testing::TestWithParam<Pair> {
 protected:
  RuleTest() { at::manual_seed(3); }
  Threshold Setting(bool scaled = true) const {
    return Make(std::get<0>(GetParam()), std::get<1>(GetParam()), scaled);
  }
  bool HasUnscaled() const {
    return CheckRule(Setting().nonlinearity, Setting().rule, false).ok();
  }
  bool Is(const std::string& rule) const {
    return std::get<1>(GetParam()) == rule;
  }
};

// What makes the method a surrogate gradient: |g| (-t) = g, so under importance
// weighting nothing of the target is left, whatever the batch.
TEST_P(RuleTest, TargetCancelsUnderImportanceWeighting) {
  if (Is("SSTEv2")) GTEST_SKIP();  // as coded: N g |g|
  for (int64_t draw = 0; draw < 40; ++draw) {
    const at::Tensor x = RandomTensor(draw);
    const at::Tensor g = at::randn(x.sizes(), at::kDouble);
    const at::Tensor got = ThresholdBackward(Setting(), g, x);
    // Another batch size: the same units, all in one sample or each in its own.
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{1, -1}, std::vector<int64_t>{-1, 1}}) {
      EXPECT_TRUE(at::equal(
          ThresholdBackward(Setting(), g.reshape(shape), x.reshape(shape)),
          got.reshape(shape)));
    }
    // The factor f(x) = got / g is one function of x and the sign of g, so a
    // gradient k times as large gives k times as much.
    ExpectNear(ThresholdBackward(Setting(), g * 8, x), got * 8, 0, "degree 1");
    // And it is one function of x alone: the target's sign is gone as well.
    if (Is("WeightedPerceptron") || Is("Adaline") || Is("TruncWtHinge")) {
      continue;  // whose hidden loss is not even in x t
    }
    ExpectNear(ThresholdBackward(Setting(), -g, x), -got, 0, "sign");
    ExpectNear(
        got,
        g * ThresholdBackward(Setting(), at::ones(x.sizes(), at::kDouble), x),
        1e-15, "g f(x)");
  }
}

TEST_P(RuleTest, ScaledIsUnscaledTimesSamplesAndMagnitude) {
  if (!HasUnscaled() || Is("SSTEv2")) GTEST_SKIP();
  for (int64_t draw = 0; draw < 40; ++draw) {
    const at::Tensor x = RandomTensor(draw);
    const at::Tensor g = at::randn(x.sizes(), at::kDouble);
    const at::Tensor unscaled = ThresholdBackward(Setting(false), g, x);
    // An old staircase's steps each see their share of the gradient.
    const Nonlinearity& n = Setting().nonlinearity;
    const double share = n.family == Family::kOldStaircase
                             ? (n.high - n.low) / double(n.steps)
                         : n.family == Family::kStaircase ? n.high - n.low
                                                          : 1;
    ExpectNear(unscaled * double(x.size(0)) * at::abs(g) * share,
               ThresholdBackward(Setting(true), g, x), 1e-14, "unscaled");
    // Only signs count.
    EXPECT_TRUE(
        at::equal(ThresholdBackward(Setting(false), g * 7, x), unscaled));
  }
}

TEST_P(RuleTest, NoGradientGivesNone) {
  const at::Tensor x = at::randn({5, 7}, at::kDouble);
  const at::Tensor none = at::zeros({5, 7}, at::kDouble);
  for (const bool scaled : {true, false}) {
    if (!scaled && !HasUnscaled()) continue;
    ExpectNear(ThresholdBackward(Setting(scaled), none, x), none, 0, "g = 0");
  }
}

INSTANTIATE_TEST_SUITE_P(, RuleTest, ::testing::ValuesIn(Pairs()));

TEST(Identities, HoldBetweenTheRules) {
  at::manual_seed(4);
  const at::Tensor x = at::randn({400}, at::kDouble);
  const at::Tensor g = at::randn({400}, at::kDouble);
  const auto in = [&](const char* nonlin, const char* rule) {
    return ThresholdBackward(Make(nonlin, rule), g, x);
  };
  const at::Tensor soft = in("step11", "SoftHinge");
  ExpectNear(soft, g / x.cosh().square(), 1e-15, "sech^2");
  EXPECT_TRUE(at::equal(soft, in("step11", "Sigmoid2_2")));
  EXPECT_TRUE(at::equal(soft, 2 * in("step11", "Sigmoid")));
  EXPECT_TRUE(at::equal(soft, in("step01", "SoftHinge")));
  EXPECT_TRUE(at::equal(in("step11", "TruncWtHinge"), in("step11", "SSTE")));
  EXPECT_TRUE(
      at::equal(in("staircase3", "SoftHinge"), in("staircase7", "SoftHinge")));
  EXPECT_TRUE(
      at::equal(Apply(Make("step11"), x), 2 * Apply(Make("step01"), x) - 1));
}

TEST(Staircase, CountsItsThresholds) {
  const at::Tensor x = at::linspace(-0.5, 1.5, 2001, at::kDouble);
  for (const int64_t n : {2, 3, 4, 5, 6, 9, 17, 33, 129, 254}) {
    const at::Tensor y = Apply(Make(absl::StrCat("staircase:", n, ":0:1")), x);
    at::Tensor count = at::zeros({2001}, at::kDouble);
    for (int64_t i = 0; i < n; ++i) {
      count += x.mul(double(n - 1)).gt(double(i));
    }
    ExpectNear(y, count / double(n), 1e-15, absl::StrCat(n, " steps"));
    EXPECT_TRUE(y.diff().ge(0).all().item<bool>());
  }
}

TEST(Threshold, TreatsNotANumberAsItsHeaderSays) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor x = at::full({9}, nan, at::kDouble);
  const at::Tensor g = at::ones({9}, at::kDouble);
  EXPECT_TRUE(at::equal(Apply(Make("step11"), x), -g));
  EXPECT_TRUE(at::equal(Apply(Make("step01"), x), 0 * g));
  for (const char* nonlin : {"staircase3", "relu", "threshrelu", "hardtanh"}) {
    EXPECT_TRUE(Apply(Make(nonlin), x).isnan().all().item<bool>()) << nonlin;
  }
  EXPECT_TRUE(
      ThresholdBackward(Make("step11"), g, x).isnan().all().item<bool>());
}

// ---- The operator ----

class DeviceTest : public ::testing::TestWithParam<at::DeviceType> {
 protected:
  DeviceTest() { at::manual_seed(1); }
};

INSTANTIATE_TEST_SUITE_P(Devices, DeviceTest,
                         ::testing::ValuesIn(kernels::TestDevices()),
                         kernels::DeviceName);

std::vector<Threshold> EveryThreshold() {
  std::vector<Threshold> all;
  for (const auto& [nonlin, rule] : Pairs()) {
    for (const bool scaled : {true, false}) {
      const Threshold threshold = Make(nonlin, rule, scaled);
      if (CheckRule(threshold.nonlinearity, threshold.rule, scaled).ok()) {
        all.push_back(threshold);
      }
    }
  }
  for (const char* nonlin : {"relu", "threshrelu", "threshrelu2", "hardtanh",
                             "cabs", "hardsigmoid"}) {
    all.push_back(Make(nonlin));
  }
  return all;
}

// Lengths on both sides of a vector and of the 16-bit chunk, and enough for
// threads. What is computed in float is held to the reference in double at
// points that are exact in float, rounded to the type.
TEST_P(DeviceTest, EqualsTheReference) {
  for (const Threshold& threshold : EveryThreshold()) {
    for (const auto& [type, tolerance] :
         {std::pair{at::kDouble, 1e-14}, std::pair{at::kFloat, 2e-6},
          std::pair{at::kBFloat16, 8e-3}, std::pair{at::kHalf, 2e-3}}) {
      for (const int64_t size : {1, 7, 257, 40001}) {
        // N g |g| is more than a half can hold.
        if (threshold.rule == Rule::kSsteV2 && type == at::kHalf) continue;
        // Multiples of 1/16 off the thresholds, where rounding cannot decide.
        const at::Tensor x =
            (at::randint(-40, 40, {size, 1}, at::kDouble) + 0.3) / 16;
        const at::Tensor exact = x.to(type).to(at::kDouble);
        const at::Tensor g =
            at::randn({size, 1}, at::kDouble).to(type).to(at::kDouble);
        const std::string what =
            absl::StrCat(NonlinearityName(threshold.nonlinearity), " ",
                         std::string(RuleName(threshold.rule)), " ",
                         threshold.scaled, " ", c10::toString(type), " ", size);
        const at::Tensor on_device = exact.to(GetParam(), type);
        ExpectNear(Apply(threshold, on_device),
                   ApplyReference(threshold.nonlinearity, exact), tolerance,
                   what);
        ExpectNear(
            ThresholdBackward(threshold, g.to(GetParam(), type), on_device),
            BackwardReference(threshold, g, exact), tolerance, what);
      }
    }
  }
}

TEST_P(DeviceTest, KeepsShapeAndLayout) {
  const Threshold threshold = Make("step11");
  const at::Tensor dense =
      at::randn({3, 4, 5, 6}, at::TensorOptions(GetParam()));
  const at::Tensor last = dense.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor gaps = dense.slice(3, 0, 6, 2);
  for (const at::Tensor& x : {dense, last, gaps, dense.transpose(0, 2)}) {
    const at::Tensor y = Apply(threshold, x);
    EXPECT_EQ(y.sizes(), x.sizes());
    EXPECT_TRUE(at::equal(
        y.cpu(), ApplyReference(threshold.nonlinearity, x.cpu().contiguous())));
    for (const at::Tensor& g :
         {x * 2, (x * 2).contiguous(), at::ones_like(x)}) {
      const at::Tensor expected =
          ThresholdBackward(threshold, g.contiguous(), x.contiguous());
      EXPECT_TRUE(at::equal(ThresholdBackward(threshold, g, x), expected));
    }
  }
  EXPECT_TRUE(
      Apply(threshold, last).is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(Apply(threshold, at::empty({0, 3}, at::TensorOptions(GetParam())))
                .sizes(),
            at::IntArrayRef({0, 3}));
}

TEST_P(DeviceTest, GivesAutogradItsBackwardPass) {
  for (const char* rule : {"SoftHinge", "SSTE", "STE", "Ramp"}) {
    const Threshold threshold = Make("step11", rule);
    at::Tensor x = at::randn({6, 5}, at::TensorOptions(GetParam()));
    x.set_requires_grad(true);
    const at::Tensor g = at::randn({6, 5}, at::TensorOptions(GetParam()));
    const auto grads = torch::autograd::grad({Apply(threshold, x)}, {x}, {g});
    EXPECT_TRUE(
        at::equal(grads[0], ThresholdBackward(threshold, g, x.detach())));
  }
}

TEST(Threshold, GivesTheSameBytesForAnyNumberOfThreads) {
  at::manual_seed(2);
  const at::Tensor x = at::randn({100003}, at::kFloat);
  const at::Tensor g = at::randn({100003}, at::kFloat);
  at::set_num_threads(1);
  const at::Tensor one = ThresholdBackward(Make("step11"), g, x);
  for (const int threads : {2, 3}) {
    at::set_num_threads(threads);
    EXPECT_TRUE(at::equal(ThresholdBackward(Make("step11"), g, x), one));
  }
}

TEST(Threshold, RefusesWhatItDoesNotHave) {
  const at::Tensor x = at::ones({2}, at::kDouble);
  EXPECT_THROW(Apply(Make("step11"), at::ones({2}, at::kLong)), c10::Error);
  EXPECT_THROW(Apply(Make("step11", "WtHinge"), x), c10::Error);
  EXPECT_THROW(Apply(Make("step11", "SSTE", false), x), c10::Error);
  EXPECT_THROW(ThresholdBackward(Make("step11"), at::ones({3}, at::kDouble), x),
               c10::Error);
  EXPECT_THROW(ThresholdBackward(Make("step11"), at::ones({2}, at::kFloat), x),
               c10::Error);
}

}  // namespace
}  // namespace altprop::ftprop
