// Everything of the MLP that was recorded from the authors' program, by the
// plain and by the fused path.

#include <string>
#include <tuple>

#include "ATen/TensorOperators.h"
#include "eqprop/equilibrium.h"
#include "eqprop/phases.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

// The files' own tolerances: room for another order of summation, and in the
// gradients for its division by beta.
constexpr double kState = 1e-12;
constexpr double kGradient = 1e-10;

struct Model {
  const char* name;
  Activation activation;
  Loss loss;
};
constexpr Model kMse{"model_mlp_mse", Activation::kMysig, Loss::kMse};
constexpr Model kCel{"model_mlp_cel", Activation::kMyHardSig, Loss::kCel};

class GoldenTest : public testing::TestWithParam<std::tuple<Model, Path>> {
 protected:
  GoldenTest()
      : model_(std::get<0>(GetParam())),
        path_(std::get<1>(GetParam())),
        golden_(std::string(model_.name) + ".pt"),
        network_(golden_.MakeNetwork(model_.activation)),
        input_(Clamp(network_, golden_.Get("x"))),
        target_(OneHot(golden_.Get("y"), network_.classes(), input_.x)),
        beta_(golden_.Number("beta")),
        t1_(static_cast<int64_t>(golden_.Number("T1"))),
        t2_(static_cast<int64_t>(golden_.Number("T2"))) {}

  State Free(int64_t steps) const {
    return FreePhase(network_, input_, steps, TrainingDynamics(model_.loss),
                     path_);
  }
  State Nudged(double beta) const {
    return NudgedPhase(network_, input_, Free(t1_), t2_,
                       NudgeTowards(target_, beta),
                       TrainingDynamics(model_.loss), path_);
  }
  void ExpectGradient(const State& a, double beta_a, const State& b,
                      double beta_b, const std::string& key) const {
    for (const ContrastOrder order :
         {ContrastOrder::kContrastFirst, ContrastOrder::kSumsFirst}) {
      ExpectClose(ContrastGradient(input_, a, beta_a, b, beta_b, order),
                  golden_.PerParameter(key), kGradient, key);
    }
  }

  const Model model_;
  const Path path_;
  const Golden golden_;
  const Network network_;
  const Clamped input_;
  const at::Tensor target_;
  const double beta_;
  const int64_t t1_;
  const int64_t t2_;
};

TEST_P(GoldenTest, PrimitiveFunctionAndItsDerivativesAtAnyState) {
  const State state = golden_.Layers("any.s");
  const struct {
    const char* name;
    double beta;
  } kNudges[] = {{"beta0", 0}, {"beta", beta_}, {"minus", -beta_}};
  for (const auto& [name, beta] : kNudges) {
    const std::string key = name;
    const Nudge nudge = NudgeTowards(target_, beta);
    ExpectClose(Phi(network_, input_, state, nudge, model_.loss),
                golden_.Get("any.phi." + key), kState, "phi " + key);
    ExpectClose(Drive(network_, input_, state, nudge, model_.loss),
                golden_.Layers("any.drive." + key), kState, "drive " + key);
    ExpectClose(PhiGradient(input_, state),
                golden_.PerParameter("any.dphi." + key), kState, "dphi " + key);
  }
}

TEST_P(GoldenTest, FreePhaseAfterAnyNumberOfSteps) {
  for (const int steps : {1, 2, 5}) {
    const std::string key = "free.t" + std::to_string(steps);
    ExpectClose(Free(steps), golden_.Layers(key), kState, key);
  }
  ExpectClose(Free(t1_), golden_.Layers("free.tT1"), kState, "free.tT1");
}

TEST_P(GoldenTest, OutputLossAndPredictionOfTheFreePhase) {
  const State free = Free(t1_);
  ExpectClose(free.back(), golden_.Get("free.output"), kState);
  ExpectClose(LossPerSample(model_.loss, free.back(), target_),
              golden_.Get("free.loss"), kState);
  EXPECT_TRUE(Prediction(free).equal(golden_.Get("free.pred")));
}

TEST_P(GoldenTest, NudgedPhases) {
  ExpectClose(Nudged(beta_), golden_.Layers("plus"), kState, "plus");
  ExpectClose(Nudged(-beta_), golden_.Layers("minus"), kState, "minus");
}

TEST_P(GoldenTest, BothNudgedPhasesAtOnce) {
  const NudgedPair pair =
      NudgedPhases(network_, input_, Free(t1_), t2_, target_, beta_,
                   TrainingDynamics(model_.loss), path_);
  ExpectClose(pair.plus, golden_.Layers("plus"), kState, "plus");
  ExpectClose(pair.minus, golden_.Layers("minus"), kState, "minus");
}

TEST_P(GoldenTest, OneSidedGradientOfEitherSign) {
  ExpectGradient(Free(t1_), 0, Nudged(beta_), beta_, "grad.onesided");
  ExpectGradient(Free(t1_), 0, Nudged(-beta_), -beta_, "grad.onesided_minus");
}

TEST_P(GoldenTest, SymmetricGradient) {
  ExpectGradient(Nudged(beta_), beta_, Nudged(-beta_), -beta_,
                 "grad.symmetric");
}

// The authors' evaluation squashes the output also where training does not.
TEST_P(GoldenTest, EvaluationWithASquashedOutput) {
  const State state = FreePhase(network_, input_, t1_,
                                EvaluationDynamics(model_.loss, true), path_);
  ExpectClose(state.back(), golden_.Get("evaluate.output"), kState);
  EXPECT_TRUE(Prediction(state).equal(golden_.Get("evaluate.pred")));
}

TEST_P(GoldenTest, EvaluationMovesAsTrainingDoesByDefault) {
  const State state = FreePhase(network_, input_, t1_,
                                EvaluationDynamics(model_.loss, false), path_);
  ExpectClose(state, golden_.Layers("free.tT1"), kState);
}

INSTANTIATE_TEST_SUITE_P(
    , GoldenTest,
    testing::Combine(testing::Values(kMse, kCel),
                     testing::Values(Path::kFused, Path::kPlain)),
    [](const auto& info) {
      return std::string(std::get<0>(info.param).name) +
             (std::get<1>(info.param) == Path::kFused ? "_fused" : "_plain");
    });

}  // namespace
}  // namespace altprop::eqprop
