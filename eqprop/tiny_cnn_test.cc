// A convolutional network with two max-pools, one of which drops a row and a
// column, on two images of 6x6, and its vector-field variants: states, routing,
// exact gradients and estimates, and how the estimates' bias falls with beta.
// Numbers: an independent closed-form implementation in float64.

#include <algorithm>
#include <cmath>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/stack.h"
#include "c10/util/accumulate.h"
#include "eqprop/bptt.h"
#include "eqprop/equilibrium.h"
#include "eqprop/estimate.h"
#include "eqprop/phases.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

constexpr double kPrinted = 6e-11;  // ten decimals
constexpr int kConverged = 200;     // steps; the distance is 3e-10 after 40
constexpr double kBeta = 0.5;

// amplitude * sin(frequency k + phase), k counting the flattened tensor.
at::Tensor Wave(at::IntArrayRef shape, double amplitude, double frequency,
                double phase) {
  return at::arange(c10::multiply_integers(shape), at::kDouble)
      .mul(frequency)
      .add(phase)
      .sin()
      .mul(amplitude)
      .view(shape);
}

struct Tiny {
  State Free(int64_t steps) const {
    return FreePhase(network, input, steps, dynamics, Path::kPlain);
  }
  State Fixed() const { return Free(kConverged); }
  State Nudged(double beta) const {
    return Relax(network, input, Fixed(), kConverged,
                 NudgeTowards(target, beta), dynamics);
  }
  std::vector<at::Tensor> Estimate(Estimator estimator, double beta,
                                   const Rule& rule = {}) const {
    EstimateOptions options;
    options.estimator = estimator;
    options.beta_2 = beta;
    options.steps = kConverged;
    options.dynamics = dynamics;
    options.path = Path::kPlain;
    options.rule = rule;
    return EstimateGradient(network, input, Fixed(), target, 1, options);
  }
  // Through a converged phase: the gradient of the loss at the fixed point.
  std::vector<at::Tensor> Exact() const {
    return BpttGradient(network, input, Fixed(), kConverged, target, dynamics)
        .gradient;
  }
  double MeanLoss() const {
    return LossPerSample(dynamics.loss, Output(network, input, Fixed()), target)
        .mean()
        .item<double>();
  }

  Network network;
  Clamped input;
  at::Tensor target;
  Dynamics dynamics;
};

Tiny Convolution(Model model, Loss loss) {
  const bool softmax = loss == Loss::kCel;
  Tiny tiny;
  Network& network = tiny.network;
  network.model = model;
  network.activation = Activation::kMyHardSig;
  network.softmax = softmax;
  network.edges = {{Wave({2, 1, 3, 3}, 0.4, 1.3, 0.7),
                    Vector({0.3, 0.5}),
                    {},
                    1,
                    1,
                    Pool::kMax},
                   {Wave({2, 2, 3, 3}, 0.3, 0.9, 0.2),
                    Vector({0.6, 0.4}),
                    {},
                    1,
                    1,
                    Pool::kMax},
                   {Matrix({{0.5, -0.25}, {0.3, 0.4}}), Vector({0.2, 0.1})}};
  if (IsVectorField(model)) {
    network.edges[1].backward = Wave({2, 2, 3, 3}, 0.25, 0.7, 1.1);
    if (!softmax) {
      network.edges[2].backward = Matrix({{0.4, -0.1}, {0.2, 0.3}});
    }
  }
  const at::Tensor k = at::arange(36, at::kDouble);
  tiny.input =
      Clamp(network, at::stack({k.mul(0.37).cos(), k.mul(0.53).add(1.0).cos()})
                         .view({2, 1, 6, 6}));
  tiny.target = Matrix({{1, 0}, {0, 1}});
  tiny.dynamics = TrainingDynamics(loss, softmax);
  return tiny;
}

Tiny Mse() { return Convolution(Model::kCnn, Loss::kMse); }
Tiny Softmax() { return Convolution(Model::kCnn, Loss::kCel); }

// The sum over each weight's entries (or over their magnitudes), W_1 ... W_N,
// B_2 ... .
std::vector<double> Sums(const Tiny& tiny,
                         const std::vector<at::Tensor>& gradient,
                         bool magnitudes) {
  std::vector<double> sums;
  for (size_t i = 0; i < gradient.size(); ++i) {
    const bool bias = i < 2 * tiny.network.edges.size() && i % 2 == 1;
    if (bias) continue;
    sums.push_back(
        (magnitudes ? gradient[i].abs() : gradient[i]).sum().item<double>());
  }
  return sums;
}

