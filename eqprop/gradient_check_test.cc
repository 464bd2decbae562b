#include "eqprop/gradient_check.h"

#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/sin.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "eqprop/bptt.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

const GradientCheckRow& Row(const GradientCheck& check,
                            const std::string& key) {
  for (const GradientCheckRow& row : check.rows) {
    if (row.key == key) return row;
  }
  ADD_FAILURE() << "no row " << key;
  return check.rows.front();
}

GradientCheckOptions Options(Loss loss, bool softmax, int64_t t1, int64_t t2,
                             double beta) {
  GradientCheckOptions options;
  options.t1 = t1;
  options.t2 = t2;
  options.beta_2 = beta;
  options.dynamics = TrainingDynamics(loss, softmax);
  return options;
}

// ---- Recordings of the authors' program ----

struct Recording {
  std::string name;
  Architecture architecture;
  Loss loss = Loss::kMse;
};

Architecture SmallCnn(Model model, bool softmax) {
  return Convolutional(model, Activation::kHardSigmoid, 12, {1, 2, 3}, {3, 3},
                       {1, 1}, {1, 0}, "mm", {3}, softmax);
}

std::vector<Recording> Recordings() {
  Architecture mlp;
  mlp.archi = {6, 5, 3};
  return {{"gdu_mlp_mse", mlp, Loss::kMse},
          {"gdu_cnn_mse", SmallCnn(Model::kCnn, false), Loss::kMse},
          {"gdu_cnn_cel_softmax", SmallCnn(Model::kCnn, true), Loss::kCel},
          {"gdu_vfcnn_mse", SmallCnn(Model::kVfCnn, false), Loss::kMse}};
}

class RecordingTest : public testing::TestWithParam<Recording> {
 protected:
  RecordingTest()
      : golden_(GetParam().name + ".pt"),
        network_(golden_.MakeNetwork(GetParam().architecture)),
        input_(Clamp(network_, golden_.Get("x"))),
        target_(OneHot(golden_.Get("y"), network_.classes(), input_.x)) {}

  GradientCheck Check(double sign) const {
    return CheckGradient(network_, input_, target_,
                         Options(GetParam().loss, network_.softmax,
                                 static_cast<int64_t>(golden_.Number("T1")),
                                 static_cast<int64_t>(golden_.Number("T2")),
                                 sign * golden_.Number("beta")));
  }

  const Golden golden_;
  const Network network_;
  const Clamped input_;
  const at::Tensor target_;
};

INSTANTIATE_TEST_SUITE_P(, RecordingTest, testing::ValuesIn(Recordings()),
                         [](const auto& info) { return info.param.name; });

// The tolerances are the files' own: another order of summation, and for ep its
// division by beta = 0.001.
TEST_P(RecordingTest, EveryTermOfBothHalves) {
  const GradientCheck plus = Check(1), minus = Check(-1);
  ASSERT_EQ(plus.rows.size(), Parameters(network_).size() + network_.layers());
  for (size_t i = 0; i < plus.rows.size(); ++i) {
    const std::string& key = plus.rows[i].key;
    ExpectClose(plus.rows[i].bptt, golden_.Get("BPTT." + key), 1e-12, key);
    ExpectClose(plus.rows[i].ep, golden_.Get("EP." + key), 1e-9, key);
    ExpectClose(minus.rows[i].ep, golden_.Get("EP_2." + key), 1e-9, key);
  }
}

TEST_P(RecordingTest, PrintedNumbers) {
  for (const GradientCheckRow& row : Check(1).rows) {
    const Agreement agreement = Compare(row.ep, row.bptt);
    EXPECT_NEAR(agreement.rmse, golden_.Number("rmse." + row.key), 1e-4)
        << row.key;
    EXPECT_NEAR(agreement.sign_error, golden_.Number("sign." + row.key), 1e-4)
        << row.key;
  }
}

TEST_P(RecordingTest, IntegratedEstimates) {
  for (const GradientCheckRow& row : Check(1).rows) {
    if (!IsWeight(row.key)) continue;
    ExpectClose(IntegratedEstimate(row.ep, Semantics::kReference),
                golden_.Get("estimate.ep." + row.key), 1e-9, row.key);
    ExpectClose(IntegratedEstimate(row.bptt, Semantics::kReference),
                golden_.Get("estimate.bptt." + row.key), 1e-12, row.key);
  }
}

