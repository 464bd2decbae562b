// The fused operators against the plain form, for all modes and types, ties and
// kinks included; and what the paper says of levels and constraint.

#include "cbp/weight_rule.h"

#include <cmath>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/isin.h"
#include "ATen/ops/le.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/sum.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "c10/util/Exception.h"
#include "cbp/constraint.h"
#include "cbp/levels.h"
#include "cbp/test_util.h"
#include "common/kernels/test_devices.h"
#include "gtest/gtest.h"

namespace altprop::cbp {
namespace {

at::Tensor Normal(int64_t size, uint64_t seed, at::ScalarType dtype) {
  return at::empty({size}, at::kDouble)
      .normal_(0, 1, at::detail::createCPUGenerator(seed))
      .to(dtype);
}

// Levels, midpoints, edges of free zones at g = 2 and 4, of scale s.
at::Tensor Kinks(Mode mode, double s, at::ScalarType dtype) {
  const LevelSet levels = LevelsOf(mode);
  std::vector<double> kinks = {0.0, -0.0, 3, -3};
  for (int k = 0; k < levels.size; ++k) {
    kinks.push_back(levels.f[k]);
    if (k + 1 == levels.size) break;
    for (const double part : {0.0, 0.125, 0.25}) {
      kinks.push_back(levels.b[k] - part * levels.gap(k));
      kinks.push_back(levels.b[k] + part * levels.gap(k));
    }
  }
  return at::tensor(kinks, at::kDouble).mul(s).to(dtype);
}

struct Problem {
  at::Tensor w, gradient, lambda, v, m, second, scales;
  std::vector<int64_t> offsets = {0};
  FlatLayers layers() const { return {scales, offsets}; }
};

// Layers of odd sizes, one of them without weights, one of kinks.
Problem MakeProblem(Mode mode, at::ScalarType dtype) {
  Problem p;
  const std::vector<double> scales = {0.02, 0.5, 0.37, 1.3, 0.25};
  const std::vector<int64_t> sizes = {5000, 1, 0, 33};
  std::vector<at::Tensor> parts;
  uint64_t seed = 1;
  for (size_t k = 0; k < sizes.size(); ++k) {
    parts.push_back(Normal(sizes[k], seed++, dtype) * scales[k]);
  }
  parts.push_back(Kinks(mode, scales.back(), dtype));
  for (const at::Tensor& part : parts) {
    p.offsets.push_back(p.offsets.back() + part.numel());
  }
  p.w = at::cat(parts);
  p.scales = at::tensor(scales, at::kDouble).to(dtype);
  const int64_t n = p.w.numel();
  p.gradient = Normal(n, 11, dtype) * 0.6;  // some beyond the clip
  p.lambda = Normal(n, 12, dtype).abs() * 0.2;
  p.v = Normal(n, 13, dtype);
  p.m = Normal(n, 14, dtype).abs() * -0.1;
  p.second = Normal(n, 15, dtype).abs() * 0.1;
  return p;
}

class WeightRule : public ::testing::TestWithParam<
                       std::tuple<Mode, at::ScalarType, at::DeviceType>> {
 protected:
  at::Tensor Here(const at::Tensor& tensor) const {
    return tensor.to(at::Device(std::get<2>(GetParam())));
  }
  Mode mode() const { return std::get<0>(GetParam()); }
  at::ScalarType dtype() const { return std::get<1>(GetParam()); }
  double epsilon() const { return dtype() == at::kDouble ? 1e-12 : 1e-6; }
};

TEST_P(WeightRule, UpdatesAsThePlainForm) {
  for (const double u : {0.0, 0.5, 0.75, 0.9, 1.0}) {
    Problem p = MakeProblem(mode(), dtype());
    const WeightStep step = {u, 0.05, 0.01, 0.9};
    at::Tensor w = Here(p.w.clone()), v = Here(p.v.clone()),
               q = at::zeros_like(w);
    std::vector<at::Tensor> gradients, here;
    double constraint = 0, distance = 0;
    at::Tensor plain_w = p.w.clone(), plain_v = p.v.clone(),
               plain_q = at::zeros_like(p.w);
    for (size_t k = 0; k + 1 < p.offsets.size(); ++k) {
      const int64_t from = p.offsets[k], size = p.offsets[k + 1] - from;
      const auto part = [&](const at::Tensor& t) {
        return t.narrow(0, from, size);
      };
      gradients.push_back(part(p.gradient).clone());
      here.push_back(Here(gradients.back()));
      const at::Tensor s = p.scales.narrow(0, static_cast<int64_t>(k), 1);
      constraint += (part(p.lambda) * Constraint(part(p.w), s, mode(), u))
                        .to(at::kDouble)
                        .sum()
                        .item<double>();
      at::Tensor own_w = part(plain_w), own_v = part(plain_v),
                 own_q = part(plain_q);
      UpdateWeight(own_w, gradients.back(), part(p.lambda), own_v, own_q, s,
                   mode(), step);
      distance +=
          Distance(own_w, s, mode()).to(at::kDouble).sum().item<double>();
    }
    const at::Tensor scales = Here(p.scales);
    const at::Tensor sums = UpdateWeights(w, here, Here(p.lambda), v, q,
                                          {scales, p.offsets}, mode(), step)
                                .cpu();
    const std::string what = absl::StrCat("u ", u);
    ExpectEqual(w.cpu(), plain_w, what);
    ExpectEqual(v.cpu(), plain_v, what);
    ExpectEqual(q.cpu(), plain_q, what);
    QuantizeInto(w, q.fill_(9), {scales, p.offsets}, mode());
    ExpectEqual(q.cpu(), plain_q, what);
    EXPECT_NEAR(sums[0].item<double>(), constraint, epsilon() * constraint);
    EXPECT_NEAR(sums[1].item<double>(), distance, epsilon() * distance);
    EXPECT_TRUE(w.abs().le(1).all().item<bool>());
  }
}

TEST_P(WeightRule, UpdatesMultipliersAsThePlainForm) {
  for (const double u : {0.0, 0.5, 1.0}) {
    const Problem p = MakeProblem(mode(), dtype());
    at::Tensor plain_lambda = p.lambda.clone(), plain_m = p.m.clone(),
               plain_v = p.second.clone();
    const at::Tensor lambda = Here(p.lambda.clone()), m = Here(p.m.clone()),
                     v = Here(p.second.clone()), scales = Here(p.scales);
    UpdateMultipliers(Here(p.w), lambda, m, v, {scales, p.offsets}, mode(), u,
                      1e-3, 3);
    for (size_t k = 0; k + 1 < p.offsets.size(); ++k) {
      const int64_t from = p.offsets[k], size = p.offsets[k + 1] - from;
      at::Tensor own_lambda = plain_lambda.narrow(0, from, size),
                 own_m = plain_m.narrow(0, from, size),
                 own_v = plain_v.narrow(0, from, size);
      UpdateMultiplier(p.w.narrow(0, from, size),
                       p.scales.narrow(0, static_cast<int64_t>(k), 1), mode(),
                       u, 1e-3, 3, own_lambda, own_m, own_v);
    }
    // ATen divides by a number as it multiplies by its inverse: an ulp.
    ExpectClose(lambda.cpu(), plain_lambda, 0,
                dtype() == at::kDouble ? 1e-15 : 3e-7, "lambda");
    ExpectEqual(m.cpu(), plain_m, "m");
    ExpectEqual(v.cpu(), plain_v, "v");
    EXPECT_TRUE((lambda.cpu() - p.lambda).ge(0).all().item<bool>());
  }
}

TEST_P(WeightRule, IsTheSameForAnyNumberOfThreads) {
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    Problem p = MakeProblem(mode(), dtype());
    p.w = Normal(100000, 5, dtype()) * 0.1;
    p.offsets = {0, 70001, 100000};
    p.scales = at::tensor({0.08, 0.07}, at::kDouble).to(dtype());
    const at::Tensor zeros = at::zeros_like(p.w);
    return UpdateWeights(
        p.w, {zeros.narrow(0, 0, 70001), zeros.narrow(0, 70001, 29999)},
        at::full_like(zeros, 0.1), zeros.clone(), zeros.clone(), p.layers(),
        mode(), {.u = 0.5});
  };
  ExpectEqual(run(1), run(2), "sums");
  at::set_num_threads(1);
}

INSTANTIATE_TEST_SUITE_P(
    , WeightRule,
    ::testing::Combine(::testing::ValuesIn(AllModes()),
                       ::testing::Values(at::kFloat, at::kDouble),
                       ::testing::ValuesIn(kernels::TestDevices())),
    [](const auto& info) {
      return absl::StrCat(
          ModeName(std::get<0>(info.param)),
          std::get<1>(info.param) == at::kFloat ? "_fp32_" : "_fp64_",
          c10::DeviceTypeName(std::get<2>(info.param)));
    });

TEST(WeightRuleErrors, AreExceptionsThatNameTheArgument) {
  Problem p = MakeProblem(Mode::kBinary, at::kFloat);
  const at::Tensor q = at::zeros_like(p.w);
  EXPECT_THROW(UpdateWeights(p.w, {p.gradient}, p.lambda, p.v, q, p.layers(),
                             Mode::kBinary, {}),
               c10::Error);
  EXPECT_THROW(QuantizeInto(p.w, q.to(at::kDouble), p.layers(), Mode::kBinary),
               c10::Error);
  p.offsets.back() += 1;
  EXPECT_THROW(QuantizeInto(p.w, q, p.layers(), Mode::kBinary), c10::Error);
}

class Properties : public ::testing::TestWithParam<Mode> {};

// Random weights, none closer than 1e-6 s to a kink at these windows.
at::Tensor Weights(Mode mode, double s, double u) {
  at::Tensor w = Normal(20000, 3, at::kDouble) * 1.2 * s;
  const LevelSet levels = LevelsOf(mode);
  const auto keep_off = [&](double at) {
    w = w.masked_select((w - at * s).abs().gt(1e-5 * s));
  };
  for (int k = 0; k < levels.size; ++k) {
    keep_off(levels.f[k]);
    if (k + 1 == levels.size) break;
    keep_off(levels.b[k]);
    keep_off(levels.b[k] - levels.gap(k) * (1 - u) / 2);
    keep_off(levels.b[k] + levels.gap(k) * (1 - u) / 2);
  }
  return w;
}

TEST_P(Properties, OfTheConstraint) {
  const Mode mode = GetParam();
  const LevelSet levels = LevelsOf(mode);
  for (const double s : {0.02, 1.0, 0.37}) {
    const at::Tensor scale = at::tensor({s}, at::kDouble);
    for (const double u : {0.0, 0.5, 0.75, 0.95, 1.0}) {
      const at::Tensor w = Weights(mode, s, u);
      const at::Tensor cs = Constraint(w, scale, mode, u);
      const at::Tensor slope = ConstraintSlope(w, scale, mode, u);
      const double h = 1e-6 * s;
      ExpectClose((Constraint(w + h, scale, mode, u) -
                   Constraint(w - h, scale, mode, u)) /
                      (2 * h),
                  slope, 1e-6, 0, "central difference");
      ExpectEqual(Constraint(-w, scale, mode, u), cs, "even");
      ExpectEqual(ConstraintSlope(-w, scale, mode, u), -slope, "odd");
      ExpectClose(Constraint(3 * w, 3 * scale, mode, u), 3 * cs, 1e-14, 1e-14,
                  "scales");
      // Outside of the free zones it is Y, and descent goes to the level.
      const at::Tensor q = Quantize(w, scale, mode);
      const at::Tensor y = 2 * (w - q).abs();
      ExpectClose(Distance(w, scale, mode), y, 1e-15, 1e-15, "distance");
      const at::Tensor free = slope.eq(0);
      ExpectClose(at::where(free, at::zeros_like(y), y), cs, 1e-15, 1e-15,
                  "gate");
      EXPECT_EQ(u == 1, !free.any().item<bool>());
      EXPECT_TRUE((slope * (w - q)).ge(0).all().item<bool>());
    }
    for (int k = 0; k < levels.size; ++k) {
      const at::Tensor level = scale * levels.f[k];
      EXPECT_EQ(Distance(level, scale, mode).item<double>(), 0);
      if (k + 1 == levels.size) break;
      EXPECT_NEAR(Distance(scale * levels.b[k], scale, mode).item<double>(),
                  levels.gap(k) * s, 1e-15 * s);
    }
  }
}

TEST_P(Properties, OfTheQuantizer) {
  const Mode mode = GetParam();
  const LevelSet levels = LevelsOf(mode);
  for (const double s : {0.0173, 0.6}) {
    const at::Tensor w = Normal(100000, 4, at::kFloat) * s;
    const at::Tensor scale = at::tensor({s}, at::kFloat);
    const at::Tensor q = Quantize(w, scale, mode);
    std::vector<at::Tensor> allowed;
    for (int k = 0; k < levels.size; ++k) {
      allowed.push_back(scale * levels.f[k]);
    }
    EXPECT_TRUE(at::isin(q, at::cat(allowed)).all().item<bool>());
    ExpectEqual(FromIndex(NearestIndex(w, scale, mode), scale, mode), q,
                "by index");
    // A level is its own nearest.
    ExpectEqual(Quantize(q, scale, mode), q, "again");
  }
}

// CFS / s of normal weights of scale mean |w|.
TEST_P(Properties, OfNormalWeights) {
  const double expected[] = {1.2098, 0.8956, 0.7490, 0.7101};
  const at::Tensor w = Normal(400000, 6, at::kDouble) * 0.02;
  const at::Tensor s = Scale(w);
  EXPECT_NEAR((Distance(w, s, GetParam()).mean() / s).item<double>(),
              expected[static_cast<int>(GetParam())], 0.01);
}

INSTANTIATE_TEST_SUITE_P(, Properties, ::testing::ValuesIn(AllModes()),
                         [](const auto& info) {
                           return std::string(ModeName(info.param));
                         });

struct Worked {
  Mode mode;
  double g;  // 0: no window
  double w, q, cs, slope;
};

// By hand, at s = 1.
const Worked kWorked[] = {
    {Mode::kBinary, 1, -1.5, -1, 1, -2},
    {Mode::kBinary, 1, -1, -1, 0, 0},
    {Mode::kBinary, 2, -1, -1, 0, 2},
    {Mode::kBinary, 2, -0.75, -1, 0.5, 2},
    {Mode::kBinary, 2, -0.5, -1, 1, 0},
    {Mode::kBinary, 2, 0.5, 1, 1, -2},
    {Mode::kBinary, 4, -0.3, -1, 1.4, 2},
    {Mode::kBinary, 4, 0.1, 1, 0, 0},
    {Mode::kBinary, 0, 0, 0, 2, -2},
    {Mode::kBinary, 0, 0.1, 1, 1.8, -2},
    {Mode::kBinary, 1, 1, 1, 0, 2},
    {Mode::kBinary, 1, 1.25, 1, 0.5, 2},
    {Mode::kTernary, 4, -0.65, -1, 0.7, 2},
    {Mode::kTernary, 10, -0.5, -0.5, 0, 0},
    {Mode::kTernary, 0, -0.5, -0.5, 1, -2},
    {Mode::kTernary, 2, 0, 0, 0, 2},
    {Mode::kTernary, 2, 0.35, 0, 0, 0},
    {Mode::kTernary, 10, 0.47, 0, 0, 0},
    {Mode::kTernary, 0, 0.47, 0, 0.94, 2},
    {Mode::kTernary, 2, 1.25, 1, 0.5, 2},
    {Mode::kOneBitShift, 2, 0.375, 0.5, 0.25, -2},
    {Mode::kOneBitShift, 2, 0.625, 0.5, 0.25, 0},
    {Mode::kOneBitShift, 4, 0.625, 0.5, 0.25, 2},
    {Mode::kOneBitShift, 10, -0.3, -0.5, 0.4, 2},
    {Mode::kOneBitShift, 0, 0.75, 0.75, 0.5, -2},
    {Mode::kTwoBitShift, 2, 0.03, 0, 0.06, 2},
    {Mode::kTwoBitShift, 4, 0.1, 0, 0, 0},
    {Mode::kTwoBitShift, 0, 0.125, 0.125, 0.25, -2},
    {Mode::kTwoBitShift, 2, 0.2, 0.25, 0.1, -2},
    {Mode::kTwoBitShift, 4, 0.33, 0.25, 0.16, 2},
    {Mode::kTwoBitShift, 2, 0.6, 0.5, 0.2, 2},
    {Mode::kTwoBitShift, 2, 0.65, 0.5, 0, 0},
    {Mode::kTwoBitShift, 4, 0.65, 0.5, 0.3, 2},
    {Mode::kTwoBitShift, 4, 0.7, 0.5, 0, 0},
    {Mode::kTwoBitShift, 0, 0.7, 0.5, 0.4, 2},
    {Mode::kTwoBitShift, 2, 1.1, 1, 0.2, 2},
};

TEST(Worked, Values) {
  const at::Tensor s = at::tensor({1.0}, at::kDouble);
  for (const Worked& x : kWorked) {
    const double u = x.g == 0 ? 1 : 1 - 1 / x.g;
    const at::Tensor w = at::tensor({x.w}, at::kDouble);
    const std::string what =
        absl::StrCat(ModeName(x.mode), " g ", x.g, " w ", x.w);
    EXPECT_EQ(Quantize(w, s, x.mode).item<double>(), x.q) << what;
    EXPECT_NEAR(Constraint(w, s, x.mode, u).item<double>(), x.cs, 1e-15)
        << what;
    EXPECT_EQ(ConstraintSlope(w, s, x.mode, u).item<double>(), x.slope) << what;
  }
}

// The first violation at the t-th update moves lambda by r(t) lr; momentum
// carries on after a violation ends.
TEST(Worked, Multipliers) {
  const auto run = [](const std::vector<double>& violations) {
    const at::Tensor s = at::tensor({1.0}, at::kDouble);
    at::Tensor lambda = at::zeros({1}, at::kDouble), m = lambda.clone(),
               v = lambda.clone();
    std::vector<double> values;
    for (const double cs : violations) {
      // Beyond the outermost level: cs = 2 (w - s).
      const at::Tensor w = at::tensor({1 + cs / 2}, at::kDouble);
      UpdateMultiplier(w, s, Mode::kBinary, 0, 1e-4,
                       static_cast<int64_t>(values.size()) + 1, lambda, m, v);
      values.push_back(lambda.item<double>());
    }
    return values;
  };
  const std::vector<double> worked = run({0.01, 0.02, 0.005, 0});
  EXPECT_NEAR(worked[0], 9.99999e-5, 1e-10);
  EXPECT_NEAR(worked[1], 1.965180e-4, 1e-10);
  EXPECT_NEAR(worked[2], 2.832747e-4, 1e-10);
  EXPECT_NEAR(worked[3], 3.543405e-4, 1e-10);
  const std::vector<double> after =
      run({0.01, 0.01, 0.01, 0.01, 0.01, 0, 0, 0});
  EXPECT_NEAR(after[4], 5e-4, 1e-8);
  EXPECT_NEAR(after[5], 5.862e-4, 1e-7);
  EXPECT_NEAR(after[7], 7.278e-4, 1e-7);
  const std::pair<int, double> late[] = {
      {2, 0.744}, {3, 0.639}, {5, 0.545}, {10, 0.484}, {50, 0.702}};
  for (const auto& [t, r] : late) {
    std::vector<double> violations(t, 0.0);
    violations.back() = 0.3;
    const std::vector<double> values = run(violations);
    EXPECT_NEAR(values.back(), r * 1e-4, 1e-7) << t;
    EXPECT_EQ(values[t - 2], 0) << t;
  }
}

}  // namespace
}  // namespace altprop::cbp
