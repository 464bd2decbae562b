// What holds for every network of the four models, checked on random small
// ones: strides with output padding, odd sizes, all pools, one to three
// matrices, both losses, with and without a softmax readout, batches of one.
// Everything is float64 unless a test says otherwise.

#include <cmath>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "ATen/Context.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/clamp.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randint.h"
#include "ATen/ops/sigmoid.h"
#include "ATen/ops/zeros.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "common/training/optimizer.h"
#include "eqprop/bptt.h"
#include "eqprop/dropout.h"
#include "eqprop/edge.h"
#include "eqprop/equilibrium.h"
#include "eqprop/estimate.h"
#include "eqprop/phases.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::eqprop {
namespace {

constexpr double kBeta = 0.3;
constexpr int64_t kConverged = 200;  // steps
// Sums of a few hundred products in another order.
constexpr double kRounding = 1e-12;

using Tensors = std::vector<at::Tensor>;

at::Tensor Leaf(const at::Tensor& tensor) {
  return tensor.detach().clone().requires_grad_(true);
}
at::Tensor Copy(const at::Tensor& tensor) { return tensor.clone(); }

// The network with `change` applied to each of its parameters.
Network WithParameters(
    Network network,
    const std::function<at::Tensor(const at::Tensor&)>& change) {
  for (Edge& edge : network.edges) {
    edge.weight = change(edge.weight);
    edge.bias = change(edge.bias);
    if (edge.backward.defined()) edge.backward = change(edge.backward);
  }
  return network;
}

Tensors ParameterTensors(const Network& network) {
  Tensors tensors;
  for (auto& [name, tensor] : Parameters(network)) tensors.push_back(tensor);
  return tensors;
}

// ---- Random problems ----

struct Case {
  std::string name;
  Architecture architecture;
  Loss loss;
  int64_t batch;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

std::vector<Case> Cases(const std::vector<Model>& models) {
  std::vector<std::pair<std::string, Architecture>> shapes;
  const Activation any = Activation::kMysig;
  for (const Model model : models) {
    const std::string name(ModelName(model));
    if (!IsConvolutional(model)) {
      Architecture& a = shapes.emplace_back(name, Architecture()).second;
      a.model = model;
      a.archi = {6, 5, 4, 3};
      continue;
    }
    const auto add = [&](const std::string& shape, int64_t size,
                         std::vector<int64_t> channels,
                         const std::vector<int64_t>& kernels,
                         const std::vector<int64_t>& strides,
                         const std::vector<int64_t>& paddings,
                         const std::string& pools, std::vector<int64_t> fc) {
      shapes.emplace_back(
          absl::StrCat(name, "_", shape),
          Convolutional(model, any, size, std::move(channels), kernels, strides,
                        paddings, pools, std::move(fc), false));
    };
    add("max", 8, {2, 3, 4}, {3, 3}, {1, 1}, {1, 1}, "mm", {3});
    add("average_odd", 9, {1, 3, 2}, {3, 3}, {1, 1}, {1, 0}, "ai", {4, 3});
    // (8 + 2 - 3) is odd: the adjoint needs an output padding of 1.
    add("strided", 8, {1, 2, 3}, {3, 3}, {1, 2}, {1, 1}, "ii", {5, 4, 3});
    add("strided_max_odd", 11, {1, 2, 3}, {3, 3}, {1, 2}, {1, 1}, "im", {3});
    add("mixed", 17, {2, 4, 3, 5}, {5, 3, 3}, {1, 1, 2}, {1, 0, 1}, "mai", {3});
    add("single", 7, {2, 3}, {4}, {1}, {0}, "m", {4, 3});
  }
  std::vector<Case> cases;
  for (auto& shape : shapes) {
    const std::string& name = shape.first;
    Architecture& architecture = shape.second;
    const auto add = [&](const std::string& kind, Loss loss) {
      // Every other one has a single sample, and the clamp.
      const bool one = cases.size() % 2 == 1;
      architecture.activation =
          one ? Activation::kMyHardSig : Activation::kMysig;
      cases.push_back({name + kind, architecture, loss, one ? 1 : 3});
    };
    add("_mse", Loss::kMse);
    add("_cel", Loss::kCel);
    architecture.softmax = architecture.convolutional();
    if (architecture.softmax) add("_softmax", Loss::kCel);
  }
  return cases;
}

class InvariantsTest : public testing::TestWithParam<Case> {
 protected:
  InvariantsTest()
      : loss_(GetParam().loss),
        batch_(GetParam().batch),
        network_(ConvertNetwork(
            MakeNetwork(GetParam().architecture, std::nullopt, generator_),
            at::kDouble, at::kCPU)),
        x_(Input()),
        input_(Clamp(network_, x_)),
        state_(RandomState()),
        target_(
            OneHot(at::randint(0, 3, {batch_}, generator_, at::kLong), 3, x_)),
        dynamics_(TrainingDynamics(loss_, network_.softmax)) {}

