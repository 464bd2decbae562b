// The method's pieces, recorded from the authors' program on fixed inputs, by
// the plain form and by the fused operators.

#include <cmath>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/sum.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cbp/constraint.h"
#include "cbp/levels.h"
#include "cbp/test_util.h"
#include "cbp/weight_rule.h"
#include "cbp/window.h"
#include "gtest/gtest.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::cbp {
namespace {

double WindowOf(double g) { return std::isinf(g) ? 1 : 1 - 1 / g; }

// One layer in flat buffers.
struct Flat {
  at::Tensor scales;
  std::vector<int64_t> offsets;
  FlatLayers layers() const { return {scales, offsets}; }
};

Flat OneLayer(const at::Tensor& w, const at::Tensor& s) {
  return {s.view({1}), {0, w.numel()}};
}

// cs and its slope, out of the fused operators: a multiplier update leaves m =
// -0.1 cs, a weight update without decay or momentum leaves v = lambda slope.
at::Tensor FusedConstraint(const at::Tensor& w, const at::Tensor& s, Mode mode,
                           double u) {
  const at::Tensor x = w.flatten().contiguous();
  at::Tensor lambda = at::zeros_like(x), m = at::zeros_like(x),
             v = at::zeros_like(x);
  const Flat flat = OneLayer(x, s);
  UpdateMultipliers(x, lambda, m, v, flat.layers(), mode, u, 1, 1);
  return m / -(x.scalar_type() == at::kFloat
                   ? static_cast<double>(static_cast<float>(1 - kBeta1))
                   : 1 - kBeta1);
}

at::Tensor FusedSlope(const at::Tensor& w, const at::Tensor& s, Mode mode,
                      double u, const at::Tensor& lambda, double* sum) {
  at::Tensor x = w.flatten().contiguous().clone();
  const at::Tensor v = at::zeros_like(x), q = at::zeros_like(x);
  const Flat flat = OneLayer(x, s);
  const at::Tensor sums =
      UpdateWeights(x, {at::zeros_like(x)}, lambda.flatten().contiguous(), v, q,
                    flat.layers(), mode, {.u = u, .learning_rate = 0});
  if (sum != nullptr) *sum = sums[0].item<double>();
  return v;
}

at::Tensor FusedQuantize(const at::Tensor& w, const at::Tensor& s, Mode mode) {
  const at::Tensor x = w.flatten().contiguous();
  at::Tensor q = at::zeros_like(x);
  const Flat flat = OneLayer(x, s);
  QuantizeInto(x, q, flat.layers(), mode);
  return q.view(w.sizes());
}

class GoldenTest : public ::testing::TestWithParam<Mode> {
 protected:
  const Mode mode_ = GetParam();
  const std::string name_ = std::string(ModeName(GetParam()));
};

TEST_P(GoldenTest, Levels) {
  const Golden golden("quantizer.pt");
  const LevelSet levels = LevelsOf(mode_);
  const at::Tensor f = golden.Get(name_ + ".factor").flatten();
  const at::Tensor b = golden.Get(name_ + ".b").flatten();
  ASSERT_EQ(f.numel(), levels.size);
  ASSERT_EQ(b.numel(), levels.size - 1);
  for (int k = 0; k < levels.size; ++k) {
    EXPECT_EQ(f[k].item().toDouble(), levels.f[k]);
    if (k + 1 < levels.size) {
      EXPECT_EQ(b[k].item().toDouble(), levels.b[k]);
    }
  }
}

TEST_P(GoldenTest, Quantizer) {
  const Golden golden("quantizer.pt");
  for (const char* type : {".f64", ".f32"}) {
    const std::string key = name_ + type;
    const at::Tensor w = golden.Get(key + ".w");
    const at::Tensor s = golden.Get(key + ".scale");
    ExpectEqual(Quantize(w, s, mode_), golden.Get(key + ".q"), key);
    ExpectEqual(FusedQuantize(w, s, mode_), golden.Get(key + ".q"), key);
    // The estimator passes straight through.
    ExpectEqual(golden.Get(key + ".grad_w"), golden.Get(key + ".grad_q"), key);
  }
  const at::Tensor w = golden.Get(name_ + ".tie.w");
  const at::Tensor s = at::tensor({0.25}, w.options());
  ExpectEqual(Quantize(w, s, mode_), golden.Get(name_ + ".tie.q"), "ties");
  ExpectEqual(FusedQuantize(w, s, mode_), golden.Get(name_ + ".tie.q"), "ties");
}

TEST_P(GoldenTest, Constraint) {
  const Golden golden("constraint.pt");
  const at::Tensor g = golden.Get("g");
  for (const bool wide : {true, false}) {
    const std::string key = name_ + (wide ? ".f64" : ".f32");
    const at::Tensor w = golden.Get(key + ".w");
    const at::Tensor s = golden.Get(key + ".scale");
    const at::Tensor lambda = golden.Get(key + ".lambda");
    const double scale = s.item().toDouble();
    for (int64_t i = 0; i < g.numel(); ++i) {
      const double u = WindowOf(g[i].item().toDouble());
      const std::string what = absl::StrCat(key, " u ", u);
      EXPECT_NEAR(golden.Get(key + ".u")[i].item().toDouble(), u, 1e-7);
      const at::Tensor cs = golden.Get(key + ".cs")[i];
      const double near = (wide ? 1e-15 : 4e-7) * scale;
      ExpectClose(Constraint(w, s, mode_, u), cs, near, 0, what);
      // Its own product with 0.1 rounds once more.
      ExpectClose(FusedConstraint(w, s, mode_, u), cs, near,
                  wide ? 4e-16 : 2e-7, what);
      const at::Tensor grad = golden.Get(key + ".grad_w")[i];
      const double share = wide ? 4e-15 : 1e-6;
      ExpectClose(lambda * ConstraintSlope(w, s, mode_, u), grad, 0, share,
                  what);
      double sum = 0;
      // The clip to 1 that follows would hide larger ones.
      ASSERT_LE((grad.abs()).max().item().toDouble(), 1) << what;
      ExpectClose(FusedSlope(w, s, mode_, u, lambda, &sum), grad, 0, share,
                  what);
      const double expected =
          golden.Get(key + ".weighted_sum")[i].item().toDouble();
      const double tolerance = (wide ? 1e-13 : 1e-5) * std::abs(expected);
      EXPECT_NEAR(sum, expected, tolerance) << what;
      EXPECT_NEAR((lambda * Constraint(w, s, mode_, u)).sum().item().toDouble(),
                  expected, tolerance)
          << what;
    }
    const double cfs = golden.Number(key + ".cfs");
    EXPECT_NEAR(Distance(w, s, mode_).mean().item().toDouble(), cfs,
                (wide ? 1e-13 : 1e-5) * cfs);
  }
}

// At levels, midpoints and the edges of the free zone, all of them exact.
TEST_P(GoldenTest, ConstraintAtItsKinks) {
  const Golden golden("constraint.pt");
  const at::Tensor w = golden.Get(name_ + ".edge.w");
  const at::Tensor s = at::tensor({0.5}, w.options());
  const at::Tensor half = at::full_like(w, 0.5);
  for (const auto& [name, g] : {std::pair<std::string, double>{"1", 1},
                                {"2", 2},
                                {"4", 4},
                                {"inf", INFINITY}}) {
    const std::string key = absl::StrCat(name_, ".edge.g", name);
    const double u = WindowOf(g);
    ExpectEqual(Constraint(w, s, mode_, u), golden.Get(key + ".cs"), key);
    ExpectClose(FusedConstraint(w, s, mode_, u), golden.Get(key + ".cs"), 0,
                4e-16, key);
    ExpectEqual(ConstraintSlope(w, s, mode_, u), golden.Get(key + ".dcs"), key);
    // lambda = 1/2: the clip leaves a slope of 2 as it is.
    ExpectEqual(FusedSlope(w, s, mode_, u, half, nullptr) * 2,
                golden.Get(key + ".dcs"), key);
  }
}

TEST_P(GoldenTest, Layers) {
  const Golden golden("layers.pt");
  for (const std::string layer :
       {"conv_s1p1", "conv_s2p0", "conv_1x1s2", "conv_bias_dil_groups",
        "linear", "linear_bias"}) {
    const std::string key = absl::StrCat(name_, ".", layer, ".");
    const at::Tensor w = golden.Get(key + "weight");
    const at::Tensor s = golden.Get(key + "scale");
    ExpectClose(Scale(w), s, 0, 1e-15, key);
    const at::Tensor q = Quantize(w, s, mode_).set_requires_grad(true);
    const at::Tensor x = golden.Get(key + "x").clone().set_requires_grad(true);
    const bool has_bias = golden.Has(key + "bias");
    at::Tensor bias;
    if (has_bias) {
      bias = golden.Get(key + "bias").clone().set_requires_grad(true);
    }
    at::Tensor y;
    if (w.dim() == 2) {
      y = at::linear(x, q, bias);
    } else {
      const bool dilated = absl::StrContains(layer, "dil");
      const int64_t stride = absl::StrContains(layer, "s2") ? 2 : 1;
      const int64_t padding = dilated ? 2 : layer == "conv_s1p1" ? 1 : 0;
      y = at::conv2d(x, q, bias, stride, padding, dilated ? 2 : 1,
                     dilated ? 2 : 1);
    }
    ExpectClose(y, golden.Get(key + "y"), 1e-13, 0, key + "y");
    std::vector<at::Tensor> inputs = {q, x};
    if (has_bias) inputs.push_back(bias);
    const auto gradients =
        torch::autograd::grad({y}, inputs, {golden.Get(key + "grad_y")});
    ExpectClose(gradients[0], golden.Get(key + "grad_weight"), 1e-13, 0, key);
    ExpectClose(gradients[1], golden.Get(key + "grad_x"), 1e-13, 0, key);
    if (has_bias) {
      ExpectClose(gradients[2], golden.Get(key + "grad_bias"), 1e-13, 0, key);
    }
  }
}

TEST_P(GoldenTest, Multipliers) {
  const Golden golden("multiplier.pt");
  const at::Tensor g = golden.Get("g");
  const double lr = golden.Number("lr_lambda");
  const at::Tensor s = golden.Get(name_ + ".scale");
  const at::Tensor like = golden.Get(name_ + ".w")[0];
  at::Tensor lambda = at::zeros_like(like), m = at::zeros_like(like),
             v = at::zeros_like(like);
  at::Tensor flat_lambda = lambda.flatten().clone(),
             flat_m = flat_lambda.clone(), flat_v = flat_lambda.clone();
  const Flat flat = OneLayer(flat_lambda, s);
  for (int64_t t = 0; t < g.numel(); ++t) {
    const double u = WindowOf(g[t].item().toDouble());
    const at::Tensor w = golden.Get(name_ + ".w")[t];
    UpdateMultiplier(w, s, mode_, u, lr, t + 1, lambda, m, v);
    const at::Tensor distance =
        UpdateMultipliers(w.flatten().contiguous(), flat_lambda, flat_m, flat_v,
                          flat.layers(), mode_, u, lr, t + 1);
    EXPECT_NEAR(distance.item<double>(),
                Distance(w, s, mode_).sum().item<double>(), 1e-13);
    const auto expect = [&](const at::Tensor& plain, const at::Tensor& fused,
                            const char* key, double tolerance) {
      const at::Tensor expected = golden.Get(absl::StrCat(name_, ".", key))[t];
      ExpectClose(plain, expected, tolerance, 0, absl::StrCat(key, t));
      ExpectClose(fused.view(w.sizes()), expected, tolerance, 0,
                  absl::StrCat(key, t));
    };
    expect(lambda, flat_lambda, "lambda", 1e-14);
    expect(m, flat_m, "exp_avg", 1e-15);
    expect(v, flat_v, "exp_avg_sq", 1e-15);
    EXPECT_EQ(lambda.flatten()[0].item<double>(), 0);
    EXPECT_EQ(flat_lambda[0].item<double>(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(, GoldenTest, ::testing::ValuesIn(AllModes()),
                         [](const auto& info) {
                           return std::string(ModeName(info.param));
                         });

TEST(Schedule, EqualsTheAuthorsLoop) {
  const Golden golden("schedule.pt");
  for (const std::string name : {"worked", "period1", "noisy"}) {
    const at::Tensor lsum = golden.Get(name + ".lsum");
    const auto period = static_cast<int64_t>(golden.Number(name + ".period"));
    const double lr0 = golden.Number(name + ".lr0");
    Window window;
    for (int64_t epoch = 0; epoch < lsum.numel(); ++epoch) {
      const bool updated =
          AdvanceWindow(lsum[epoch].item().toDouble(), period, window);
      const auto at = [&](const char* key) {
        return golden.Get(absl::StrCat(name, ".", key))[epoch]
            .item()
            .toDouble();
      };
      EXPECT_EQ(updated ? 1 : 0, at("updated")) << name << " " << epoch;
      EXPECT_EQ(static_cast<double>(window.g), at("g")) << name << " " << epoch;
      EXPECT_EQ(window.u(), at("u")) << name << " " << epoch;
      EXPECT_EQ(static_cast<double>(window.p), at("p")) << name << " " << epoch;
      EXPECT_EQ(window.lpre, at("lpre")) << name << " " << epoch;
      EXPECT_NEAR(LearningRate(lr0, window), at("lr"), 1e-15 * lr0);
    }
  }
}

}  // namespace
}  // namespace altprop::cbp
