#include "eqprop/equilibrium.h"

#include <cmath>
#include <string>
#include <tuple>

#include "ATen/TensorOperators.h"
#include "ATen/ops/clone.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/zeros.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::eqprop {
namespace {

constexpr double kBeta = 0.3;

at::Tensor Leaf(const at::Tensor& tensor) {
  return tensor.detach().clone().requires_grad_(true);
}

// Depth, batch 1, wide and narrow layers.
class ClosedFormTest : public testing::TestWithParam<
                           std::tuple<std::vector<int64_t>, int64_t, Loss>> {
 protected:
  ClosedFormTest()
      : loss_(std::get<2>(GetParam())),
        problem_(MakeProblem(std::get<0>(GetParam()), std::get<1>(GetParam()),
                             Activation::kMysig, at::kDouble, 7)) {}

  const Loss loss_;
  const RandomProblem problem_;
};

TEST_P(ClosedFormTest, DriveIsTheDerivativeOfPhiByTheState) {
  for (const double beta : {0.0, kBeta, -kBeta}) {
    const Nudge nudge = NudgeTowards(problem_.target, beta);
    State leaves;
    for (const at::Tensor& s : problem_.state) leaves.push_back(Leaf(s));
    const at::Tensor phi =
        Phi(problem_.network, problem_.input, leaves, nudge, loss_).sum();
    const State expected = torch::autograd::grad({phi}, leaves);
    const State drive =
        Drive(problem_.network, problem_.input, problem_.state, nudge, loss_);
    EXPECT_LE(RelativeError(drive, expected), 1e-12) << beta;
  }
}

TEST_P(ClosedFormTest, PhiGradientIsTheDerivativeOfPhiByTheParameters) {
  Network network = problem_.network;
  std::vector<at::Tensor> leaves;
  for (Edge& edge : network.edges) {
    edge = {Leaf(edge.weight), Leaf(edge.bias)};
    leaves.push_back(edge.weight);
    leaves.push_back(edge.bias);
  }
  // Clamp() records no graph; this does, so that W_1 and b_1 count too.
  const at::Tensor& x = problem_.input.x;
  const Clamped input{x, at::linear(x, leaves[0], leaves[1])};
  const at::Tensor phi = Phi(network, input, problem_.state, {}, loss_).mean();
  EXPECT_LE(RelativeError(PhiGradient(problem_.network, problem_.input,
                                      {problem_.state}, problem_.target),
                          torch::autograd::grad({phi}, leaves)),
            1e-12);
}

TEST_P(ClosedFormTest, NudgeForceIsMinusTheDerivativeOfTheLoss) {
  const at::Tensor output = Leaf(problem_.state.back());
  const at::Tensor loss = LossPerSample(loss_, output, problem_.target).sum();
  ExpectClose(NudgeForce(loss_, problem_.state.back(), problem_.target),
              -torch::autograd::grad({loss}, {output})[0], 1e-15);
}

INSTANTIATE_TEST_SUITE_P(
    , ClosedFormTest,
    testing::Combine(testing::Values(std::vector<int64_t>{5, 3},
                                     std::vector<int64_t>{1, 1, 1},
                                     std::vector<int64_t>{20, 17, 10},
                                     std::vector<int64_t>{9, 33, 2, 21, 4}),
                     testing::Values(1, 6),
                     testing::Values(Loss::kMse, Loss::kCel)));

class FixedPointTest : public testing::TestWithParam<Activation> {
 protected:
  FixedPointTest()
      : problem_(MakeProblem({6, 5, 4, 3}, 4, GetParam(), at::kDouble, 3)) {}

  State Settle(const State& from, double beta) const {
    return Relax(problem_.network, problem_.input, from, 2000,
                 NudgeTowards(problem_.target, beta),
                 TrainingDynamics(Loss::kMse));
  }
  State Free() const {
    return Settle(ZeroState(problem_.network, problem_.input), 0);
  }