  at::Tensor Uniform(at::IntArrayRef shape) {
    return at::rand(shape, generator_, at::kDouble);
  }
  at::Tensor Input() {
    const Architecture& a = GetParam().architecture;
    if (!a.convolutional()) return Uniform({batch_, a.archi.front()});
    return Uniform({batch_, a.input_channels, a.input_size, a.input_size});
  }
  State RandomState() {
    State state;
    for (const at::Tensor& s : ZeroState(network_, input_)) {
      state.push_back(Uniform(s.sizes()));
    }
    return state;
  }
  // Without dropout, and with.
  std::vector<Clamped> Inputs() const {
    std::vector<double> keep(network_.layers() + 1, 0.7);
    std::vector<double> factors;
    for (size_t l = 0; l < network_.layers(); ++l) {
      factors.push_back(1 - 0.1 * static_cast<double>(l));
    }
    DroppedInput dropped = DrawDropout(network_, x_, keep, factors, 3, 5);
    return {input_, Clamp(network_, dropped.x, std::move(dropped.dropout))};
  }
  State Settle(const State& from, const Nudge& nudge, int64_t steps) const {
    return Relax(network_, input_, from, steps, nudge, dynamics_);
  }
  const State& Free() const {
    if (free_.empty()) {
      free_ = Settle(ZeroState(network_, input_), {}, kConverged);
    }
    return free_;
  }
  EstimateOptions Options(Estimator estimator, double beta) const {
    EstimateOptions options;
    options.estimator = estimator;
    options.beta_2 = beta;
    options.steps = 12;
    options.dynamics = dynamics_;
    options.path = Path::kPlain;
    options.rule.semantics = Semantics::kCorrected;
    return options;
  }
  Tensors Estimate(const EstimateOptions& options, double sign = 1) const {
    return EstimateGradient(network_, input_, Free(), target_, sign, options);
  }
  Contrast SymmetricContrast() const {
    const State free = Free();
    return Between({Settle(free, NudgeTowards(target_, kBeta), 8), kBeta},
                   {Settle(free, NudgeTowards(target_, -kBeta), 8), -kBeta},
                   target_);
  }

