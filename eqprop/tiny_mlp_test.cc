// A network of 2-3-2 units and two samples, small enough to be followed by
// hand: its fixed points, exact gradients and estimates, how the estimates'
// bias falls with beta, and the step-by-step equality with backpropagation
// through time. Numbers: an independent closed-form implementation in float64.

#include <cmath>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/stack.h"
#include "eqprop/equilibrium.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

constexpr double kPrinted = 6e-11;  // ten decimals
constexpr int kConverged = 400;     // steps; the distance is 2e-9 after 40

struct Tiny {
  explicit Tiny(Activation activation, Loss loss) {
    network.activation = activation;
    network.edges = {
        {Matrix({{0.5, -0.3}, {0.2, 0.4}, {-0.6, 0.1}}),
         Vector({0.1, -0.2, 0.05})},
        {Matrix({{0.3, -0.5, 0.2}, {-0.4, 0.1, 0.6}}), Vector({0.0, 0.1})}};
    input = Clamp(network, Matrix({{1.0, -0.5}, {-0.25, 0.75}}));
    target = Matrix({{1, 0}, {0, 1}});
    dynamics = TrainingDynamics(loss);
  }

  State Free(int64_t steps) const {
    return Relax(network, input, ZeroState(network, input), steps, {},
                 dynamics);
  }
  State Nudged(const State& from, double beta, int64_t steps) const {
    return Relax(network, input, from, steps, NudgeTowards(target, beta),
                 dynamics);
  }
  std::vector<at::Tensor> OneSided(double beta, int64_t t1, int64_t t2) const {
    const State free = Free(t1);
    return ContrastGradient(network, input, free, 0, Nudged(free, beta, t2),
                            beta);
  }
  std::vector<at::Tensor> Symmetric(double beta, int64_t t1, int64_t t2) const {
    const State free = Free(t1);
    return ContrastGradient(network, input, Nudged(free, beta, t2), beta,
                            Nudged(free, -beta, t2), -beta);
  }
  // Gradient of the last `steps` of t1 free steps.
  Backpropagation Backpropagate(int64_t t1, int64_t steps) const {
    return BackpropagateThroughTime(network, input, Free(t1 - steps), steps,
                                    target, dynamics);
  }
  // Through a converged phase: the gradient of the loss at the fixed point.
  std::vector<at::Tensor> Exact() const {
    return Total(Backpropagate(2 * kConverged, kConverged).gradient);
  }
  double MeanLoss() const {
    return LossPerSample(dynamics.loss, Free(kConverged).back(), target)
        .mean()
        .item<double>();
  }

  Network network;
  Clamped input;
  at::Tensor target;
  Dynamics dynamics;
};

Tiny Mse() { return Tiny(Activation::kMysig, Loss::kMse); }
Tiny Cel() { return Tiny(Activation::kMysig, Loss::kCel); }
Tiny Clamps() { return Tiny(Activation::kMyHardSig, Loss::kMse); }

double Distance(const State& a, const State& b) {
  double largest = 0;
  for (size_t l = 0; l < a.size(); ++l) {
    largest = std::max(largest, (a[l] - b[l]).abs().max().item<double>());
  }
  return largest;
}

TEST(TinyMlpTest, FreeStatesStepByStep) {
  const Tiny tiny = Mse();
  ExpectClose(
      tiny.Free(1),
      {Matrix({{0.7310585786, 0.0573241759, 0.0121284350},
               {0.0474258732, 0.1418510649, 0.2890504974}}),
       Matrix({{0.1192029220, 0.1679816149}, {0.1192029220, 0.1679816149}})},
      kPrinted);
  ExpectClose(
      tiny.Free(2),
      {Matrix({{0.7056340258, 0.0487434392, 0.0198115104},
               {0.0420584246, 0.1222586371, 0.4009563768}}),
       Matrix({{0.2265885599, 0.0619395309}, {0.1196708637, 0.2838548655}})},
      kPrinted);
  ExpectClose(
      tiny.Free(3),
      {Matrix({{0.7636513014, 0.0381108093, 0.0167894219},
               {0.0352105972, 0.1272162101, 0.4692858125}}),
       Matrix({{0.2253290048, 0.0652551008}, {0.1331624170, 0.3416174234}})},
      kPrinted);
}