// The authors' program draws no bars for vector fields.
TEST_P(RecordingTest, Bars) {
  const GradientCheck plus = Check(1), minus = Check(-1);
  std::vector<double> heights;
  for (size_t i = 0; i < plus.rows.size(); ++i) {
    if (!IsWeight(plus.rows[i].key)) continue;
    const auto estimate = [](const at::Tensor& terms) {
      return IntegratedEstimate(terms, Semantics::kReference);
    };
    heights.push_back(BarHeight(estimate(plus.rows[i].ep),
                                estimate(minus.rows[i].ep),
                                estimate(plus.rows[i].bptt)));
    EXPECT_GE(heights.back(), 0);
    EXPECT_LE(heights.back(), 1);  // the triangle inequality
  }
  if (IsVectorField(network_.model)) return;
  ExpectClose(at::tensor(heights, at::kDouble), golden_.Get("bars.height"),
              1e-6);
}

// ---- MLP 784-512-10 from seed 0 in float32: the authors' numbers ----

TEST(RollOutTest, NormsAndErrors) {
  const Network network = MakeMlp({784, 512, 10}, Activation::kMysig,
                                  std::nullopt, models::SeededGenerator(0));
  const at::Tensor b = at::arange(4, at::kDouble).unsqueeze(1);
  const at::Tensor i = at::arange(784, at::kDouble).unsqueeze(0);
  const at::Tensor x = at::sin(0.05 * (b + 1) * i + b) * 0.5 + 0.5;
  const Clamped input = Clamp(network, x.to(at::kFloat));
  const at::Tensor target =
      OneHot(Vector({3, 1, 4, 1}).to(at::kLong), network.classes(), input.x);
  const struct {
    const char* key;
    double bptt, ep, rmse;
  } kExpected[] = {{"synapses.0.weight", 1.991182, 1.978529, 0.0255},
                   {"synapses.0.bias", 0.129490, 0.128570, 0.0226},
                   {"synapses.1.weight", 2.108206, 2.092887, 0.0117},
                   {"synapses.1.bias", 0.386977, 0.384047, 0.0098},
                   {"neurons_0", 0, 0, 0.5153},
                   {"neurons_1", 0, 0, 0.5910}};
  GradientCheckOptions options = Options(Loss::kMse, false, 30, 10, 0.01);
  for (const Path path : {Path::kFused, Path::kPlain}) {
    options.path = path;
    for (const ContrastOrder order :
         {ContrastOrder::kSumsFirst, ContrastOrder::kContrastFirst}) {
      options.rule.order = order;
      const GradientCheck check =
          CheckGradient(network, input, target, options);
      for (const auto& e : kExpected) {
        const GradientCheckRow& row = Row(check, e.key);
        const double rmse = Compare(row.ep, row.bptt).rmse;
        // The authors' batch sums first, and their noise of one rounding of
        // float32 over beta, in the fourth printed decimal; contrasts first
        // have less of it.
        const double tolerance =
            order == ContrastOrder::kSumsFirst ? 1.5e-4 : 2.5e-4;
        EXPECT_NEAR(rmse, e.rmse, tolerance) << e.key;
        if (e.bptt == 0) continue;
        EXPECT_NEAR(row.bptt.sum(0).norm().item<double>(), e.bptt,
                    1e-4 * e.bptt)
            << e.key;
        EXPECT_NEAR(row.ep.sum(0).norm().item<double>(), e.ep, 1e-4 * e.ep)
            << e.key;
      }
    }
  }
}

// ---- Step by step, by hand: MLP 2-3-2 with two samples ----

class StepByStepTest : public testing::Test {
 protected:
  StepByStepTest() {
    network_.edges.resize(2);
    network_.edges[0].weight = Matrix({{0.5, -0.3}, {0.2, 0.4}, {-0.6, 0.1}});
    network_.edges[0].bias = Vector({0.1, -0.2, 0.05});
    network_.edges[1].weight = Matrix({{0.3, -0.5, 0.2}, {-0.4, 0.1, 0.6}});
    network_.edges[1].bias = Vector({0, 0.1});
    input_ = Clamp(network_, Matrix({{1, -0.5}, {-0.25, 0.75}}));
    target_ = Matrix({{1, 0}, {0, 1}});
  }