// `expected`: of the first weights.
void ExpectSums(const Tiny& tiny, const std::vector<at::Tensor>& gradient,
                const std::vector<double>& expected, bool magnitudes = false) {
  const std::vector<double> sums = Sums(tiny, gradient, magnitudes);
  ASSERT_GE(sums.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(sums[i], expected[i], kPrinted) << i;
  }
}
void ExpectMagnitudes(const Tiny& tiny, const std::vector<at::Tensor>& gradient,
                      const std::vector<double>& expected) {
  ExpectSums(tiny, gradient, expected, true);
}

void ExpectBiases(const std::vector<at::Tensor>& gradient,
                  const std::vector<at::Tensor>& expected) {
  ASSERT_GE(gradient.size(), 2 * expected.size());
  for (size_t l = 0; l < expected.size(); ++l) {
    ExpectClose(gradient[2 * l + 1], expected[l], kPrinted);
  }
}

// Layers 2 and up: vectors, or images of one pixel.
void ExpectUpper(const State& state, const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(state.size(), expected.size() + 1);
  for (size_t l = 0; l < expected.size(); ++l) {
    ExpectClose(state[l + 1].flatten(1), expected[l], kPrinted);
  }
}

at::Tensor FirstMap(const State& state) {
  return state[0][0][0].flatten().contiguous();
}

TEST(TinyCnnTest, FreeStatesStepByStep) {
  const Tiny tiny = Mse();
  const State first = tiny.Free(1);
  ExpectClose(FirstMap(first),
              Vector({0.4369377696, 0.3120032181, 0.4008985029, 0.4035234133,
                      0.1988164034, 0.4784104424, 0.3117733046, 0.2884261000,
                      0.2320397392}),
              kPrinted);
  ExpectUpper(first, {Matrix({{0.3, 0.2}, {0.3, 0.2}}),
                      Matrix({{0.1, 0.05}, {0.1, 0.05}})});
  const State second = tiny.Free(2);
  EXPECT_NEAR(second[0][0][0][0][0].item<double>(), 0.4533129157, kPrinted);
  ExpectUpper(
      second,
      {Matrix({{0.5696756359, 0.2283322168}, {0.5107071711, 0.1789588569}}),
       Matrix({{0.15, 0.135}, {0.15, 0.135}})});
}

TEST(TinyCnnTest, FixedPoint) {
  const Tiny tiny = Mse();
  const State fixed = tiny.Fixed();
  ExpectClose(FirstMap(fixed),
              Vector({0.4782725202, 0.4849806041, 0.5746126870, 0.4465109643,
                      0.0785451997, 0.2858993331, 0.2297297245, 0.3163845139,
                      0.3488417768}),
              kPrinted);
  ExpectUpper(
      fixed,
      {Matrix({{0.8664440150, 0.4173320248}, {0.7235907420, 0.2430034561}}),
       Matrix({{0.2644445007, 0.2634330072}, {0.2505222535, 0.2071393025}})});
  EXPECT_NEAR(tiny.MeanLoss(), 0.325457081747, 1e-12);
  const State after_40 = tiny.Free(40);
  double distance = 0;
  for (size_t l = 0; l < fixed.size(); ++l) {
    distance =
        std::max(distance, (after_40[l] - fixed[l]).abs().max().item<double>());
  }
  EXPECT_NEAR(distance, 2.7e-10, 6e-12);
}

TEST(TinyCnnTest, RoutingAtTheFixedPoint) {
  const Tiny tiny = Mse();
  const auto up = BottomUp(tiny.network, tiny.input, tiny.Fixed());
  const at::Tensor first = Matrix({{0, 8, 11, 18, 21, 23, 25, 26, 29},
                                   {6, 8, 11, 13, 21, 23, 25, 26, 29},
                                   {7, 8, 5, 19, 20, 17, 31, 27, 29},
                                   {6, 3, 5, 18, 15, 16, 30, 27, 28}});
  ExpectClose(up[0].indices.view({4, 9}), first.to(at::kLong), 0);
  ExpectClose(up[1].indices.view({2, 2}),
              Matrix({{4, 1}, {4, 0}}).to(at::kLong), 0);
}

TEST(TinyCnnTest, ExactGradient) {
  const Tiny tiny = Mse();
  const auto exact = tiny.Exact();
  ExpectClose(exact[0][0].flatten(),
              Vector({0.0023662267, 0.0052148580, 0.0006422484, 0.0078814644,
                      0.0035202318, -0.0016731558, -0.0137747909, -0.0096563252,
                      0.0021307478}),
              kPrinted);
  ExpectMagnitudes(tiny, exact, {0.1327445280, 0.7893136721});
  ExpectBiases(exact, {Vector({-0.0089212847, -0.0103804133}),
                       Vector({-0.0659732811, -0.0187913931}),
                       Vector({-0.1354027076, -0.1460111934})});
}