TEST(TinyMlpTest, FixedPointsFreeAndNudged) {
  const Tiny tiny = Mse();
  const State free = tiny.Free(kConverged);
  ExpectClose(
      free,
      {Matrix({{0.7679960234, 0.0369123296, 0.0168749605},
               {0.0283361664, 0.1284946112, 0.5699583705}}),
       Matrix({{0.2425537095, 0.0587715051}, {0.1459134215, 0.4437294041}})},
      kPrinted);
  ExpectClose(
      tiny.Nudged(free, 0.5, kConverged),
      {Matrix({{0.8192702829, 0.0226476123, 0.0200929003},
               {0.0191684768, 0.1447329338, 0.6951581739}}),
       Matrix({{0.4923176423, 0.0496061031}, {0.1237099833, 0.6772409925}})},
      kPrinted);
  ExpectClose(
      tiny.Nudged(free, -0.5, kConverged),
      {Matrix({{0.7176246769, 0.0545391419, 0.0148813502},
               {0.0528850933, 0.1053236504, 0.3550787064}}),
       Matrix({{0.0409273241, 0.0727520060}, {0.1827933920, 0.0654068649}})},
      kPrinted);
}

TEST(TinyMlpTest, ConvergesAtTheKnownRate) {
  const Tiny tiny = Mse();
  const State fixed = tiny.Free(kConverged);
  EXPECT_NEAR(Distance(tiny.Free(5), fixed), 3.899e-2, 5e-6);
  EXPECT_NEAR(Distance(tiny.Free(10), fixed), 3.502e-3, 5e-7);
  EXPECT_NEAR(Distance(tiny.Free(20), fixed), 2.823e-5, 5e-9);
  EXPECT_NEAR(Distance(tiny.Free(40), fixed), 1.834e-9, 5e-13);
  EXPECT_LE(Distance(tiny.Free(80), fixed), 1e-15);
}

TEST(TinyMlpTest, LossPhiAndEnergy) {
  const Tiny tiny = Mse();
  EXPECT_NEAR(tiny.MeanLoss(), 0.226976668787, 1e-12);
  const auto energy = [&](int64_t steps) {
    return Energy(tiny.network, tiny.input, tiny.Free(steps), {}, Loss::kMse);
  };
  ExpectClose(
      Phi(tiny.network, tiny.input, tiny.Free(kConverged), {}, Loss::kMse),
      Vector({0.5993503033, 0.3613675609}), kPrinted);
  ExpectClose(energy(0), Vector({0, 0}), kPrinted);
  ExpectClose(energy(1), Vector({-0.3999108955, -0.2418487588}), kPrinted);
  ExpectClose(energy(2), Vector({-0.4257005351, -0.2661354603}), kPrinted);
  ExpectClose(energy(3), Vector({-0.4282464682, -0.2734833762}), kPrinted);
  ExpectClose(energy(kConverged), Vector({-0.4285170625, -0.2776783723}),
              kPrinted);
}

TEST(TinyMlpTest, ExactGradient) {
  ExpectClose(Mse().Exact(),
              {Matrix({{-0.0730461292, 0.0488771286},
                       {0.0276254000, -0.0287859395},
                       {0.0592516972, -0.1865203085}}),
               Vector({-0.0483380012, -0.0023210789, -0.2545372225}),
               Matrix({{-0.2448403355, -0.0067834857, -0.0310200583},
                       {0.0021179239, -0.0645977462, -0.3584586324}}),
               Vector({-0.2815300996, -0.4209521958})},
              kPrinted);
}

