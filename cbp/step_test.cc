// Whole iterations, recorded from the authors' program: the trace of one layer
// and three steps of a small network; and what holds for every step.

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cross_entropy_loss.h"
#include "ATen/ops/ge.h"
#include "ATen/ops/le.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "cbp/constraint.h"
#include "cbp/learner.h"
#include "cbp/network.h"
#include "cbp/test_util.h"
#include "common/models/layers.h"
#include "gtest/gtest.h"

namespace altprop::cbp {
namespace {

const NetworkOptions kDouble = {at::kDouble, at::kDouble, at::kCPU, false};

// Momentum out of a learner's state.
at::Tensor MomentumOf(const Learner& learner, const std::string& name) {
  for (const auto& [key, value] : learner.State()) {
    if (key != "optimizer") continue;
    const auto* state = value.Find("state")->Find(name);
    if (state != nullptr) return *state->GetTensor("momentum_buffer");
  }
  return {};
}

class StepTest : public ::testing::TestWithParam<std::tuple<Mode, bool>> {
 protected:
  Mode mode() const { return std::get<0>(GetParam()); }
  std::string Key(const std::string& name) const {
    return absl::StrCat(ModeName(mode()), ".", name);
  }
  LearnerOptions Options(const Golden& golden) const {
    LearnerOptions o;
    o.mode = mode();
    o.learning_rate = golden.Number("lr");
    o.weight_decay = golden.Number("weight_decay");
    o.lr_lambda = golden.Number("lr_lambda");
    o.period = 1;
    o.fused = std::get<1>(GetParam());
    return o;
  }
};

// One constrained linear layer, two classes, two samples; three multiplier
// updates, at g = 1, 2 and 3, with two iterations after each.
TEST_P(StepTest, TraceOfOneLayer) {
  const Golden golden("trace.pt");
  Network::Parts parts;
  parts.layers.push_back(
      {"layer", golden.Get(Key("w0")).clone(), {}, 1, 0, 0, {}});
  parts.nodes.push_back({NodeKind::kWeight, {-1}, 0});
  parts.registered = {0};
  Network network(std::move(parts), kDouble);
  Learner learner(network, Options(golden));
  ASSERT_TRUE(learner.Begin().ok());
  const Constrained& c = network.constrained();
  ExpectClose(c.scales, golden.Get(Key("scale")), 1e-12, 0, "scale");
  ExpectClose(c.View(c.q, 0), golden.Get(Key("q0")), 1e-12, 0, "q0");
  EXPECT_NEAR(Measure(c, mode()).cfs, golden.Number(Key("cfs0")), 1e-12);
  int64_t iteration = 0;
  for (int64_t update = 0; update < 3; ++update) {
    if (update > 0) {
      EXPECT_TRUE(learner.EndEpoch(1));
    }
    EXPECT_EQ(learner.window().g, update + 1);
    const auto expect = [&](const at::Tensor& buffer, const char* name) {
      ExpectClose(c.View(buffer, 0), golden.Get(Key(name))[update], 1e-12, 0,
                  name);
    };
    expect(c.lambda, "lambda");
    expect(c.exp_avg, "exp_avg");
    expect(c.exp_avg_sq, "exp_avg_sq");
    for (int i = 0; i < 2; ++i, ++iteration) {
      const at::Tensor loss = at::cross_entropy_loss(
          network.Forward(golden.Get("x"), true), golden.Get("y"));
      const double constraint = learner.ConstrainedStep(loss);
      const auto at = [&](const char* name) {
        return golden.Get(Key(name))[iteration];
      };
      EXPECT_NEAR(loss.item<double>() + constraint, at("L").item<double>(),
                  1e-12);
      ExpectClose(c.View(c.w, 0), at("w"), 1e-12, 0, "w");
      ExpectClose(c.View(c.v, 0), at("momentum"), 1e-12, 0, "momentum");
      EXPECT_NEAR(Measure(c, mode()).cfs, at("cfs").item<double>(), 1e-12);
    }
  }
}

// Linear, batch norm, ReLU, three times, and a classifier; the first and the
// last linear layer free.
Network::Parts Perceptron(const Golden& golden, const std::string& prefix) {
  const auto get = [&](const std::string& name) {
    return golden.Get(prefix + name).clone();
  };
  Network::Parts parts;
  int node = -1;
  const auto add = [&](NodeKind kind, int index) {
    parts.nodes.push_back({kind, {node}, index});
    node = static_cast<int>(parts.nodes.size()) - 1;
  };
  for (const int number : {0, 3, 6, 9}) {
    const std::string name = absl::StrCat("classifier.", number);
    const bool last = number == 9;
    parts.registered.push_back(static_cast<int>(parts.layers.size()));
    parts.layers.push_back({name,
                            get(name + ".weight"),
                            last ? get(name + ".bias") : at::Tensor(),
                            1,
                            0,
                            number == 0 || last ? -1 : 0,
                            {}});
    add(NodeKind::kWeight, static_cast<int>(parts.layers.size()) - 1);
    if (last) break;
    const std::string norm = absl::StrCat("classifier.", number + 1);
    models::BatchNorm batch_norm =
        models::MakeBatchNorm(get(norm + ".weight").size(0));
    batch_norm.weight = get(norm + ".weight");
    batch_norm.bias = get(norm + ".bias");
    batch_norm.running_mean = get(norm + ".running_mean");
    batch_norm.running_var = get(norm + ".running_var");
    parts.registered.push_back(-1 - static_cast<int>(parts.norms.size()));
    parts.norms.push_back({norm, batch_norm});
    add(NodeKind::kNorm, static_cast<int>(parts.norms.size()) - 1);
    add(NodeKind::kRelu, -1);
  }
  return parts;
}

TEST_P(StepTest, ThreeStepsOfANetwork) {
  const Golden golden("step.pt");
  Network network(Perceptron(golden, Key("init.")), kDouble);
  Learner learner(network, Options(golden));
  ASSERT_TRUE(learner.Begin().ok());
  const at::Tensor scales = network.constrained().scales.clone();
  const at::Tensor x = golden.Get(Key("x")), y = golden.Get(Key("y"));
  for (int64_t i = 0; i < 3; ++i) {
    const at::Tensor loss = at::cross_entropy_loss(
        network.Forward(x.narrow(0, 6 * i, 6), true), y.narrow(0, 6 * i, 6));
    EXPECT_NEAR(loss.item<double>(), golden.Get(Key("C"))[i].item<double>(),
                1e-11);
    EXPECT_NEAR(learner.ConstrainedStep(loss),
                golden.Get(Key("con"))[i].item<double>(), 1e-11);
    const at::Tensor& w = network.constrained().w;
    EXPECT_TRUE(w.ge(-1).logical_and(w.le(1)).all().item<bool>());
  }
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, tensor] : network.State()) state[name] = tensor;
  for (const auto& [name, tensor] : golden.Under(Key("final."))) {
    ExpectClose(state[name], tensor, 1e-11, 0, name);
  }
  for (const auto& [name, tensor] : golden.Under(Key("momentum."))) {
    ExpectClose(MomentumOf(learner, name), tensor, 1e-11, 0, name);
  }
  const Constrained& c = network.constrained();
  for (size_t k = 0; k < c.size(); ++k) {
    ExpectClose(c.View(c.lambda, k),
                golden.Get(Key(absl::StrCat("lambda.", c.names[k]))), 1e-11, 0,
                c.names[k]);
  }
  ExpectEqual(c.scales, scales, "scales");
}