TEST(TinyCnnTest, NudgedFixedPoints) {
  const Tiny tiny = Mse();
  ExpectClose(
      tiny.Nudged(kBeta)[1].flatten(1),
      Matrix({{0.9003024860, 0.3874616534}, {0.7413327094, 0.2876249157}}),
      kPrinted);
  ExpectUpper(
      tiny.Nudged(-kBeta),
      {Matrix({{0.8093185779, 0.4676298339}, {0.7094712598, 0.1847856597}}),
       Matrix({{0, 0.3532316713}, {0.3390261433, 0}})});
}

TEST(TinyCnnTest, Estimates) {
  const Tiny tiny = Mse();
  const auto one_sided = tiny.Estimate(Estimator::kOneSided, kBeta);
  ExpectSums(tiny, one_sided, {-0.0176670974, -0.5169612949, -0.2840929517});
  ExpectBiases(one_sided, {Vector({-0.0069552287, -0.0080697492}),
                           Vector({-0.0516004384, -0.0147510881}),
                           Vector({-0.1058516280, -0.1144377648})});
  const auto symmetric = tiny.Estimate(Estimator::kSymmetric, kBeta);
  ExpectSums(tiny, symmetric, {-0.0200807345, -0.5696704623, -0.3249536784});
  ExpectMagnitudes(tiny, symmetric, {0.1299643408, 0.7063977339, 0.3249536784});
  ExpectBiases(symmetric, {Vector({-0.0078419112, -0.0105221864}),
                           Vector({-0.0614226789, -0.0113355377}),
                           Vector({-0.1408961194, -0.1158892016})});
}

TEST(TinyCnnTest, SoftmaxReadoutFixedPoint) {
  const Tiny tiny = Softmax();
  const State fixed = tiny.Fixed();
  ExpectUpper(
      fixed,
      {Matrix({{0.7284213671, 0.3743552171}, {0.6062421722, 0.2265801313}})});
  ExpectClose(
      Output(tiny.network, tiny.input, fixed),
      Matrix({{0.4706218793, 0.4682684970}, {0.4464760533, 0.3725047042}}),
      kPrinted);
  EXPECT_NEAR(tiny.MeanLoss(), 0.711393925496, 1e-12);
}

TEST(TinyCnnTest, SoftmaxReadoutGradients) {
  const Tiny tiny = Softmax();
  const auto exact = tiny.Exact();
  ExpectMagnitudes(tiny, exact, {0.1966547321, 0.4701069560});
  ExpectBiases(exact, {Vector({0.0078221622, 0.0002894209}),
                       Vector({0.0111842557, -0.0002927433}),
                       Vector({0.0095363774, -0.0095363774})});
  ExpectClose(
      exact[4],
      Matrix({{-0.0247275028, -0.0347395464}, {0.0247275028, 0.0347395464}}),
      kPrinted);
  const auto symmetric = tiny.Estimate(Estimator::kSymmetric, kBeta);
  ExpectMagnitudes(tiny, symmetric, {0.1968454997, 0.4705948254, 0.1234543374});
  ExpectBiases(symmetric, {Vector({0.0078296845, 0.0002890865}),
                           Vector({0.0111940538, -0.0002893791}),
                           Vector({0.0095352938, -0.0095352938})});
  const auto one_sided = tiny.Estimate(Estimator::kOneSided, kBeta);
  ExpectMagnitudes(tiny, one_sided, {0.1907053043, 0.4552171075, 0.0888207740});
  ExpectClose(one_sided[5], Vector({0.0092439079, -0.0092439079}), kPrinted);
}

// Relative error of the whole gradient, one-sided and symmetric.
struct ErrorRow {
  double beta, one_sided, symmetric;
};

ErrorRow Errors(const Tiny& tiny, double beta) {
  const auto exact = tiny.Exact();
  return {beta, RelativeError(tiny.Estimate(Estimator::kOneSided, beta), exact),
          RelativeError(tiny.Estimate(Estimator::kSymmetric, beta), exact)};
}

void ExpectErrors(const Tiny& tiny, const std::vector<ErrorRow>& rows) {
  for (const ErrorRow& row : rows) {
    // Printed to four digits.
    const ErrorRow errors = Errors(tiny, row.beta);
    EXPECT_NEAR(errors.one_sided, row.one_sided, 6e-4 * row.one_sided)
        << row.beta;
    EXPECT_NEAR(errors.symmetric, row.symmetric, 6e-4 * row.symmetric)
        << row.beta;
  }
}