TEST(TinyMlpTest, EstimatesOfConvergedPhases) {
  const Tiny tiny = Mse();
  ExpectClose(tiny.OneSided(0.5, kConverged, kConverged),
              {Matrix({{-0.0535661819, 0.0325128970},
                       {0.0183242980, -0.0193111007},
                       {0.0280820110, -0.0922908826}}),
               Vector({-0.0421065699, -0.0019736054, -0.1284177432}),
               Matrix({{-0.2152976346, -0.0013524171, -0.0086324352},
                       {0.0040873880, -0.0399563051, -0.2178872872}}),
               Vector({-0.2275604946, -0.2243461864})},
              kPrinted);
  ExpectClose(tiny.Symmetric(0.5, kConverged, kConverged),
              {Matrix({{-0.0550373801, 0.0380551327},
                       {0.0208719252, -0.0227513637},
                       {0.0399041584, -0.1262269128}}),
               Vector({-0.0339644947, -0.0037588769, -0.1726455087}),
               Matrix({{-0.1833375213, -0.0037850597, -0.0151875002},
                       {0.0010225993, -0.0441429069, -0.2237395545}}),
               Vector({-0.1961534548, -0.2943441124})},
              kPrinted);
}

TEST(TinyMlpTest, EstimatesOfFinitePhases) {
  const Tiny tiny = Mse();
  const auto one_sided = tiny.OneSided(0.5, 20, 4);
  ExpectClose(one_sided[0],
              Matrix({{-0.0618454161, 0.0374569077},
                      {0.0206895780, -0.0217419364},
                      {0.0330874265, -0.1088798405}}),
              kPrinted);
  ExpectClose(one_sided[3], Vector({-0.1963969989, -0.1780729486}), kPrinted);
  const auto symmetric = tiny.Symmetric(0.5, 20, 4);
  ExpectClose(symmetric[0],
              Matrix({{-0.0585806363, 0.0397943895},
                      {0.0221276942, -0.0243734361},
                      {0.0402913613, -0.1282372226}}),
              kPrinted);
  ExpectClose(symmetric[3], Vector({-0.1763213097, -0.2659667630}), kPrinted);
  const auto backpropagated = Total(tiny.Backpropagate(20, 4).gradient);
  ExpectClose(backpropagated[0],
              Matrix({{-0.0718123868, 0.0467671209},
                      {0.0272269502, -0.0279935776},
                      {0.0500331390, -0.1588558933}}),
              kPrinted);
  ExpectClose(backpropagated[3], Vector({-0.2715995904, -0.3614531530}),
              kPrinted);
}

TEST(TinyMlpTest, CrossEntropyWithALinearOutput) {
  const Tiny tiny = Cel();
  ExpectClose(
      tiny.Free(kConverged),
      {Matrix({{0.8384732460, 0.0334454673, 0.0085316747},
               {0.0255754938, 0.1536757365, 0.5402699475}}),
       Matrix({{0.2365255751, -0.2269257468}, {0.0388887694, 0.4292993447}})},
      kPrinted);
  EXPECT_NEAR(tiny.MeanLoss(), 0.502453838990, 1e-12);
  const auto exact = tiny.Exact();
  ExpectClose(exact[1], Vector({-0.0688583545, -0.0540182478, -0.1306286498}),
              kPrinted);
  ExpectClose(exact[3], Vector({-0.0110485761, -0.0649612091}), kPrinted);
  const auto symmetric = tiny.Symmetric(0.5, kConverged, kConverged);
  ExpectClose(symmetric[1],
              Vector({-0.0924930976, -0.0447902668, -0.1418061096}), kPrinted);
  ExpectClose(symmetric[3], Vector({-0.0263823061, -0.0598971651}), kPrinted);
  ExpectClose(tiny.OneSided(0.5, kConverged, kConverged)[3],
              Vector({-0.0025090910, -0.0472507411}), kPrinted);
}