  GradientCheck Check(double beta, const Rule& rule = {}) const {
    // 94 steps before: converged to the last bit.
    GradientCheckOptions options = Options(Loss::kMse, false, 100, 6, beta);
    options.rule = rule;
    return CheckGradient(network_, input_, target_, options);
  }

  static at::Tensor First(const at::Tensor& terms) {
    return terms.flatten(1).select(1, 0);
  }

  Network network_;
  Clamped input_;
  at::Tensor target_;
};

// Printed with eight decimals; ep differs from bptt by its bias of order beta.
TEST_F(StepByStepTest, Terms) {
  const GradientCheck check = Check(0.001);
  const auto expect = [&](const std::string& key, const at::Tensor& bptt,
                          const at::Tensor& ep) {
    ExpectClose(First(Row(check, key).bptt), bptt, 1e-8, key);
    ExpectClose(First(Row(check, key).ep), ep, 1e-8, key);
  };
  expect("synapses.0.weight",
         Vector({0, -0.06468672, 0, -0.00712494, 0, -0.00094801}),
         Vector({0, -0.06472039, 0.00004736, -0.00713178, 0.00001018,
                 -0.00094881}));
  expect("synapses.1.weight",
         Vector({-0.21271673, -0.01294304, -0.01662305, -0.00088639,
                 -0.00162468, 0.00007678}),
         Vector({-0.21288364, -0.01283041, -0.01665086, -0.00086811,
                 -0.00162826, 0.00007942}));
  expect("neurons_1", Vector({0.75744629, 0, 0.05807193, 0, 0.00528482, 0}),
         Vector({0.55707049, -0.00041002, 0.04276581, -0.00006253, 0.00389491,
                 -0.00000821}));
  expect("neurons_0", Vector({0, 0.17219266, 0, 0.01713477, 0, 0.00161851}),
         Vector({0, 0.12279361, -0.00008846, 0.01222722, -0.00001626,
                 0.00115568}));
}

TEST_F(StepByStepTest, CorrectedNeuronsHaveTheSlopeOfTheFixedPoint) {
  const GradientCheck check = Check(0.001);
  for (const auto& [key, slope] :
       {std::pair("neurons_1", 0.73488), std::pair("neurons_0", 0.71271)}) {
    ExpectClose(First(Row(check, key).corrected),
                First(Row(check, key).bptt) * slope, 1e-5, key);
  }
  EXPECT_FALSE(Row(check, "synapses.0.weight").corrected.defined());
}

TEST_F(StepByStepTest, OrderOfTheContrastChangesRoundingAlone) {
  const GradientCheck first = Check(0.1);
  const GradientCheck sums =
      Check(0.1, {false, ContrastOrder::kSumsFirst, Semantics::kReference});
  for (size_t i = 0; i < first.rows.size(); ++i) {
    ExpectClose(first.rows[i].ep, sums.rows[i].ep, 1e-14);
  }
}

TEST_F(StepByStepTest, LeavesTheParametersAlone) {
  std::vector<at::Tensor> before;
  for (const auto& [name, tensor] : Parameters(network_)) {
    before.push_back(tensor.clone());
  }
  Check(0.5);
  const auto after = Parameters(network_);
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(before[i].equal(after[i].second)) << after[i].first;
  }
}

TEST_F(StepByStepTest, AllStepsMayBeChecked) {
  GradientCheckOptions options = Options(Loss::kMse, false, 6, 6, 0.1);
  const BpttResult all =
      BpttGradient(network_, input_, ZeroState(network_, input_), 6, target_,
                   options.dynamics);
  for (const Path path : {Path::kFused, Path::kPlain}) {
    options.path = path;
    const GradientCheck check =
        CheckGradient(network_, input_, target_, options);
    for (size_t i = 0; i < all.gradient.size(); ++i) {
      ExpectClose(check.rows[i].bptt.sum(0), all.gradient[i], 1e-15,
                  check.rows[i].key);
    }
  }
}