TEST(CnnEstimatorBiasTest, HasTheKnownSizeWithTheSquaredError) {
  ExpectErrors(Mse(), {{1, 3.540e-1, 7.964e-1},
                       {0.5, 2.155e-1, 1.351e-1},
                       {0.2, 9.919e-2, 1.278e-2},
                       {0.1, 5.222e-2, 3.162e-3},
                       {0.05, 2.682e-2, 7.885e-4},
                       {0.02, 1.091e-2, 1.261e-4},
                       {0.01, 5.484e-3, 3.152e-5},
                       {0.001, 5.512e-4, 3.152e-7}});
}

TEST(CnnEstimatorBiasTest, HasTheKnownSizeWithASoftmaxReadout) {
  ExpectErrors(Softmax(), {{1, 8.246e-1, 1.154e-1},
                           {0.5, 4.373e-1, 2.873e-2},
                           {0.2, 1.814e-1, 4.591e-3},
                           {0.1, 9.181e-2, 1.148e-3},
                           {0.05, 4.619e-2, 2.869e-4},
                           {0.02, 1.854e-2, 4.590e-5},
                           {0.01, 9.283e-3, 1.147e-5},
                           {0.001, 9.293e-4, 1.147e-7}});
}

TEST(CnnEstimatorBiasTest, IsOfFirstOrderOneSidedAndOfSecondSymmetric) {
  for (const Tiny& tiny : {Mse(), Softmax()}) {
    const std::vector<double> betas = {0.05, 0.02, 0.01};
    std::vector<double> one_sided, symmetric;
    for (const double beta : betas) {
      const ErrorRow errors = Errors(tiny, beta);
      one_sided.push_back(errors.one_sided);
      symmetric.push_back(errors.symmetric);
    }
    EXPECT_NEAR(LogLogSlope(betas, one_sided), 1, 0.03);
    EXPECT_NEAR(LogLogSlope(betas, symmetric), 2, 0.03);
  }
}

constexpr Rule kDifferent = {};
constexpr Rule kSame = {.same_update = true};

TEST(TinyVectorFieldCnnTest, SquaredErrorFixedPoint) {
  const Tiny tiny = Convolution(Model::kVfCnn, Loss::kMse);
  ExpectUpper(
      tiny.Fixed(),
      {Matrix({{0.6773477065, 0.3173889822}, {0.6030147530, 0.2427284567}}),
       Matrix({{0.2296633038, 0.2150799524}, {0.2204126312, 0.1889979043}})});
  EXPECT_NEAR(tiny.MeanLoss(), 0.336496034648, 1e-12);
}

TEST(TinyVectorFieldCnnTest, SquaredErrorUpdates) {
  const Tiny tiny = Convolution(Model::kVfCnn, Loss::kMse);
  const auto update = [&](Estimator estimator, const Rule& rule) {
    return tiny.Estimate(estimator, kBeta, rule);
  };
  ExpectSums(tiny, update(Estimator::kOneSided, kDifferent),
             {-0.0083663688, -0.3990049532, -0.2233101671, -0.0002056557,
              -0.0236550049});
  ExpectSums(tiny, update(Estimator::kOneSided, kSame),
             {-0.0083663688, -0.3602437396, -0.2538620166, -0.3602437396,
              -0.2538620166});
  ExpectSums(tiny, update(Estimator::kSymmetric, kSame),
             {-0.0089144747, -0.3714913263, -0.2630591573, -0.3714913263,
              -0.2630591573});
  const auto symmetric = update(Estimator::kSymmetric, kDifferent);
  ExpectSums(tiny, symmetric,
             {-0.0089144747, -0.4104848661, -0.2388774813, -0.0002143280,
              -0.0246208520});
  const std::vector<double> magnitudes = Sums(tiny, symmetric, true);
  EXPECT_NEAR(magnitudes[3], 0.0513600484, kPrinted);
  EXPECT_NEAR(magnitudes[4], 0.0246208520, kPrinted);
  ExpectBiases(symmetric, {Vector({-0.0001198436, -0.0001208093}),
                           Vector({-0.0435081518, -0.0150773232}),
                           Vector({-0.1344977011, -0.1232670179})});
}

