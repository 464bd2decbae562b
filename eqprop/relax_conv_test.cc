// The loop of convolutional networks against equilibrium.h's Relax. BUILD runs
// this test once for each instruction set.

#include "eqprop/relax_conv.h"

#include <cmath>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/linspace.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randint.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "eqprop/phases.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

constexpr int kSteps = 7;

// Drives are below 10 and every step takes some ten roundings of them.
double Tolerance(at::ScalarType dtype) {
  return dtype == at::kFloat ? 2e-5 : 4e-14;
}

Architecture Cnn(std::vector<int64_t> channels, std::vector<int64_t> kernels,
                 std::vector<int64_t> strides, std::vector<int64_t> paddings,
                 std::vector<Pool> pools, std::vector<int64_t> fc,
                 int64_t size) {
  Architecture cnn;
  cnn.model = Model::kCnn;
  cnn.activation = Activation::kMysig;
  cnn.input_channels = 2;
  cnn.input_size = size;
  cnn.channels = std::move(channels);
  cnn.kernels = std::move(kernels);
  cnn.strides = std::move(strides);
  cnn.paddings = std::move(paddings);
  cnn.pools = std::move(pools);
  cnn.fc = std::move(fc);
  return cnn;
}

constexpr Pool kM = Pool::kMax;
constexpr Pool kA = Pool::kAverage;
constexpr Pool kI = Pool::kNone;

// Every pooling, odd sizes that drop rows, strides that leave pixels unread,
// paddings up to beyond the kernel, channels on both sides of a vector's and of
// a block's width.
std::vector<Architecture> Architectures() {
  return {
      Cnn({3, 5}, {3, 3}, {1, 1}, {1, 0}, {kM, kM}, {4}, 12),
      Cnn({4, 17, 6}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {kM, kM, kM}, {5}, 19),
      Cnn({4, 3, 5}, {5, 3, 3}, {1, 1, 2}, {1, 0, 1}, {kM, kA, kI}, {6, 4}, 17),
      Cnn({3, 70}, {3, 5}, {1, 1}, {0, 2}, {kI, kM}, {3}, 11),
      Cnn({16, 33}, {3, 3}, {1, 2}, {1, 3}, {kA, kM}, {7, 5, 3}, 14),
      Cnn({2, 3, 4}, {3, 4, 3}, {1, 3, 1}, {0, 1, 1}, {kI, kA, kM}, {3}, 18),
      Cnn({3, 4}, {2, 1}, {2, 1}, {0, 2}, {kI, kM}, {3}, 10),
      Cnn({6}, {3}, {1}, {1}, {kM}, {4}, 9),
  };
}

struct Problem {
  Network network;
  Clamped input;
  State state;
  at::Tensor target;
};

Problem MakeConvProblem(const Architecture& architecture, int64_t batch,
                        at::ScalarType dtype, bool dropout = false) {
  at::Generator generator = models::SeededGenerator(3);
  const auto uniform = [&](at::IntArrayRef shape) {
    return at::rand(shape, generator, at::kDouble).to(dtype);
  };
  Problem p;
  p.network = ConvertNetwork(MakeNetwork(architecture, std::nullopt, generator),
                             dtype, at::kCPU);
  const at::Tensor x =
      uniform({batch, architecture.input_channels, architecture.input_size,
               architecture.input_size});
  Dropout drop;
  for (std::vector<int64_t>& shape : LayerShapes(p.network, x.sizes())) {
    shape.insert(shape.begin(), batch);
    p.state.push_back(uniform(shape));
    if (!dropout) continue;
    drop.masks.push_back(uniform(shape).gt(0.25).to(dtype) / 0.75);
    drop.keep.push_back(p.state.size() % 2 == 0 ? 1 : 0.75);
  }
  p.input = Clamp(p.network, x, drop);
  p.target = OneHot(
      at::randint(0, architecture.classes(), {batch}, generator, at::kLong),
      architecture.classes(), x);
  return p;
}

void ExpectFastIsPlain(const Problem& p, const Nudge& nudge,
                       const Dynamics& dynamics, const std::string& what) {
  ExpectClose(
      RelaxConvolutional(p.network, p.input, p.state, kSteps, nudge, dynamics),
      Relax(p.network, p.input, p.state, kSteps, nudge, dynamics),
      Tolerance(p.input.x.scalar_type()), what);
}

class RelaxConvTest
    : public testing::TestWithParam<std::tuple<Model, at::ScalarType>> {};