// A free phase at a beta_1 of its own: its fixed point is another, and so are
// the updates from it, but the equation holds as well.
TEST_F(StepByStepTest, FreePhaseMayBeNudgedToo) {
  GradientCheckOptions options = Options(Loss::kMse, false, 100, 6, 0.2 + 1e-6);
  options.beta_1 = 0.2;
  const GradientCheck check = CheckGradient(network_, input_, target_, options);
  for (const GradientCheckRow& row : check.rows) {
    EXPECT_LT(RelativeError({row.ep}, {row.expected()}), 1e-4) << row.key;
  }
}

// ---- The theorem, on random networks ----

struct Shape {
  std::string name;
  Architecture architecture;
  Loss loss = Loss::kMse;
};

std::vector<Shape> Shapes() {
  const auto mlp = [](std::vector<int64_t> sizes, Activation activation) {
    Architecture a;
    a.archi = std::move(sizes);
    a.activation = activation;
    return a;
  };
  const auto cnn = [](const std::string& pools, bool softmax) {
    return Convolutional(Model::kCnn, Activation::kMysig, 9, {2, 3, 4}, {3, 3},
                         {1, 1}, {1, 0}, pools, {5}, softmax);
  };
  return {{"shallow", mlp({6, 5, 3}, Activation::kMysig), Loss::kMse},
          {"deep", mlp({7, 4, 6, 5, 3}, Activation::kMysig), Loss::kMse},
          {"tanh", mlp({5, 8, 4}, Activation::kTanh), Loss::kMse},
          {"linear_output", mlp({7, 4, 6, 3}, Activation::kMysig), Loss::kCel},
          {"no_pooling", cnn("ii", false), Loss::kMse},
          {"average", cnn("aa", false), Loss::kMse},
          {"average_linear_output", cnn("ai", false), Loss::kCel},
          {"average_readout", cnn("aa", true), Loss::kCel}};
}

class TheoremTest : public testing::TestWithParam<std::tuple<Shape, uint64_t>> {
 protected:
  TheoremTest() {
    const auto& [shape, seed] = GetParam();
    at::Generator generator = models::SeededGenerator(seed);
    const Architecture& a = shape.architecture;
    network_ = ConvertNetwork(MakeNetwork(a, std::nullopt, generator),
                              at::kDouble, at::kCPU);
    const std::vector<int64_t> x_shape =
        a.convolutional() ? std::vector<int64_t>{3, a.input_channels,
                                                 a.input_size, a.input_size}
                          : std::vector<int64_t>{3, a.archi.front()};
    input_ = Clamp(network_, at::rand(x_shape, generator, at::kDouble));
    target_ =
        OneHot(Vector({0, 2, 1}).to(at::kLong), network_.classes(), input_.x);
  }

  // The relative error of ep over all rows that a readout does not spoil.
  double Error(double beta) const {
    const Shape& shape = std::get<0>(GetParam());
    const GradientCheck check =
        CheckGradient(network_, input_, target_,
                      Options(shape.loss, network_.softmax, 400, 5, beta));
    std::vector<at::Tensor> ep, expected;
    const std::string readout =
        absl::StrCat("synapses.", network_.layers(), ".");
    for (const GradientCheckRow& row : check.rows) {
      if (absl::StartsWith(row.key, readout)) continue;
      ep.push_back(row.ep);
      expected.push_back(row.expected());
    }
    return RelativeError(ep, expected);
  }

  Network network_;
  Clamped input_;
  at::Tensor target_;
};

INSTANTIATE_TEST_SUITE_P(, TheoremTest,
                         testing::Combine(testing::ValuesIn(Shapes()),
                                          testing::Range<uint64_t>(0, 3)),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param).name,
                                               "_", std::get<1>(info.param));
                         });

// The bias of a one-sided difference is of first order in beta; the constant in
// front of it is of order 1 for these weights.
TEST_P(TheoremTest, UpdatesEqualGradientsUpToAnErrorLinearInBeta) {
  const double small = Error(1e-5), large = Error(1e-4);
  EXPECT_LT(small, 1e-4);
  EXPECT_GT(small, 0);
  EXPECT_NEAR(large / small, 10, 0.5);
}