TEST(TinyVectorFieldCnnTest, SoftmaxReadout) {
  const Tiny tiny = Convolution(Model::kVfCnn, Loss::kCel);
  ExpectUpper(
      tiny.Fixed(),
      {Matrix({{0.6024157251, 0.2898313093}, {0.5333246044, 0.2206319765}})});
  EXPECT_NEAR(tiny.MeanLoss(), 0.701251911236, 1e-12);
  const auto different =
      tiny.Estimate(Estimator::kSymmetric, kBeta, kDifferent);
  ExpectSums(tiny, different, {0.0083841351, 0.1262728681});
  EXPECT_NEAR(Sums(tiny, different, false)[3], 0.0000306380, kPrinted);
  const auto same = tiny.Estimate(Estimator::kSymmetric, kBeta, kSame);
  ExpectSums(tiny, same, {0.0083841351, 0.0209243719});
  EXPECT_NEAR(Sums(tiny, same, false)[3], 0.0209243719, kPrinted);
  const auto one_sided = tiny.Estimate(Estimator::kOneSided, kBeta, kDifferent);
  ExpectMagnitudes(tiny, one_sided, {0.1249948661, 0.3860456088});
  EXPECT_NEAR(Sums(tiny, one_sided, true)[3], 0.0069671231, kPrinted);
}

// The network of tiny_mlp_test.cc with a way down of its own.
Tiny VectorFieldMlp() {
  Tiny tiny;
  tiny.network.model = Model::kVfMlp;
  tiny.network.edges = {
      {Matrix({{0.5, -0.3}, {0.2, 0.4}, {-0.6, 0.1}}),
       Vector({0.1, -0.2, 0.05})},
      {Matrix({{0.3, -0.5, 0.2}, {-0.4, 0.1, 0.6}}), Vector({0.0, 0.1}),
       Matrix({{0.2, -0.1}, {0.3, 0.25}, {-0.15, 0.4}})}};
  tiny.input = Clamp(tiny.network, Matrix({{1.0, -0.5}, {-0.25, 0.75}}));
  tiny.target = Matrix({{1, 0}, {0, 1}});
  tiny.dynamics = TrainingDynamics(Loss::kMse);
  return tiny;
}

TEST(TinyVectorFieldMlpTest, FixedPoint) {
  ExpectClose(
      VectorFieldMlp().Fixed(),
      {Matrix({{0.7607057146, 0.0780063627, 0.0116597665},
               {0.0453236943, 0.2114539254, 0.3981210621}}),
       Matrix({{0.2255103824, 0.0596396148}, {0.1140501009, 0.3469561690}})},
      kPrinted);
}

TEST(TinyVectorFieldMlpTest, OneSidedUpdate) {
  const auto update = VectorFieldMlp().Estimate(Estimator::kOneSided, kBeta);
  ExpectClose(update[0],
              Matrix({{-0.0342140342, 0.0201449298},
                      {-0.0115281373, -0.0206349769},
                      {0.0279078053, -0.0796180003}}),
              kPrinted);
  ExpectClose(update[2],
              Matrix({{-0.1776175976, -0.0143923099, 0.0046213402},
                      {-0.0057134791, -0.0542195061, -0.1031570754}}),
              kPrinted);
  ExpectClose(update[4],
              Matrix({{-0.0068872288, -0.0002816037},
                      {-0.0097983203, -0.0159722039},
                      {-0.0116120696, -0.0363541638}}),
              kPrinted);
}

// What is presynaptic: s_beta in the reference, s* as in every other estimate.
TEST(TinyVectorFieldMlpTest, ThirdPhaseInBothSemantics) {
  const Tiny tiny = VectorFieldMlp();
  const auto reference = tiny.Estimate(Estimator::kSymmetric, kBeta,
                                       {.semantics = Semantics::kReference});
  ExpectClose(reference[2],
              Matrix({{-0.1653648865, -0.0144437396, 0.0108754107},
                      {-0.0034560858, -0.0687011559, -0.1380828695}}),
              kPrinted);
  ExpectClose(reference[4],
              Matrix({{-0.0136740676, 0.0018696352},
                      {-0.0121352868, -0.0254702167},
                      {-0.0094604893, -0.0646416190}}),
              kPrinted);
  const auto corrected = tiny.Estimate(Estimator::kSymmetric, kBeta,
                                       {.semantics = Semantics::kCorrected});
  ExpectClose(corrected[2],
              Matrix({{-0.1583209919, -0.0109020273, 0.0078218431},
                      {-0.0051091568, -0.0573150710, -0.1092157520}}),
              kPrinted);
  ExpectClose(corrected[4],
              Matrix({{-0.0063177207, 0.0001409754},
                      {-0.0086682592, -0.0151154160},
                      {-0.0118115647, -0.0369428773}}),
              kPrinted);
}

}  // namespace
}  // namespace altprop::eqprop