TEST_P(RelaxConvTest, EqualsRelaxForEveryNetwork) {
  const auto [model, dtype] = GetParam();
  int number = 0;
  for (Architecture architecture : Architectures()) {
    architecture.model = model;
    architecture.activation = kActivations[number++ % kActivations.size()];
    for (const bool softmax : {false, true}) {
      architecture.softmax = softmax;
      for (const bool dropout : {false, true}) {
        const Problem p = MakeConvProblem(architecture, 5, dtype, dropout);
        const std::string what =
            absl::StrCat("network ", number, softmax ? " softmax" : "",
                         dropout ? " dropout" : "");
        for (const Loss loss : {Loss::kMse, Loss::kCel}) {
          const Dynamics dynamics = TrainingDynamics(loss, softmax);
          ExpectFastIsPlain(p, {}, dynamics, what + " free");
          ExpectFastIsPlain(p, NudgeTowards(p.target, -0.3), dynamics,
                            what + " nudged");
        }
      }
    }
  }
}

// More channels than one block of the adjoint takes (256 of such windows with
// AVX-512), and windows wider than the registers. In float64 alone: among so
// many windows float32 has some whose maximum is decided by rounding.
TEST_P(RelaxConvTest, ManyChannels) {
  const auto [model, dtype] = GetParam();
  if (dtype == at::kFloat) GTEST_SKIP() << "rounding decides a maximum";
  for (const Pool pool : {kM, kA, kI}) {
    Architecture architecture =
        Cnn({128, 300}, {3, 3}, {1, 1}, {1, 0}, {kM, pool}, {3}, 9);
    architecture.model = model;
    const Problem p = MakeConvProblem(architecture, 2, dtype);
    ExpectFastIsPlain(p, NudgeTowards(p.target, 0.3),
                      TrainingDynamics(Loss::kMse), "many channels");
  }
}

TEST_P(RelaxConvTest, EachSampleHasItsOwnBeta) {
  const auto [model, dtype] = GetParam();
  Architecture architecture = Architectures()[0];
  architecture.model = model;
  const Problem p = MakeConvProblem(architecture, 9, dtype);
  const at::Tensor beta =
      at::linspace(-0.5, 0.5, 9, p.input.x.options()).unsqueeze(1);
  ExpectFastIsPlain(p, {beta, p.target}, TrainingDynamics(Loss::kCel), "beta");
}

TEST_P(RelaxConvTest, ASampleDoesNotDependOnThreadsOrOnTheBatch) {
  const auto [model, dtype] = GetParam();
  Architecture architecture = Architectures()[1];
  architecture.model = model;
  const Problem p = MakeConvProblem(architecture, 11, dtype);
  const Dynamics dynamics = TrainingDynamics(Loss::kMse);
  const int threads_before = at::get_num_threads();
  const auto run = [&](int threads, int64_t first, int64_t count) {
    at::set_num_threads(threads);
    const auto rows = [&](const at::Tensor& t) {
      return t.narrow(0, first, count);
    };
    State state;
    for (const at::Tensor& layer : p.state) state.push_back(rows(layer));
    return RelaxConvolutional(
        p.network, {at::Tensor(), {rows(p.input.bottom.p), {}, {}}, {}}, state,
        20, NudgeTowards(rows(p.target), 0.2), dynamics);
  };
  const State whole = run(1, 0, 11);
  ExpectClose(run(2, 0, 11), whole, 0, "two threads");
  ExpectClose(run(3, 0, 11), whole, 0, "three threads");
  for (const int64_t row : {0, 6, 10}) {
    const State one = run(1, row, 1);
    for (size_t l = 0; l < one.size(); ++l) {
      ExpectClose(one[l][0], whole[l][row], 0, "one sample");
    }
  }
  at::set_num_threads(threads_before);
}

TEST_P(RelaxConvTest, KeepsNotANumberInItsSample) {
  const auto [model, dtype] = GetParam();
  Architecture architecture = Architectures()[0];
  architecture.model = model;
  Problem p = MakeConvProblem(architecture, 3, dtype);
  p.input.bottom.p[1][2][3][3] = NAN;
  const State s = RelaxConvolutional(p.network, p.input, p.state, kSteps, {},
                                     TrainingDynamics(Loss::kMse));
  EXPECT_FALSE(s.back()[0].isnan().any().item<bool>());
  EXPECT_TRUE(s.back()[1].isnan().all().item<bool>());
  EXPECT_FALSE(s.back()[2].isnan().any().item<bool>());
}

// Weights scaled down contract, so that few steps reach a fixed point.
Problem Contracting(Architecture architecture, Model model,
                    at::ScalarType dtype) {
  architecture.model = model;
  Problem p = MakeConvProblem(architecture, 6, dtype);
  for (auto& [name, tensor] : Parameters(p.network)) {
    if (tensor.dim() > 1) tensor.mul_(0.3);
  }
  p.input = Clamp(p.network, p.input.x);
  return p;
}