  const RandomProblem problem_;
};

TEST_P(FixedPointTest, OneMoreStepChangesNothing) {
  const State free = Free();
  ExpectClose(Step(problem_.network, problem_.input, free, {},
                   TrainingDynamics(Loss::kMse)),
              free, 1e-12);
}

TEST_P(FixedPointTest, NudgingByZeroChangesNothing) {
  const State free = Free();
  ExpectClose(Settle(free, 0), free, 1e-12);
}

TEST_P(FixedPointTest, EnergyIsStationaryInsideTheRange) {
  const State free = Free();
  State leaves;
  for (const at::Tensor& s : free) leaves.push_back(Leaf(s));
  at::Tensor energy =
      -Phi(problem_.network, problem_.input, leaves, {}, Loss::kMse).sum();
  for (const at::Tensor& s : leaves) {
    energy = energy + Potential(GetParam(), s).sum();
  }
  const State slope = torch::autograd::grad({energy}, leaves);
  const State u = Drive(problem_.network, problem_.input, free, {}, Loss::kMse);
  int64_t inside = 0;
  for (size_t l = 0; l < free.size(); ++l) {
    // sigma' = 0 marks the saturated units of the clamps.
    const at::Tensor free_units = Derivative(GetParam(), u[l]).gt(0);
    inside += free_units.sum().item<int64_t>();
    EXPECT_LE(slope[l].masked_select(free_units).abs().sum().item<double>(),
              1e-10);
  }
  EXPECT_GT(inside, 0);
}

INSTANTIATE_TEST_SUITE_P(, FixedPointTest, testing::ValuesIn(kActivations),
                         [](const auto& info) {
                           return std::string(ActivationName(info.param));
                         });

class ContrastGradientTest : public testing::TestWithParam<Loss> {
 protected:
  ContrastGradientTest()
      : problem_(MakeProblem({20, 30, 12, 5}, 8, Activation::kMysig,
                             at::kDouble, 11)) {
    free_ = Phase(ZeroState(problem_.network, problem_.input), 0, 30);
    plus_ = Phase(free_, kBeta, 8);
    minus_ = Phase(free_, -kBeta, 8);
  }
  State Phase(const State& from, double beta, int64_t steps) const {
    return Relax(problem_.network, problem_.input, from, steps,
                 NudgeTowards(problem_.target, beta),
                 TrainingDynamics(GetParam()));
  }