TEST_P(TheoremTest, TheMeanOfBothSignsIsOneOrderBetter) {
  const Shape& shape = std::get<0>(GetParam());
  GradientCheckOptions options =
      Options(shape.loss, network_.softmax, 400, 5, 1e-3);
  const GradientCheck plus = CheckGradient(network_, input_, target_, options);
  options.beta_2 = -options.beta_2;
  const GradientCheck minus = CheckGradient(network_, input_, target_, options);
  const std::string readout = absl::StrCat("synapses.", network_.layers(), ".");
  std::vector<at::Tensor> one_sided, both, expected;
  for (size_t i = 0; i < plus.rows.size(); ++i) {
    if (absl::StartsWith(plus.rows[i].key, readout)) continue;
    one_sided.push_back(plus.rows[i].ep);
    both.push_back((plus.rows[i].ep + minus.rows[i].ep) / 2);
    expected.push_back(plus.rows[i].expected());
  }
  EXPECT_LT(RelativeError(both, expected),
            0.02 * RelativeError(one_sided, expected));
}

// ---- Numbers from rows ----

TEST(CompareTest, ByHand) {
  // Elements: (3, 4) against (0, 0), and (1, -1) against (1, 1).
  const at::Tensor ep = Matrix({{3, 1}, {4, -1}});
  const at::Tensor bptt = Matrix({{0, 1}, {0, 1}});
  const Agreement agreement = Compare(ep, bptt);
  EXPECT_NEAR(agreement.rmse, (1 + std::sqrt(2)) / 2, 1e-9);
  EXPECT_EQ(agreement.sign_error, 0.25);
  EXPECT_EQ(agreement.cosine, 0);  // (7, 0) and (0, 2)
}

TEST(CompareTest, EqualRowsAgree) {
  const at::Tensor row = Matrix({{3, -1, 0}, {4, 2, 0}});
  const Agreement agreement = Compare(row, row);
  EXPECT_EQ(agreement.rmse, 0);
  EXPECT_EQ(agreement.sign_error, 0);
  EXPECT_NEAR(agreement.cosine, 1, 1e-15);
}

TEST(CompareTest, ZeroRowsHaveNoDirection) {
  const at::Tensor zero = Matrix({{0, 0}, {0, 0}});
  EXPECT_EQ(Compare(zero, zero).rmse, 0);
  EXPECT_TRUE(std::isnan(Compare(zero, zero).cosine));
}

TEST(AgreementLineTest, IsThatOfTheAuthorsProgram) {
  EXPECT_EQ(AgreementLine("synapses.0.weight", {0.02549, 0.0, 1}),
            "synapses_0_weight\t RMSE = 0.0255\t SIGN err = 0.0");
  EXPECT_EQ(AgreementLine("neurons_1", {1, 0.5, 1}),
            "neurons_1\t RMSE = 1.0\t SIGN err = 0.5");
}

TEST(IntegratedTest, ReferenceLacksTheLastStep) {
  const at::Tensor terms = Matrix({{1, 2}, {3, 4}, {5, 6}});
  ExpectClose(Integrated(terms, Semantics::kReference),
              Matrix({{0, 0}, {1, 2}, {4, 6}}), 0);
  ExpectClose(Integrated(terms, Semantics::kCorrected),
              Matrix({{0, 0}, {1, 2}, {4, 6}, {9, 12}}), 0);
  ExpectClose(IntegratedEstimate(terms, Semantics::kReference), Vector({4, 6}),
              0);
  ExpectClose(IntegratedEstimate(terms, Semantics::kCorrected), Vector({9, 12}),
              0);
}

TEST(IntegratedTest, OneStep) {
  const at::Tensor terms = Matrix({{1, 2}});
  ExpectClose(Integrated(terms, Semantics::kReference), Matrix({{0, 0}}), 0);
  ExpectClose(IntegratedEstimate(terms, Semantics::kReference), Vector({0, 0}),
              0);
}

TEST(BarHeightTest, ByHand) {
  // On opposite sides at equal distance: 0. On one side: 1. Exact: 1.
  EXPECT_EQ(BarHeight(Vector({3}), Vector({1}), Vector({2})), 0);
  EXPECT_EQ(BarHeight(Vector({3}), Vector({4}), Vector({2})), 1);
  EXPECT_EQ(BarHeight(Vector({2}), Vector({2}), Vector({2})), 1);
  EXPECT_NEAR(BarHeight(Vector({3, 3}), Vector({1, 4}), Vector({2, 2})), 0.5,
              1e-15);
}

}  // namespace
}  // namespace altprop::eqprop