INSTANTIATE_TEST_SUITE_P(, StepTest,
                         ::testing::Combine(::testing::ValuesIn(AllModes()),
                                            ::testing::Bool()),
                         [](const auto& info) {
                           return absl::StrCat(
                               ModeName(std::get<0>(info.param)),
                               std::get<1>(info.param) ? "_fused" : "_plain");
                         });

// Without multipliers a step is that of the straight-through estimator; where
// the weights are the levels, of plain SGD.
TEST(Ablation, StraightThroughIsSgdOnTheQuantizedGradient) {
  const Golden golden("step.pt");
  Network network(Perceptron(golden, "ter.init."), kDouble);
  LearnerOptions o;
  o.mode = Mode::kTernary;
  o.ablation = Ablation::kSte;
  o.learning_rate = 0.01;
  Learner learner(network, o);
  ASSERT_TRUE(learner.Begin().ok());
  const Constrained& c = network.constrained();
  const at::Tensor before = c.w.clone();
  const at::Tensor x = golden.Get("ter.x"), y = golden.Get("ter.y");
  const at::Tensor loss = at::cross_entropy_loss(network.Forward(x, true), y);
  EXPECT_EQ(learner.ConstrainedStep(loss), 0);
  ExpectEqual(c.lambda, at::zeros_like(c.lambda), "lambda");
  ExpectClose(c.w, (before - c.v * 0.01).clamp(-1, 1), 1e-15, 0, "w");
  learner.EndEpoch(1);
  ExpectEqual(c.lambda, at::zeros_like(c.lambda), "lambda");
  EXPECT_EQ(learner.u(), 1);
}

// The window goes on, but nothing is evaluated with it.
TEST(Ablation, NoWindowConstrainsEverythingFromTheStart) {
  const Golden golden("step.pt");
  Network network(Perceptron(golden, "bin.init."), kDouble);
  LearnerOptions o;
  o.ablation = Ablation::kNoWindow;
  o.lr_lambda = 1e-2;
  o.period = 1;
  Learner learner(network, o);
  ASSERT_TRUE(learner.Begin().ok());
  // Every weight off its level is pulled from the first update on.
  EXPECT_TRUE(network.constrained().lambda.ge(9e-3).all().item<bool>());
  EXPECT_TRUE(learner.EndEpoch(1));
  EXPECT_EQ(learner.window().g, 2);
  EXPECT_EQ(learner.u(), 1);
}

}  // namespace
}  // namespace altprop::cbp