  const RandomProblem problem_;
  State free_, plus_, minus_;
};

TEST_P(ContrastGradientTest, BothOrdersAgreeInFloat64) {
  const auto first =
      ContrastGradient(problem_.network, problem_.input, plus_, kBeta, minus_,
                       -kBeta, ContrastOrder::kContrastFirst);
  const auto sums =
      ContrastGradient(problem_.network, problem_.input, plus_, kBeta, minus_,
                       -kBeta, ContrastOrder::kSumsFirst);
  EXPECT_LE(RelativeError(first, sums), 1e-12);
}

// Both from the same float32 states; those states in float64 are the truth.
TEST_P(ContrastGradientTest, DifferencesFirstIsNearerTheTruthInFloat32) {
  constexpr double kSmall = 1e-3;
  const auto round = [](const State& state) {
    State rounded;
    for (const at::Tensor& s : state) rounded.push_back(s.to(at::kFloat));
    return rounded;
  };
  const auto widen = [](const State& state) {
    State wide;
    for (const at::Tensor& s : state) wide.push_back(s.to(at::kDouble));
    return wide;
  };
  const State a = round(Phase(free_, kSmall, 8));
  const State b = round(Phase(free_, -kSmall, 8));
  const at::Tensor x = problem_.input.x.to(at::kFloat);
  const Clamped narrow{x, {x, x, {}}, {}};
  const at::Tensor wide_x = x.to(at::kDouble);
  const Clamped wide{wide_x, {wide_x, wide_x, {}}, {}};
  const auto truth = ContrastGradient(problem_.network, wide, widen(a), kSmall,
                                      widen(b), -kSmall);
  const double first = RelativeError(
      ContrastGradient(problem_.network, narrow, a, kSmall, b, -kSmall), truth);
  const double sums =
      RelativeError(ContrastGradient(problem_.network, narrow, a, kSmall, b,
                                     -kSmall, ContrastOrder::kSumsFirst),
                    truth);
  EXPECT_LT(first, 1e-6);
  EXPECT_GT(sums, 10 * first);
}

TEST_P(ContrastGradientTest, SymmetricEstimateIsEvenInBeta) {
  ExpectClose(ContrastGradient(problem_.network, problem_.input, plus_, kBeta,
                               minus_, -kBeta),
              ContrastGradient(problem_.network, problem_.input, minus_, -kBeta,
                               plus_, kBeta),
              1e-15);
}

TEST_P(ContrastGradientTest, BothSignsOneSidedAverageToTheSymmetricEstimate) {
  const auto up = ContrastGradient(problem_.network, problem_.input, free_, 0,
                                   plus_, kBeta);
  const auto down = ContrastGradient(problem_.network, problem_.input, free_, 0,
                                     minus_, -kBeta);
  const auto symmetric = ContrastGradient(problem_.network, problem_.input,
                                          plus_, kBeta, minus_, -kBeta);
  for (size_t i = 0; i < up.size(); ++i) {
    ExpectClose((up[i] + down[i]) / 2, symmetric[i], 1e-14);
  }
}

TEST_P(ContrastGradientTest, BiasGradientIsTheMeanStateDifference) {
  const auto gradient = ContrastGradient(problem_.network, problem_.input,
                                         free_, 0, plus_, kBeta);
  for (size_t l = 0; l < free_.size(); ++l) {
    ExpectClose(gradient[2 * l + 1], (free_[l] - plus_[l]).mean(0) / kBeta,
                1e-14);
  }
}

TEST_P(ContrastGradientTest, StepwiseUpdatesTelescopeToTheWholeEstimate) {
  State state = free_;
  std::vector<std::vector<at::Tensor>> updates;
  for (int t = 0; t < 8; ++t) {
    const State next = Phase(state, kBeta, 1);
    updates.push_back(ContrastGradient(problem_.network, problem_.input, state,
                                       0, next, kBeta));
    state = next;
  }
  EXPECT_LE(RelativeError(Total(updates),
                          ContrastGradient(problem_.network, problem_.input,
                                           free_, 0, plus_, kBeta)),
            1e-12);
}

INSTANTIATE_TEST_SUITE_P(, ContrastGradientTest,
                         testing::Values(Loss::kMse, Loss::kCel),
                         [](const auto& info) {
                           return std::string(LossName(info.param));
                         });

TEST(ContrastGradientDeathTest, NeedsTwoNudgingStrengths) {
  const RandomProblem p =
      MakeProblem({3, 2}, 1, Activation::kMysig, at::kDouble, 1);
  EXPECT_DEATH(ContrastGradient(p.network, p.input, p.state, 0.1, p.state, 0.1),
               "two nudging strengths");
}

TEST(ClampTest, FlattensImages) {
  const RandomProblem p =
      MakeProblem({12, 2}, 3, Activation::kMysig, at::kDouble, 1);
  const Clamped images = Clamp(p.network, p.input.x.view({3, 1, 4, 3}));
  ExpectClose(images.x, p.input.x, 0);
  ExpectClose(images.bottom.p, p.input.bottom.p, 0);
}

TEST(OneHotTest, MarksTheLabel) {
  const at::Tensor labels = Vector({2, 0}).to(at::kLong);
  ExpectClose(OneHot(labels, 3, Vector({})), Matrix({{0, 0, 1}, {1, 0, 0}}), 0);
}

TEST(LossTest, IsFoundByItsName) {
  for (const Loss loss : {Loss::kMse, Loss::kCel}) {
    EXPECT_EQ(*ParseLoss(LossName(loss)), loss);
  }
  EXPECT_EQ(ParseLoss("nll").status().message(), "'nll': expected mse or cel");
}

TEST(DynamicsTest, OnlyTheCrossEntropyHasALinearOutput) {
  EXPECT_FALSE(TrainingDynamics(Loss::kMse).linear_output);
  EXPECT_TRUE(TrainingDynamics(Loss::kCel).linear_output);
  EXPECT_TRUE(EvaluationDynamics(Loss::kCel, false, false).linear_output);
  EXPECT_FALSE(EvaluationDynamics(Loss::kCel, false, true).linear_output);
  EXPECT_FALSE(EvaluationDynamics(Loss::kMse, false, false).linear_output);
}

}  // namespace
}  // namespace altprop::eqprop
