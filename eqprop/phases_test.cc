#include "eqprop/phases.h"

#include <cmath>
#include <optional>
#include <set>
#include <string>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/sin.h"
#include "common/models/init.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

class PhasesTest : public testing::TestWithParam<Path> {};

INSTANTIATE_TEST_SUITE_P(, PhasesTest,
                         testing::Values(Path::kFused, Path::kPlain),
                         [](const auto& info) {
                           return info.param == Path::kFused ? "fused"
                                                             : "plain";
                         });

TEST_P(PhasesTest, BothSignsAtOnceEqualOneAfterTheOther) {
  for (const Loss loss : {Loss::kMse, Loss::kCel}) {
    const RandomProblem p =
        MakeProblem({8, 33, 6}, 7, Activation::kMysig, at::kDouble, 5);
    const Dynamics dynamics = TrainingDynamics(loss);
    const State free = FreePhase(p.network, p.input, 20, dynamics, GetParam());
    const NudgedPair pair = NudgedPhases(p.network, p.input, free, 6, p.target,
                                         0.4, dynamics, GetParam());
    // A matrix product of 2B rows may sum in another order than one of B.
    const double tolerance = GetParam() == Path::kFused ? 0 : 1e-15;
    ExpectClose(pair.plus,
                NudgedPhase(p.network, p.input, free, 6,
                            NudgeTowards(p.target, 0.4), dynamics, GetParam()),
                tolerance, "plus");
    ExpectClose(pair.minus,
                NudgedPhase(p.network, p.input, free, 6,
                            NudgeTowards(p.target, -0.4), dynamics, GetParam()),
                tolerance, "minus");
  }
}

TEST_P(PhasesTest, FreePhaseMayBeNudgedToo) {
  const RandomProblem p =
      MakeProblem({8, 5, 3}, 4, Activation::kMysig, at::kDouble, 5);
  const Dynamics dynamics = TrainingDynamics(Loss::kMse);
  const Nudge nudge = NudgeTowards(p.target, 0.2);
  ExpectClose(FreePhase(p.network, p.input, 9, dynamics, GetParam(), nudge),
              Relax(p.network, p.input, ZeroState(p.network, p.input), 9, nudge,
                    dynamics),
              1e-15);
}

// MLP 784-512-10 from seed 0 on a formula for its input, in float32: the
// numbers of the authors' program.
class RollOutTest : public testing::TestWithParam<Path> {
 protected:
  RollOutTest() {
    network_ = MakeMlp({784, 512, 10}, Activation::kMysig, std::nullopt,
                       models::SeededGenerator(0));
    const at::Tensor b = at::arange(4, at::kDouble).unsqueeze(1);
    const at::Tensor i = at::arange(784, at::kDouble).unsqueeze(0);
    const at::Tensor x = at::sin(0.05 * (b + 1) * i + b) * 0.5 + 0.5;
    input_ = Clamp(network_, x.to(at::kFloat));
    target_ = OneHot(Vector({3, 1, 4, 1}).to(at::kLong), network_.classes(),
                     input_.x);
    free_ = FreePhase(network_, input_, 30, dynamics_, GetParam());
  }

  static constexpr double kBeta = 0.1;
  static constexpr double kRelative = 1e-4;

  static void ExpectNorms(const std::vector<at::Tensor>& gradient,
                          const std::vector<double>& norms) {
    ASSERT_EQ(gradient.size(), norms.size());
    for (size_t i = 0; i < norms.size(); ++i) {
      EXPECT_NEAR(gradient[i].norm().item<double>(), norms[i],
                  kRelative * norms[i])
          << i;
    }
  }

  const Dynamics dynamics_ = TrainingDynamics(Loss::kMse);
  Network network_;
  Clamped input_;
  at::Tensor target_;
  State free_;
};

INSTANTIATE_TEST_SUITE_P(, RollOutTest,
                         testing::Values(Path::kFused, Path::kPlain),
                         [](const auto& info) {
                           return info.param == Path::kFused ? "fused"
                                                             : "plain";
                         });

TEST_P(RollOutTest, FreeStates) {
  const auto as_float = [](const at::Tensor& t) { return t.to(at::kFloat); };
  ExpectClose(free_[0][0].narrow(0, 0, 4),
              as_float(Vector({0.0500428, 0.0238039, 0.2410067, 0.0529379})),
              2e-6);
  ExpectClose(
      free_[1][0],
      as_float(Vector({0.1025157, 0.1162199, 0.1098693, 0.0616465, 0.0891205,
                       0.1000260, 0.0576022, 0.3883293, 0.0945978, 0.1195596})),
      2e-6);
  EXPECT_NEAR(free_[0].mean().item<double>(), 0.1879158, 2e-7);
  EXPECT_NEAR(free_[1].mean().item<double>(), 0.1228269, 2e-7);
}

TEST_P(RollOutTest, OneSidedGradientNorms) {
  const State nudged =
      NudgedPhase(network_, input_, free_, 10, NudgeTowards(target_, kBeta),
                  dynamics_, GetParam());
  ExpectNorms(ContrastGradient(network_, input_, free_, 0, nudged, kBeta),
              {1.894522, 0.122231, 1.988210, 0.363732});
}

TEST_P(RollOutTest, SymmetricGradientNorms) {
  const NudgedPair pair = NudgedPhases(network_, input_, free_, 10, target_,
                                       kBeta, dynamics_, GetParam());
  ExpectNorms(
      ContrastGradient(network_, input_, pair.plus, kBeta, pair.minus, -kBeta),
      {2.017705, 0.131273, 2.138007, 0.392497});
}

TEST(RandomSignTest, IsAFairCoin) {
  int heads = 0;
  for (int64_t step = 0; step < 10'000; ++step) {
    const double sign = RandomSign(5, step);
    ASSERT_TRUE(sign == 1 || sign == -1);
    heads += sign == 1 ? 1 : 0;
  }
  EXPECT_NEAR(heads, 5000, 250);  // five standard deviations
}

TEST(RandomSignTest, DependsOnSeedAndStepAlone) {
  std::set<std::string> sequences;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::string signs;
    for (int64_t step = 0; step < 40; ++step) {
      EXPECT_EQ(RandomSign(seed, step), RandomSign(seed, step));
      signs += RandomSign(seed, step) == 1 ? '+' : '-';
    }
    sequences.insert(signs);
  }
  EXPECT_EQ(sequences.size(), 20);
}

}  // namespace
}  // namespace altprop::eqprop