TEST(TinyMlpTest, ClampedActivation) {
  const Tiny tiny = Clamps();
  const State free = tiny.Free(kConverged);
  ExpectClose(free,
              {Matrix({{0.3836317136, 0, 0}, {0, 0.0276028048, 0.1691377466}}),
               Matrix({{0.0575447570, 0}, {0.0100130734, 0.1021214642}})},
              kPrinted);
  EXPECT_NEAR(tiny.MeanLoss(), 0.423627002910, 1e-12);
  ExpectClose(Energy(tiny.network, tiny.input, free, {}, Loss::kMse),
              Vector({-0.1438618926, -0.0290525835}), kPrinted);
  const auto exact = tiny.Exact();
  ExpectClose(exact[0],
              Matrix({{-0.0361555720, 0.0180777860},
                      {0.0029692962, -0.0089078886},
                      {0.0186032754, -0.0558098262}}),
              kPrinted);
  ExpectClose(exact[3], Vector({-0.2430058921, -0.2473874237}), kPrinted);
}

struct ErrorRow {
  double beta, one_sided, symmetric;
};

void ExpectErrors(const Tiny& tiny, const std::vector<ErrorRow>& rows) {
  const auto exact = tiny.Exact();
  for (const auto& [beta, one_sided, symmetric] : rows) {
    // Printed to four digits; below 1e-5 the 1/beta rounding shows as well.
    EXPECT_NEAR(
        RelativeError(tiny.OneSided(beta, kConverged, kConverged), exact),
        one_sided, 1e-3 * one_sided)
        << beta;
    EXPECT_NEAR(
        RelativeError(tiny.Symmetric(beta, kConverged, kConverged), exact),
        symmetric, 1e-3 * symmetric)
        << beta;
  }
}

TEST(EstimatorBiasTest, HasTheKnownSizeWithTheSquaredError) {
  ExpectErrors(Mse(), {{1, 5.880e-1, 7.443e-1},
                       {0.5, 3.991e-1, 3.187e-1},
                       {0.2, 2.033e-1, 6.395e-2},
                       {0.1, 1.085e-1, 1.434e-2},
                       {0.05, 5.510e-2, 3.429e-3},
                       {0.02, 2.203e-2, 5.416e-4},
                       {0.01, 1.099e-2, 1.352e-4},
                       {0.001, 1.095e-3, 1.351e-6}});
}

TEST(EstimatorBiasTest, HasTheKnownSizeWithTheCrossEntropy) {
  ExpectErrors(Cel(), {{1, 3.303e-1, 8.003e-1},
                       {0.5, 2.051e-1, 1.299e-1},
                       {0.2, 9.611e-2, 1.726e-2},
                       {0.1, 5.099e-2, 4.220e-3},
                       {0.05, 2.630e-2, 1.049e-3},
                       {0.02, 1.072e-2, 1.676e-4},
                       {0.01, 5.397e-3, 4.190e-5},
                       {0.001, 5.429e-4, 4.190e-7}});
}

TEST(EstimatorBiasTest, IsOfFirstOrderOneSidedAndOfSecondSymmetric) {
  const std::vector<double> betas = {0.05, 0.02, 0.01};
  for (const Tiny& tiny : {Mse(), Cel()}) {
    const auto exact = tiny.Exact();
    std::vector<double> one_sided, symmetric;
    for (const double beta : betas) {
      one_sided.push_back(
          RelativeError(tiny.OneSided(beta, kConverged, kConverged), exact));
      symmetric.push_back(
          RelativeError(tiny.Symmetric(beta, kConverged, kConverged), exact));
    }
    EXPECT_NEAR(LogLogSlope(betas, one_sided), 1, 0.03);
    EXPECT_NEAR(LogLogSlope(betas, symmetric), 2, 0.03);
  }
}

// The gradient-descending-update property: what nudged step t adds to the
// estimate tends to what step t, counted from the end, adds to the gradient of
// backpropagation through time.
class StepByStepTest : public testing::Test {
 protected:
  static constexpr int kSteps = 6;
  static constexpr double kEightDecimals = 6e-9;