// With max pooling there are several fixed points, and each order of updates
// reaches one; without it there is one.
TEST_P(RelaxConvTest, AlternatingUpdatesReachAFixedPoint) {
  const auto [model, dtype] = GetParam();
  const double tolerance = dtype == at::kFloat ? 2e-6 : 1e-12;
  const Dynamics dynamics = TrainingDynamics(Loss::kMse);
  for (Architecture architecture : Architectures()) {
    for (const bool max : {true, false}) {
      if (!max) {
        for (Pool& pool : architecture.pools) pool = pool == kM ? kA : pool;
      }
      const Problem p = Contracting(architecture, model, dtype);
      const State reached =
          RelaxConvolutional(p.network, p.input, p.state, 60, {}, dynamics,
                             {0, Updates::kAlternating});
      ExpectClose(Step(p.network, p.input, reached, {}, dynamics), reached,
                  tolerance, "stays");
      if (max) continue;
      ExpectClose(reached,
                  Relax(p.network, p.input, p.state, 120, {}, dynamics),
                  tolerance, "the one fixed point");
    }
  }
}

TEST_P(RelaxConvTest, StopsAtTheToleranceCloseToTheFixedPoint) {
  const auto [model, dtype] = GetParam();
  const Problem p = Contracting(Architectures()[2], model, dtype);
  const Dynamics dynamics = TrainingDynamics(Loss::kMse);
  const auto run = [&](int64_t steps, double tolerance) {
    return RelaxConvolutional(p.network, p.input, p.state, steps, {}, dynamics,
                              {tolerance, Updates::kSynchronous});
  };
  ExpectClose(run(1'000'000'000, 1e-6), run(200, 0), 1e-5, "fixed point");
  // Everything moves by less than 100: it stops at the first question.
  ExpectClose(run(1'000, 100), run(10, 0), 0, "first question");
  ExpectClose(run(9, 100), run(9, 0), 0, "before it");
}

INSTANTIATE_TEST_SUITE_P(
    , RelaxConvTest,
    testing::Combine(testing::Values(Model::kCnn, Model::kVfCnn),
                     testing::Values(at::kFloat, at::kDouble)),
    [](const auto& info) {
      return absl::StrCat(
          ModelName(std::get<0>(info.param)), "_",
          std::get<1>(info.param) == at::kFloat ? "float32" : "float64");
    });

TEST(RelaxConvolutionalTest, NoStepsReturnACopy) {
  const Problem p = MakeConvProblem(Architectures()[2], 3, at::kFloat);
  const State s = RelaxConvolutional(p.network, p.input, p.state, 0, {},
                                     TrainingDynamics(Loss::kMse));
  ExpectClose(s, p.state, 0);
  EXPECT_NE(s[0].data_ptr(), p.state[0].data_ptr());
}

TEST(RelaxConvolutionalTest, NoSamplesGiveNoRows) {
  const Problem p = MakeConvProblem(Architectures()[0], 3, at::kFloat);
  State none;
  for (const at::Tensor& layer : p.state) none.push_back(layer.narrow(0, 0, 0));
  const State s =
      RelaxConvolutional(p.network,
                         {p.input.x.narrow(0, 0, 0),
                          {p.input.bottom.p.narrow(0, 0, 0), {}, {}},
                          {}},
                         none, kSteps, {}, TrainingDynamics(Loss::kMse));
  EXPECT_EQ(s.back().sizes(), at::IntArrayRef({0, 4}));
}

// Default biases are positive, so after the first step whole layers are
// constant and most windows of the next pooling are tied; the first tie decides
// which of several fixed points is reached. A recording of the authors'
// program.
class TiesTest : public testing::TestWithParam<at::ScalarType> {};

TEST_P(TiesTest, FallAsInTheAuthorsProgram) {
  const at::ScalarType dtype = GetParam();
  const Golden golden("ties_cnn_default_init.pt");
  Architecture architecture = Cnn({2, 4, 5, 6}, {3, 3, 3, 3}, {1, 1, 1, 1},
                                  {1, 1, 1, 0}, {kM, kM, kM, kM}, {10}, 32);
  architecture.input_channels = 3;
  architecture.activation = Activation::kMyHardSig;
  const Network network =
      ConvertNetwork(golden.MakeNetwork(architecture), dtype, at::kCPU);
  const Clamped input = Clamp(network, golden.Get("x").to(dtype));
  const std::string type = dtype == at::kFloat ? "float32" : "float64";
  for (const int64_t steps : {1, 2, 3, 4, 60}) {
    const State expected = golden.Layers(absl::StrCat(type, ".t", steps));
    for (const Path path : {Path::kPlain, Path::kFused}) {
      // A tie that falls otherwise shows as more than 1e-3.
      ExpectClose(
          FreePhase(network, input, steps, TrainingDynamics(Loss::kMse), path),
          expected, dtype == at::kFloat ? 2e-6 : 1e-12,
          absl::StrCat(path == Path::kPlain ? "plain" : "fused", " ", steps));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, TiesTest, testing::Values(at::kFloat, at::kDouble));

}  // namespace
}  // namespace altprop::eqprop