  at::Generator generator_ = models::SeededGenerator(7);
  const Loss loss_;
  const int64_t batch_;
  const Network network_;
  const at::Tensor x_;
  const Clamped input_;
  const State state_;
  const at::Tensor target_;
  const Dynamics dynamics_;
  mutable State free_;  // costs more than the rest of most tests
};

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

class SymmetricInvariantsTest : public InvariantsTest {};
class VectorFieldInvariantsTest : public InvariantsTest {};

INSTANTIATE_TEST_SUITE_P(, InvariantsTest,
                         testing::ValuesIn(Cases({Model::kMlp, Model::kVfMlp,
                                                  Model::kCnn, Model::kVfCnn})),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(, SymmetricInvariantsTest,
                         testing::ValuesIn(Cases({Model::kMlp, Model::kCnn})),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(
    , VectorFieldInvariantsTest,
    testing::ValuesIn(Cases({Model::kVfMlp, Model::kVfCnn})), CaseName);

// ---- Closed forms against automatic differentiation ----

// What each layer's state is multiplied with, the others held: Phi, but with
// each coupling once as seen from above, once as seen from below.
at::Tensor Couplings(const Network& network, const Clamped& input,
                     const State& state) {
  const State s = Masked(input, state);
  const std::vector<Pooled> up = BottomUp(network, input, s);
  at::Tensor sum = (s[0] * up[0].p).sum();
  for (size_t l = 1; l < s.size(); ++l) {
    const Edge& edge = network.edges[l];
    const at::Tensor down =
        PoolForward(edge.pool, Preactivation(edge, BackwardWeight(network, l),
                                             {}, s[l - 1]))
            .p;
    sum = sum + (s[l] * up[l].p.detach()).sum() + (s[l].detach() * down).sum();
  }
  return sum;
}

TEST_P(InvariantsTest, DriveIsTheDerivativeByTheState) {
  for (const Clamped& input : Inputs()) {
    for (const double beta : {0.0, kBeta, -kBeta}) {
      const Nudge nudge = NudgeTowards(target_, beta);
      State leaves;
      for (const at::Tensor& s : state_) leaves.push_back(Leaf(s));
      at::Tensor phi;
      if (IsVectorField(network_.model)) {
        phi = Couplings(network_, input, leaves) -
              beta *
                  LossPerSample(loss_, Output(network_, input, leaves), target_)
                      .sum();
      } else {
        phi = Phi(network_, input, leaves, nudge, loss_).sum();
      }
      EXPECT_LE(RelativeError(Drive(network_, input, state_, nudge, loss_),
                              torch::autograd::grad({phi}, leaves)),
                kRounding)
          << beta;
    }
  }
}

// Clamp() records no graph for an MLP; this does.
Clamped ClampWithGraph(const Network& network, const Clamped& input) {
  const Edge& edge = network.edges.front();
  return {input.x,
          PoolForward(edge.pool,
                      Preactivation(edge, edge.weight, edge.bias, input.x)),
          input.dropout};
}

TEST_P(SymmetricInvariantsTest, PhiGradientIsTheDerivativeByTheParameters) {
  const Network leaves = WithParameters(network_, Leaf);
  for (const Clamped& input : Inputs()) {
    // The readout is in Phi through the loss alone, hence beta is not 0.
    const at::Tensor phi = Phi(leaves, ClampWithGraph(leaves, input), state_,
                               NudgeTowards(target_, kBeta), loss_)
                               .mean();
    EXPECT_LE(
        RelativeError(PhiGradient(network_, input, {state_, kBeta}, target_),
                      torch::autograd::grad({phi}, ParameterTensors(leaves))),
        kRounding);
  }
}

// Step's activation writes in place, which autograd does not follow.
State StepWithGraph(const Network& network, const Clamped& input,
                    const State& state, const Nudge& nudge,
                    const Dynamics& dynamics) {
  State next = Drive(network, input, state, nudge, dynamics.loss);
  for (size_t l = 0; l < next.size(); ++l) {
    const std::vector<double>& keep = input.dropout.keep;
    if (!keep.empty()) next[l] = next[l] * keep[l];
    if (dynamics.linear_output && l + 1 == next.size()) continue;
    next[l] = network.activation == Activation::kMysig
                  ? at::sigmoid(4 * next[l] - 2)
                  : at::clamp(next[l] / 2, 0, 1);
  }
  return next;
}

TEST_P(InvariantsTest, BackpropagationIsTheDerivativeOfTheLoss) {
  const Network leaves = WithParameters(network_, Leaf);
  for (const Clamped& input : Inputs()) {
    for (const int64_t steps : {1, 6}) {
      for (const double beta : {0.0, kBeta}) {
        const Nudge nudge = NudgeTowards(target_, beta);
        const Clamped with_graph = ClampWithGraph(leaves, input);
        State state = state_;
        for (int64_t t = 0; t < steps; ++t) {
          state = StepWithGraph(leaves, with_graph, state, nudge, dynamics_);
        }
        const at::Tensor loss =
            LossPerSample(loss_, Output(leaves, with_graph, state), target_)
                .mean();
        Tensors expected = torch::autograd::grad(
            {loss}, ParameterTensors(leaves), {}, c10::nullopt, false, true);
        for (size_t i = 0; i < expected.size(); ++i) {
          // What few steps do not reach.
          if (!expected[i].defined()) {
            expected[i] = at::zeros_like(ParameterTensors(network_)[i]);
          }
        }
        std::vector<Tensors> steps_back;
        BackpropagateSteps(network_, input, state_, steps, nudge, target_,
                           dynamics_, [&](const BackwardStep& step) {
                             steps_back.push_back(step.gradient);
                           });
        ExpectClose(Total(steps_back), expected, kRounding);
        if (beta != 0) continue;
        ExpectClose(
            BpttGradient(network_, input, state_, steps, target_, dynamics_)
                .gradient,
            expected, kRounding);
      }
    }
  }
}

// ---- The two ways of an edge ----

double Dot(const Tensors& a, const Tensors& b) {
  double sum = 0;
  for (size_t l = 0; l < a.size(); ++l) {
    sum += (a[l] * b[l]).sum().item<double>();
  }
  return sum;
}

// The drive's response to a change of the state. The drive is linear as long as
// no window of a pooling takes another maximum: differences are exact.
State Linearised(const Network& network, const Clamped& input,
                 const State& state, const State& direction) {
  constexpr double kStep = 1e-5;
  State ahead, behind, response;
  for (size_t l = 0; l < state.size(); ++l) {
    ahead.push_back(state[l] + kStep * direction[l]);
    behind.push_back(state[l] - kStep * direction[l]);
  }
  ahead = Drive(network, input, ahead, {}, Loss::kMse);
  behind = Drive(network, input, behind, {}, Loss::kMse);
  for (size_t l = 0; l < state.size(); ++l) {
    response.push_back((ahead[l] - behind[l]) / (2 * kStep));
  }
  return response;
}

// The vector field of a symmetric network: its weights lead down as well.
Network Tied(Network network) {
  const bool mlp = network.model == Model::kMlp;
  network.model = mlp ? Model::kVfMlp : Model::kVfCnn;
  for (size_t l = 1; l < network.layers(); ++l) {
    const at::Tensor& weight = network.edges[l].weight;
    network.edges[l].backward = mlp ? weight.t().contiguous() : weight.clone();
  }
  return network;
}

TEST_P(InvariantsTest, StatesInteractSymmetricallyButInAVectorField) {
  const State v = RandomState();
  const State w = RandomState();
  const auto asymmetry = [&](const Network& network) {
    return std::abs(Dot(w, Linearised(network, input_, state_, v)) -
                    Dot(Linearised(network, input_, state_, w), v));
  };
  if (!IsVectorField(network_.model)) {
    // Rounding over the width of the difference.
    EXPECT_LE(asymmetry(network_), 1e-7);
    EXPECT_LE(asymmetry(Tied(network_)), 1e-7);
  } else if (network_.layers() > 1) {
    EXPECT_GT(asymmetry(network_), 1e-3);
  }
}

TEST_P(SymmetricInvariantsTest, IsTheVectorFieldWithTiedWeights) {
  const Network tied = Tied(network_);
  State state = ZeroState(network_, input_);
  State of_tied = state;
  for (const double beta : {0.0, kBeta}) {
    const Nudge nudge = NudgeTowards(target_, beta);
    state = Settle(state, nudge, 8);
    of_tied = Relax(tied, input_, of_tied, 8, nudge, dynamics_);
    ExpectClose(of_tied, state, kRounding);
  }
  // One update for both weights is then that of the symmetric network.
  const Contrast contrast = SymmetricContrast();
  const Tensors gradient = ContrastGradient(network_, input_, contrast);
  Tensors same = SameUpdateGradient(tied, input_, contrast);
  ASSERT_EQ(same.size(), gradient.size() + network_.layers() - 1);
  same.resize(gradient.size());
  ExpectClose(same, gradient, kRounding);
}

TEST_P(VectorFieldInvariantsTest, SameUpdateIsTheSameForBothWeights) {
  const Tensors gradient =
      SameUpdateGradient(network_, input_, SymmetricContrast());
  const std::vector<size_t> edges = EdgeOfParameters(network_);
  for (size_t i = 2 * network_.edges.size(); i < gradient.size(); ++i) {
    const at::Tensor& forward = gradient[2 * edges[i]];
    ExpectClose(gradient[i],
                network_.model == Model::kVfMlp ? forward.t() : forward, 0);
  }
}

TEST(PoolTest, GatherIsTheAdjointOfUnpoolWhichKeepsSums) {
  at::Generator generator = models::SeededGenerator(1);
  const auto uniform = [&](at::IntArrayRef shape) {
    return at::rand(shape, generator, at::kDouble) - 0.5;
  };
  for (const Pool pool : {Pool::kNone, Pool::kMax, Pool::kAverage}) {
    for (const int64_t size : {4, 5, 7}) {
      const Pooled at = PoolForward(pool, uniform({2, 3, size, size + 1}));
      const at::Tensor v = uniform(at.p.sizes());
      const at::Tensor e = uniform(at.z.sizes());
      const at::Tensor up = Unpool(pool, v, at);
      EXPECT_NEAR(Dot({v}, {Gather(pool, e, at)}), Dot({up}, {e}), kRounding);
      ExpectClose(up.sum({2, 3}), v.sum({2, 3}), kRounding);
    }
  }
}

// ---- Fixed points ----

TEST_P(InvariantsTest, FixedPointStaysWithoutANudge) {
  const State free = Free();
  ExpectClose(Settle(free, {}, 1), free, kRounding);
  const Nudge zero{at::zeros({batch_, 1}, x_.options()), target_};
  ExpectClose(Settle(free, zero, 10), free, kRounding);
}

TEST_P(SymmetricInvariantsTest, EnergyIsStationaryInsideTheRange) {
  const State free = Free();
  State leaves;
  for (const at::Tensor& s : free) leaves.push_back(Leaf(s));
  at::Tensor energy = -Phi(network_, input_, leaves, {}, loss_).sum();
  for (size_t l = 0; l < leaves.size(); ++l) {
    const bool linear = dynamics_.linear_output && l + 1 == leaves.size();
    energy = energy + (linear ? leaves[l].square() / 2
                              : Potential(network_.activation, leaves[l]))
                          .sum();
  }
  const State slope = torch::autograd::grad({energy}, leaves);
  const State u = Drive(network_, input_, free, {}, loss_);
  int64_t inside = 0;
  for (size_t l = 0; l < free.size(); ++l) {
    // sigma' = 0 marks the saturated units of the clamp.
    const at::Tensor unsaturated = Derivative(network_.activation, u[l]).gt(0);
    inside += unsaturated.sum().item<int64_t>();
    EXPECT_LE(slope[l].masked_select(unsaturated).abs().sum().item<double>(),
              1e-10);
  }
  EXPECT_GT(inside, 0);
}

TEST_P(InvariantsTest, ReadoutDoesNotInfluenceTheFreePhase) {
  if (!network_.softmax) return;
  Network other = network_;
  other.edges.back().weight = Uniform(other.edges.back().weight.sizes());
  other.edges.back().bias = Uniform(other.edges.back().bias.sizes());
  ExpectClose(Relax(other, input_, state_, 10, {}, dynamics_),
              Settle(state_, {}, 10), 0);
}

// ---- Estimates ----

TEST_P(InvariantsTest, SymmetricEstimateIsEvenInBeta) {
  ExpectClose(Estimate(Options(Estimator::kSymmetric, kBeta)),
              Estimate(Options(Estimator::kSymmetric, -kBeta)), kRounding);
}

TEST_P(InvariantsTest, BothSignsOneSidedAverageToTheSymmetricEstimate) {
  for (const bool same_update : {false, true}) {
    EstimateOptions options = Options(Estimator::kRandomSign, kBeta);
    options.rule.same_update = same_update;
    const Tensors up = Estimate(options, 1);
    const Tensors down = Estimate(options, -1);
    options.estimator = Estimator::kSymmetric;
    const Tensors symmetric = Estimate(options);
    for (size_t i = 0; i < up.size(); ++i) {
      ExpectClose((up[i] + down[i]) / 2, symmetric[i], kRounding);
    }
  }
}

TEST_P(InvariantsTest, BothOrdersOfTheContrastAgree) {
  for (const Rule rule : {Rule(), Rule{.same_update = true}}) {
    Rule sums_first = rule;
    sums_first.order = ContrastOrder::kSumsFirst;
    const Contrast contrast = SymmetricContrast();
    EXPECT_LE(RelativeError(
                  GradientOf(network_, input_, Free(), contrast, rule),
                  GradientOf(network_, input_, Free(), contrast, sums_first)),
              kRounding);
  }
}

// Both from the same float32 states; those states in float64 are the truth.
TEST_P(InvariantsTest, DifferencesFirstIsNearerTheTruthInFloat32) {
  constexpr double kSmall = 1e-3;
  // Clamped outputs may not move at all.
  if (network_.activation != Activation::kMysig) return;
  const auto cast = [](State state, at::ScalarType dtype) {
    for (at::Tensor& s : state) s = s.to(dtype);
    return state;
  };
  const Network narrow = ConvertNetwork(network_, at::kFloat, at::kCPU);
  const Network wide = ConvertNetwork(narrow, at::kDouble, at::kCPU);
  const at::Tensor x = x_.to(at::kFloat);
  const State free = Free();
  const State a =
      cast(Settle(free, NudgeTowards(target_, kSmall), 8), at::kFloat);
  const State b =
      cast(Settle(free, NudgeTowards(target_, -kSmall), 8), at::kFloat);
  const auto gradient = [&](const Network& network, ContrastOrder order) {
    const at::ScalarType dtype = network.edges[0].weight.scalar_type();
    return ContrastGradient(
        network, Clamp(network, x.to(dtype)),
        Between({cast(a, dtype), kSmall}, {cast(b, dtype), -kSmall},
                target_.to(dtype)),
        order);
  };
  const Tensors truth = gradient(wide, ContrastOrder::kContrastFirst);
  const double first =
      RelativeError(gradient(narrow, ContrastOrder::kContrastFirst), truth);
  EXPECT_LT(first, 1e-6);
  EXPECT_GT(RelativeError(gradient(narrow, ContrastOrder::kSumsFirst), truth),
            10 * first);
}

TEST_P(InvariantsTest, BiasGradientIsTheSumOfStateDifferencesOverSpace) {
  const Contrast contrast = SymmetricContrast();
  const Tensors gradient =
      GradientOf(network_, input_, Free(), contrast, Rule());
  for (size_t l = 0; l < network_.layers(); ++l) {
    const at::Tensor difference =
        (contrast.b.state[l] - contrast.a.state[l]).mean(0) / (2 * kBeta);
    ExpectClose(gradient[2 * l + 1],
                difference.dim() == 3 ? difference.sum({1, 2}) : difference,
                kRounding);
  }
}

// ---- Continual updates ----

class ContinualTest : public InvariantsTest {
 protected:
  using Updates = decltype(&ContinualUpdates);
  // What the updates of one minibatch come to, over the learning rate. The
  // weights move too little for that to act back on the states.
  Tensors Displacement(Updates update, const EstimateOptions& options,
                       double rate) const {
    const Network moving = WithParameters(network_, Copy);
    training::Optimizer sgd =
        training::Optimizer::Sgd({{Parameters(moving), rate, 0}}, 0);
    update(moving, input_.x, Free(), target_, 1, options, sgd);
    EXPECT_EQ(sgd.groups()[0].learning_rate, rate);
    const Tensors before = ParameterTensors(network_);
    Tensors displacement = ParameterTensors(moving);
    for (size_t i = 0; i < before.size(); ++i) {
      displacement[i] = (before[i] - displacement[i]) / rate;
    }
    return displacement;
  }
  // The readout's gradient does not telescope: it is the last two.
  Tensors WithoutReadout(Tensors gradient) const {
    gradient.resize(2 * network_.layers());
    return gradient;
  }
  void ExpectTelescoped(const Tensors& actual, const Tensors& expected) const {
    // What a rate of 1e-8 moves the states, summed over space.
    EXPECT_LE(RelativeError(WithoutReadout(actual), WithoutReadout(expected)),
              1e-4);
  }
  // Back from s_beta to s* in the same number of steps.
  EstimateOptions Long(Estimator estimator, Semantics semantics) const {
    EstimateOptions options = Options(estimator, kBeta);
    options.steps = 80;
    options.rule.semantics = semantics;
    return options;
  }
};

constexpr double kTinyRate = 1e-8;

TEST_P(ContinualTest, TinyUpdatesAddUpToTheOneSidedEstimate) {
  const EstimateOptions options = Options(Estimator::kOneSided, kBeta);
  const Tensors expected = Estimate(options);
  ExpectTelescoped(Displacement(ContinualUpdates, options, kTinyRate),
                   expected);
  // Scales any rate down by itself.
  ExpectTelescoped(Displacement(ContinualUpdatesAsOne, options, 1e-4),
                   expected);
}

TEST_P(ContinualTest, CorrectedThirdPhaseAddsUpToTheSymmetricEstimate) {
  const EstimateOptions options =
      Long(Estimator::kSymmetric, Semantics::kCorrected);
  ExpectTelescoped(Displacement(ContinualUpdates, options, kTinyRate),
                   Estimate(options));
}

// The positive half is divided by beta, the negative one by 2 beta.
TEST_P(ContinualTest, ReferencesThirdPhaseCountsThePositiveHalfTwice) {
  Tensors expected =
      Estimate(Long(Estimator::kRandomSign, Semantics::kReference), 1);
  const Tensors down =
      Estimate(Long(Estimator::kRandomSign, Semantics::kReference), -1);
  for (size_t i = 0; i < down.size(); ++i) {
    expected[i] = expected[i] + down[i] / 2;
  }
  ExpectTelescoped(
      Displacement(ContinualUpdates,
                   Long(Estimator::kSymmetric, Semantics::kReference),
                   kTinyRate),
      expected);
}

TEST_P(ContinualTest, ReadoutGetsTheMeanOverTheStepsOrTheirSum) {
  if (!network_.softmax) return;
  EstimateOptions options = Options(Estimator::kOneSided, kBeta);
  State state = Free();
  std::vector<Tensors> steps;
  for (int64_t k = 0; k < options.steps; ++k) {
    state = Settle(state, NudgeTowards(target_, kBeta), 1);
    const Tensors phi = PhiGradient(network_, input_, {state, kBeta}, target_);
    steps.push_back({phi.end()[-2] / -kBeta, phi.end()[-1] / -kBeta});
  }
  Tensors sum = Total(steps);
  const auto readout = [&](Semantics semantics) {
    options.rule.semantics = semantics;
    const Tensors all = Displacement(ContinualUpdates, options, kTinyRate);
    return Tensors{all.end()[-2], all.end()[-1]};
  };
  EXPECT_LE(RelativeError(readout(Semantics::kReference), sum), 1e-4);
  for (at::Tensor& term : sum) term /= static_cast<double>(options.steps);
  EXPECT_LE(RelativeError(readout(Semantics::kCorrected), sum), 1e-4);
}

// The mean over the steps is not quite the value at their end.
TEST_P(ContinualTest, CorrectedThirdPhaseReadoutIsThatOfTheSymmetricEstimate) {
  if (!network_.softmax) return;
  const EstimateOptions options =
      Long(Estimator::kSymmetric, Semantics::kCorrected);
  const Tensors all = Displacement(ContinualUpdates, options, kTinyRate);
  const Tensors expected = Estimate(options);
  EXPECT_LE(RelativeError({all.end()[-2], all.end()[-1]},
                          {expected.end()[-2], expected.end()[-1]}),
            0.1);
}

INSTANTIATE_TEST_SUITE_P(, ContinualTest,
                         testing::ValuesIn(Cases({Model::kMlp, Model::kCnn})),
                         CaseName);

// ---- Dropout ----

class DropoutTest : public testing::Test {
 protected:
  DroppedInput Draw(uint64_t seed, int64_t step,
                    at::ScalarType dtype = at::kDouble) const {
    return DrawDropout(network_, at::ones({16, 2, 12, 12}, dtype), keep_, {},
                       seed, step);
  }
  static Tensors All(const DroppedInput& dropped) {
    Tensors all = {dropped.x};
    const State& masks = dropped.dropout.masks;
    all.insert(all.end(), masks.begin(), masks.end());
    return all;
  }

  const Network network_ =
      MakeNetwork(Convolutional(Model::kCnn, Activation::kMysig, 12, {2, 6, 8},
                                {3, 3}, {1, 1}, {1, 1}, "mi", {300, 3}, true),
                  std::nullopt, models::SeededGenerator(0));
  const std::vector<double> keep_ = {0.9, 0.5, 1, 0.8};
};

TEST_F(DropoutTest, MasksAreZeroOrOneOverTheKeepProbability) {
  const Tensors masks = All(Draw(1, 2));
  ASSERT_EQ(masks.size(), keep_.size());
  for (size_t l = 0; l < masks.size(); ++l) {
    const double q = keep_[l];
    const at::Tensor kept = masks[l].ne(0);
    ExpectClose(masks[l], kept.to(at::kDouble) / q, 1e-15);
    const auto n = static_cast<double>(masks[l].numel());
    // Five standard deviations.
    EXPECT_NEAR(kept.sum().item<double>() / n, q,
                5 * std::sqrt(q * (1 - q) / n));
  }
  // Every sample has its own.
  EXPECT_FALSE(masks[1][0].equal(masks[1][1]));
}

TEST_F(DropoutTest, DrawsAreAFunctionOfSeedAndStepAlone) {
  const Tensors masks = All(Draw(1, 2));
  at::manual_seed(99);
  at::rand({10});
  ExpectClose(All(Draw(1, 2)), masks, 0);
  const Tensors narrow = All(Draw(1, 2, at::kFloat));
  for (size_t l = 0; l < masks.size(); ++l) {
    EXPECT_TRUE(narrow[l].ne(0).equal(masks[l].ne(0))) << l;
  }
  EXPECT_FALSE(All(Draw(1, 3))[1].equal(masks[1]));
  EXPECT_FALSE(All(Draw(2, 2))[1].equal(masks[1]));
}

}  // namespace
}  // namespace altprop::eqprop
