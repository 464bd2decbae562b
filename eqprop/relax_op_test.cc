// The operator against equilibrium.h's Relax. BUILD runs this test once for
// each instruction set.

#include "eqprop/relax_op.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <tuple>

#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/linspace.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/ascii.h"
#include "c10/util/Exception.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

constexpr int kSteps = 7;

// A drive is a sum of at most 530 products, below 20 in all, and a linear
// output is the drive itself: some ten units in the last place of 20, of either
// type.
double Tolerance(at::ScalarType dtype) {
  return dtype == at::kFloat ? 2e-5 : 4e-14;
}

void ExpectFusedIsPlain(const RandomProblem& p, const Nudge& nudge,
                        const Dynamics& dynamics, const std::string& what) {
  ExpectClose(RelaxFused(p.network, p.input, p.state, kSteps, nudge, dynamics),
              Relax(p.network, p.input, p.state, kSteps, nudge, dynamics),
              Tolerance(p.input.x.scalar_type()), what);
}

class RelaxFusedTest
    : public testing::TestWithParam<std::tuple<Activation, at::ScalarType>> {};

// Widths on either side of a vector's and of a pass's, one layer to five,
// batches that do and do not fill the last block.
TEST_P(RelaxFusedTest, EqualsRelaxForEveryShape) {
  const auto [activation, dtype] = GetParam();
  const std::vector<std::vector<int64_t>> shapes = {
      {3, 1},         {3, 2, 1},        {4, 15, 10},       {4, 16, 11},
      {4, 17, 21},    {4, 512, 10},     {4, 10, 64},       {4, 7, 9, 31},
      {4, 33, 32, 5}, {4, 20, 1, 8, 3}, {4, 6, 5, 4, 3, 2}};
  for (const std::vector<int64_t>& sizes : shapes) {
    for (const int64_t batch : {1, 2, 5, 64}) {
      const RandomProblem p = MakeProblem(sizes, batch, activation, dtype, 2);
      for (const Loss loss : {Loss::kMse, Loss::kCel}) {
        for (const bool linear : {false, true}) {
          const Dynamics dynamics{loss, linear};
          ExpectFusedIsPlain(p, {}, dynamics, "free");
          ExpectFusedIsPlain(p, NudgeTowards(p.target, -0.3), dynamics,
                             "nudged");
        }
      }
    }
  }
}

TEST_P(RelaxFusedTest, EachSampleHasItsOwnBeta) {
  const auto [activation, dtype] = GetParam();
  const RandomProblem p = MakeProblem({4, 19, 6}, 9, activation, dtype, 4);
  const at::Tensor beta =
      at::linspace(-0.5, 0.5, 9, p.input.x.options()).unsqueeze(1);
  ExpectFusedIsPlain(p, {beta, p.target}, {Loss::kCel, true}, "beta");
}

TEST_P(RelaxFusedTest, ASampleDoesNotDependOnThreadsOrOnTheBatch) {
  const auto [activation, dtype] = GetParam();
  const RandomProblem p = MakeProblem({4, 120, 10}, 37, activation, dtype, 6);
  const Dynamics dynamics = TrainingDynamics(Loss::kMse);
  const int threads_before = at::get_num_threads();
  const auto run = [&](int threads, int64_t first, int64_t count) {
    at::set_num_threads(threads);
    const auto rows = [&](const at::Tensor& t) {
      return t.narrow(0, first, count);
    };
    return RelaxFused(p.network,
                      {at::Tensor(), {rows(p.input.bottom.p), {}, {}}, {}},
                      {rows(p.state[0]), rows(p.state[1])}, 50,
                      NudgeTowards(rows(p.target), 0.2), dynamics);
  };
  const State whole = run(1, 0, 37);
  ExpectClose(run(2, 0, 37), whole, 0, "two threads");
  ExpectClose(run(3, 0, 37), whole, 0, "three threads");
  for (const int64_t row : {0, 17, 36}) {
    const State one = run(1, row, 1);
    for (size_t l = 0; l < 2; ++l) {
      ExpectClose(one[l][0], whole[l][row], 0, "one sample");
    }
  }
  at::set_num_threads(threads_before);
}

TEST_P(RelaxFusedTest, TakesTransposedAndSlicedTensors) {
  const auto [activation, dtype] = GetParam();
  RandomProblem p = MakeProblem({4, 12, 5}, 6, activation, dtype, 8);
  const auto transposed = [](const at::Tensor& t) {
    return t.t().contiguous().t();
  };
  const State expected = RelaxFused(p.network, p.input, p.state, kSteps, {},
                                    TrainingDynamics(Loss::kMse));
  p.network.edges[1].weight = transposed(p.network.edges[1].weight);
  p.input.bottom.p = transposed(p.input.bottom.p);
  p.state[0] = transposed(p.state[0]);
  ExpectClose(RelaxFused(p.network, p.input, p.state, kSteps, {},
                         TrainingDynamics(Loss::kMse)),
              expected, 0);
}