  // Entry t: the update of nudged step t, and (s(t+1) - s(t)) / beta.
  struct Nudging {
    std::vector<std::vector<at::Tensor>> gradient;
    std::vector<State> difference;
  };
  Nudging Nudge(double beta) const {
    Nudging result;
    State state = tiny_.Free(kConverged);
    for (int t = 0; t < kSteps; ++t) {
      const State next = tiny_.Nudged(state, beta, 1);
      result.gradient.push_back(
          ContrastGradient(tiny_.network, tiny_.input, state, 0, next, beta));
      result.difference.push_back(
          {(next[0] - state[0]) / beta, (next[1] - state[1]) / beta});
      state = next;
    }
    return result;
  }

  // Entry [0][0] of tensor `i` over time.
  static at::Tensor First(const std::vector<std::vector<at::Tensor>>& steps,
                          size_t i) {
    std::vector<at::Tensor> entries;
    entries.reserve(kSteps);
    for (int t = 0; t < kSteps; ++t) entries.push_back(steps[t][i][0][0]);
    return at::stack(entries);
  }

  const Tiny tiny_ = Mse();
  const Backpropagation backpropagation_ =
      tiny_.Backpropagate(kConverged, kSteps);
};

TEST_F(StepByStepTest, BackpropagationHasTheKnownTerms) {
  ExpectClose(First(backpropagation_.gradient, 0),
              Vector({0, -0.06468672, 0, -0.00712494, 0, -0.00094801}),
              kEightDecimals);
  ExpectClose(First(backpropagation_.gradient, 2),
              Vector({-0.21271673, -0.01294304, -0.01662305, -0.00088639,
                      -0.00162468, 0.00007678}),
              kEightDecimals);
  ExpectClose(First(backpropagation_.sensitivity, 1),
              Vector({0.75744629, 0, 0.05807193, 0, 0.00528482, 0}),
              kEightDecimals);
  ExpectClose(First(backpropagation_.sensitivity, 0),
              Vector({0, 0.17219266, 0, 0.01713477, 0, 0.00161851}),
              kEightDecimals);
}

TEST_F(StepByStepTest, NudgingHasTheKnownTerms) {
  const Nudging small = Nudge(0.001);
  ExpectClose(First(small.gradient, 0),
              Vector({0, -0.06472039, 0.00004736, -0.00713178, 0.00001018,
                      -0.00094881}),
              kEightDecimals);
  ExpectClose(First(small.gradient, 2),
              Vector({-0.21288364, -0.01283041, -0.01665086, -0.00086811,
                      -0.00162826, 0.00007942}),
              kEightDecimals);
  ExpectClose(First(small.difference, 1),
              Vector({0.55707049, -0.00041002, 0.04276581, -0.00006253,
                      0.00389491, -0.00000821}),
              kEightDecimals);
  ExpectClose(
      First(small.difference, 0),
      Vector({0, 0.12279361, -0.00008846, 0.01222722, -0.00001626, 0.00115568}),
      kEightDecimals);
  ExpectClose(First(Nudge(0.1).gradient, 0),
              Vector({0, -0.06773442, 0.00550170, -0.00812579, 0.00123889,
                      -0.00114645}),
              kEightDecimals);
}

TEST_F(StepByStepTest, NudgingTendsToBackpropagation) {
  const double far = RelativeError(Total(Nudge(1e-2).gradient),
                                   Total(backpropagation_.gradient));
  const double near = RelativeError(Total(Nudge(1e-4).gradient),
                                    Total(backpropagation_.gradient));
  EXPECT_NEAR(near / far, 0.01, 1e-3);
}

TEST_F(StepByStepTest, StatesTendToSigmaPrimeTimesTheSensitivity) {
  const State free = tiny_.Free(kConverged);
  const Nudging tiny_nudge = Nudge(1e-6);
  const State u = Drive(tiny_.network, tiny_.input, free, {}, Loss::kMse);
  for (int t = 0; t < kSteps; ++t) {
    for (size_t l = 0; l < 2; ++l) {
      ExpectClose(tiny_nudge.difference[t][l],
                  Derivative(Activation::kMysig, u[l]) *
                      backpropagation_.sensitivity[t][l],
                  2e-6);
    }
  }
}

}  // namespace
}  // namespace altprop::eqprop