// One layer and one step: sigma itself, from far below to far above.
TEST_P(RelaxFusedTest, SigmaIsAccurateAndSaturates) {
  const auto [activation, dtype] = GetParam();
  const auto limit = std::numeric_limits<double>::infinity();
  const at::Tensor u = at::cat({at::linspace(-30, 30, 20'001, at::kDouble),
                                at::linspace(-1e-3, 1e-3, 2'001, at::kDouble),
                                Vector({-1e30, -800, -100, -0.5, 0, 0.5, 1, 2,
                                        100, 800, 1e30, limit, -limit})})
                           .to(dtype)
                           .unsqueeze(1);
  Network network;
  network.activation = activation;
  network.edges.resize(1);
  const State s = RelaxFused(network, {at::Tensor(), u}, {u.clone()}, 1, {},
                             TrainingDynamics(Loss::kMse));
  const at::Tensor exact = Activate(activation, u.to(at::kDouble));
  ExpectClose(s[0].to(at::kDouble), exact, dtype == at::kFloat ? 1e-7 : 1e-15);
}

TEST_P(RelaxFusedTest, KeepsNotANumber) {
  const auto [activation, dtype] = GetParam();
  RandomProblem p = MakeProblem({4, 12, 5}, 3, activation, dtype, 8);
  p.input.bottom.p[1][7] = NAN;
  const State s = RelaxFused(p.network, p.input, p.state, kSteps, {},
                             TrainingDynamics(Loss::kMse));
  EXPECT_FALSE(s[1][0].isnan().any().item<bool>());
  EXPECT_TRUE(s[1][1].isnan().all().item<bool>());
  EXPECT_FALSE(s[1][2].isnan().any().item<bool>());
}

INSTANTIATE_TEST_SUITE_P(
    , RelaxFusedTest,
    testing::Combine(testing::ValuesIn(kActivations),
                     testing::Values(at::kFloat, at::kDouble)),
    [](const auto& info) {
      return std::string(ActivationName(std::get<0>(info.param))) +
             (std::get<1>(info.param) == at::kFloat ? "_float32" : "_float64");
    });

TEST(RelaxOpTest, UsesTheInstructionSetThatItWasTold) {
  const char* told = std::getenv("ATEN_CPU_CAPABILITY");
  if (told == nullptr) GTEST_SKIP() << "told none";
  EXPECT_EQ(FusedInstructionSet(), absl::AsciiStrToUpper(told));
}

TEST(RelaxOpTest, NoStepsReturnACopy) {
  const RandomProblem p =
      MakeProblem({4, 12, 5}, 3, Activation::kTanh, at::kFloat, 8);
  const State s = RelaxFused(p.network, p.input, p.state, 0, {},
                             TrainingDynamics(Loss::kMse));
  ExpectClose(s, p.state, 0);
  EXPECT_NE(s[0].data_ptr(), p.state[0].data_ptr());
}

TEST(RelaxOpTest, NoSamplesGiveNoRows) {
  const RandomProblem p =
      MakeProblem({4, 12, 5}, 3, Activation::kTanh, at::kFloat, 8);
  const at::Tensor none = p.input.bottom.p.narrow(0, 0, 0);
  const State s = RelaxFused(p.network, {at::Tensor(), none},
                             {none, p.state[1].narrow(0, 0, 0)}, kSteps, {},
                             TrainingDynamics(Loss::kMse));
  EXPECT_EQ(s[0].sizes(), at::IntArrayRef({0, 12}));
  EXPECT_EQ(s[1].sizes(), at::IntArrayRef({0, 5}));
}

TEST(RelaxOpTest, LargeMatricesGoToTheMatrixLibrary) {
  EXPECT_TRUE(FusedKernelTakes({512, 10}));
  EXPECT_TRUE(FusedKernelTakes({2048}));
  EXPECT_FALSE(FusedKernelTakes({512, 512, 10}));
  const RandomProblem p =
      MakeProblem({4, 512, 512, 10}, 3, Activation::kTanh, at::kFloat, 8);
  ExpectFusedIsPlain(p, NudgeTowards(p.target, 0.1),
                     TrainingDynamics(Loss::kMse), "wide");
}

TEST(RelaxOpTest, RefusesShapesThatDoNotFit) {
  const RandomProblem p =
      MakeProblem({4, 12, 5}, 3, Activation::kTanh, at::kFloat, 8);
  Network network = p.network;
  network.edges[1].weight = network.edges[1].weight.narrow(1, 0, 11);
  EXPECT_THROW(RelaxFused(network, p.input, p.state, 1, {},
                          TrainingDynamics(Loss::kMse)),
               c10::Error);
  const Nudge nudge = NudgeTowards(p.target.narrow(0, 0, 2), 0.1);
  EXPECT_THROW(RelaxFused(p.network, p.input, p.state, 1, nudge,
                          TrainingDynamics(Loss::kMse)),
               c10::Error);
}

}  // namespace
}  // namespace altprop::eqprop
