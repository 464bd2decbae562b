// Everything that was recorded from the authors' program on fixed inputs, by
// the plain and by the fused path.

#include <string>
#include <tuple>

#include "ATen/TensorOperators.h"
#include "common/training/optimizer.h"
#include "eqprop/bptt.h"
#include "eqprop/dropout.h"
#include "eqprop/edge.h"
#include "eqprop/equilibrium.h"
#include "eqprop/estimate.h"
#include "eqprop/phases.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

// The files' own tolerances: room for another order of summation, and in the
// gradients for its division by beta.
constexpr double kState = 1e-12;
constexpr double kGradient = 1e-10;

struct Recording {
  std::string name;
  Architecture architecture;
  Loss loss;
  bool same_update = false;
};

Architecture Perceptron(Model model, Activation activation,
                        std::vector<int64_t> archi) {
  Architecture a;
  a.model = model;
  a.activation = activation;
  a.archi = std::move(archi);
  return a;
}

const Recording kRecordings[] = {
    {"mlp_mse", Perceptron(Model::kMlp, Activation::kMysig, {12, 7, 6, 4}),
     Loss::kMse},
    {"mlp_cel", Perceptron(Model::kMlp, Activation::kMyHardSig, {10, 8, 3}),
     Loss::kCel},
    {"vfmlp_mse", Perceptron(Model::kVfMlp, Activation::kTanh, {9, 7, 5, 4}),
     Loss::kMse},
    {"cnn_mse",
     Convolutional(Model::kCnn, Activation::kMyHardSig, 32, {3, 2, 4, 5, 6},
                   {3, 3, 3, 3}, {1, 1, 1, 1}, {1, 1, 1, 0}, "mmmm", {10},
                   false),
     Loss::kMse},
    {"cnn_cel_softmax",
     Convolutional(Model::kCnn, Activation::kMyHardSig, 32, {3, 2, 4, 5, 6},
                   {3, 3, 3, 3}, {1, 1, 1, 1}, {1, 1, 1, 0}, "mmmm", {10},
                   true),
     Loss::kCel},
    {"cnn_mixed_pools_cel",
     Convolutional(Model::kCnn, Activation::kMysig, 17, {2, 4, 3, 5}, {5, 3, 3},
                   {1, 1, 2}, {1, 0, 1}, "mai", {6, 4}, false),
     Loss::kCel},
    {"vfcnn_mse",
     Convolutional(Model::kVfCnn, Activation::kMyHardSig, 28, {1, 3, 4}, {5, 5},
                   {1, 1}, {0, 0}, "mm", {5}, false),
     Loss::kMse},
    {"vfcnn_cel_softmax",
     Convolutional(Model::kVfCnn, Activation::kMyHardSig, 32, {3, 2, 4, 5, 6},
                   {3, 3, 3, 3}, {1, 1, 1, 1}, {1, 1, 1, 0}, "mmmm", {10},
                   true),
     Loss::kCel},
    {"vfcnn_cel_softmax_same",
     Convolutional(Model::kVfCnn, Activation::kMyHardSig, 16, {3, 3, 4, 5},
                   {3, 3, 3}, {1, 1, 1}, {1, 1, 0}, "mmm", {8, 10}, true),
     Loss::kCel, true},
};

class GoldenTest : public testing::TestWithParam<std::tuple<Recording, Path>> {
 protected:
  GoldenTest()
      : recording_(std::get<0>(GetParam())),
        path_(std::get<1>(GetParam())),
        golden_("model_" + recording_.name + ".pt"),
        network_(golden_.MakeNetwork(recording_.architecture)),
        input_(Clamp(network_, golden_.Get("x"))),
        target_(OneHot(golden_.Get("y"), network_.classes(), input_.x)),
        dynamics_(TrainingDynamics(recording_.loss, network_.softmax)),
        beta_(golden_.Number("beta")),
        t1_(static_cast<int64_t>(golden_.Number("T1"))),
        t2_(static_cast<int64_t>(golden_.Number("T2"))) {}

  State Free(int64_t steps) const {
    return FreePhase(network_, input_, steps, dynamics_, path_);
  }
  State Nudged(double beta) const {
    return NudgedPhase(network_, input_, Free(t1_), t2_,
                       NudgeTowards(target_, beta), dynamics_, path_);
  }
  EstimateOptions Options(Estimator estimator, ContrastOrder order) const {
    EstimateOptions options;
    options.estimator = estimator;
    options.beta_2 = beta_;
    options.steps = t2_;
    options.dynamics = dynamics_;
    options.path = path_;
    options.rule.same_update = recording_.same_update;
    options.rule.order = order;
    return options;
  }
  void ExpectEstimate(Estimator estimator, double sign,
                      const std::string& key) const {
    for (const ContrastOrder order :
         {ContrastOrder::kContrastFirst, ContrastOrder::kSumsFirst}) {
      ExpectClose(EstimateGradient(network_, input_, Free(t1_), target_, sign,
                                   Options(estimator, order)),
                  golden_.PerParameter(key), kGradient, key);
    }
  }

  const Recording recording_;
  const Path path_;
  const Golden golden_;
  const Network network_;
  const Clamped input_;
  const at::Tensor target_;
  const Dynamics dynamics_;
  const double beta_;
  const int64_t t1_;
  const int64_t t2_;
};

TEST_P(GoldenTest, DriveAtAnyState) {
  const State state = golden_.Layers("any.s");
  const struct {
    const char* name;
    double beta;
  } kNudges[] = {{"beta0", 0}, {"beta", beta_}, {"minus", -beta_}};
  for (const auto& [name, beta] : kNudges) {
    const std::string key = name;
    const Nudge nudge = NudgeTowards(target_, beta);
    ExpectClose(Drive(network_, input_, state, nudge, recording_.loss),
                golden_.Layers("any.drive." + key), kState, "drive " + key);
    if (IsVectorField(network_.model)) continue;
    ExpectClose(Phi(network_, input_, state, nudge, recording_.loss),
                golden_.Get("any.phi." + key), kState, "phi " + key);
    ExpectClose(PhiGradient(network_, input_, {state, beta}, target_),
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
  const at::Tensor output = Output(network_, input_, free);
  ExpectClose(output, golden_.Get("free.output"), kState);
  ExpectClose(LossPerSample(recording_.loss, output, target_),
              golden_.Get("free.loss"), kState);
  EXPECT_TRUE(
      Prediction(network_, input_, free).equal(golden_.Get("free.pred")));
}

TEST_P(GoldenTest, NudgedPhases) {
  ExpectClose(Nudged(beta_), golden_.Layers("plus"), kState, "plus");
  ExpectClose(Nudged(-beta_), golden_.Layers("minus"), kState, "minus");
}

TEST_P(GoldenTest, BothNudgedPhasesAtOnce) {
  const NudgedPair pair = eqprop::NudgedPhases(
      network_, input_, Free(t1_), t2_, target_, beta_, dynamics_, path_);
  ExpectClose(pair.plus, golden_.Layers("plus"), kState, "plus");
  ExpectClose(pair.minus, golden_.Layers("minus"), kState, "minus");
}

TEST_P(GoldenTest, OneSidedGradientOfEitherSign) {
  ExpectEstimate(Estimator::kOneSided, 1, "grad.onesided");
  ExpectEstimate(Estimator::kRandomSign, -1, "grad.onesided_minus");
}

TEST_P(GoldenTest, SymmetricGradient) {
  ExpectEstimate(Estimator::kSymmetric, 1, "grad.symmetric");
}

TEST_P(GoldenTest, BackpropagationThroughTime) {
  const BpttResult result =
      BpttGradient(network_, input_, Free(t1_ - t2_), t2_, target_, dynamics_);
  ExpectClose(result.gradient, golden_.PerParameter("grad.bptt"), kGradient);
  EXPECT_NEAR(LossPerSample(recording_.loss,
                            Output(network_, input_, result.state), target_)
                  .mean()
                  .item<double>(),
              golden_.Number("bptt.loss"), kState);
}

TEST_P(GoldenTest, AnglesOfForwardAndBackwardWeights) {
  const std::vector<double> angles = Angles(network_);
  if (network_.model != Model::kVfCnn) return;
  const at::Tensor expected = golden_.Get("angles").to(at::kDouble);
  ASSERT_EQ(static_cast<int64_t>(angles.size()), expected.numel());
  for (size_t i = 0; i < angles.size(); ++i) {
    EXPECT_NEAR(angles[i], expected[i].item<double>(), 1e-9);
  }
}

// The authors' evaluation squashes the output also where training does not.
TEST_P(GoldenTest, EvaluationWithASquashedOutput) {
  const State state = FreePhase(
      network_, input_, t1_,
      EvaluationDynamics(recording_.loss, network_.softmax, true), path_);
  ExpectClose(Output(network_, input_, state), golden_.Get("evaluate.output"),
              kState);
  EXPECT_TRUE(
      Prediction(network_, input_, state).equal(golden_.Get("evaluate.pred")));
}

TEST_P(GoldenTest, CorrectedEvaluationMovesAsTrainingDoes) {
  const State state = FreePhase(
      network_, input_, t1_,
      EvaluationDynamics(recording_.loss, network_.softmax, false), path_);
  ExpectClose(state, golden_.Layers("free.tT1"), kState);
}

INSTANTIATE_TEST_SUITE_P(
    , GoldenTest,
    testing::Combine(testing::ValuesIn(kRecordings),
                     testing::Values(Path::kFused, Path::kPlain)),
    [](const auto& info) {
      return std::get<0>(info.param).name +
             (std::get<1>(info.param) == Path::kFused ? "_fused" : "_plain");
    });

Architecture SmallCnn() {
  return Convolutional(Model::kCnn, Activation::kMyHardSig, 16, {3, 3, 4, 5},
                       {3, 3, 3}, {1, 1, 1}, {1, 1, 0}, "mmm", {10}, true);
}

TEST(FivePhaseGoldenTest, StatesAndFourthOrderGradient) {
  const Golden golden("fivephase_cnn.pt");
  const Network network = golden.MakeNetwork(SmallCnn());
  const Clamped input = Clamp(network, golden.Get("x"));
  const at::Tensor target = OneHot(golden.Get("y"), network.classes(), input.x);
  EstimateOptions options;
  options.estimator = Estimator::kFivePhase;
  options.beta_2 = golden.Number("beta");
  options.steps = static_cast<int64_t>(golden.Number("T2"));
  options.dynamics = TrainingDynamics(Loss::kCel, network.softmax);
  const State free =
      FreePhase(network, input, static_cast<int64_t>(golden.Number("T1")),
                options.dynamics, Path::kFused);
  for (const int k : {1, -1, 2, -2}) {
    ExpectClose(NudgedPhase(network, input, free, options.steps,
                            NudgeTowards(target, k * options.beta_2),
                            options.dynamics, Path::kFused),
                golden.Layers("state." + std::to_string(k)), kState);
  }
  ExpectClose(EstimateGradient(network, input, free, target, 1, options),
              golden.PerParameter("grad"), kGradient);
}

class ContinualGoldenTest : public testing::Test {
 protected:
  // One minibatch of continual updates; returns the parameters after it.
  std::vector<at::Tensor> After(const std::string& which) {
    const Network network = golden_.MakeNetwork(Activation::kMysig);
    EstimateOptions options;
    options.estimator =
        which == "third" ? Estimator::kSymmetric : Estimator::kOneSided;
    options.beta_2 = golden_.Number("beta");
    options.steps = static_cast<int64_t>(golden_.Number("T2"));
    options.dynamics = TrainingDynamics(Loss::kMse);
    const auto parameters = Parameters(network);
    std::vector<training::ParameterGroup> groups;
    for (int64_t g = 0; g < 2; ++g) {
      const double rate = golden_.Get("lrs")[g].item<double>();
      double decay = golden_.Get("wds")[g].item<double>();
      if (which == "plain" || which == "third") decay = 0;
      if (which == "decay") {
        decay = ContinualWeightDecay(decay, rate, options.steps);
      }
      groups.push_back(
          {{parameters[2 * g], parameters[2 * g + 1]}, rate, decay});
    }
    training::Optimizer sgd = training::Optimizer::Sgd(std::move(groups), 0);
    const at::Tensor x = golden_.Get("x").flatten(1);
    const Clamped input = Clamp(network, x);
    const at::Tensor target =
        OneHot(golden_.Get("y"), network.classes(), input.x);
    const State free =
        FreePhase(network, input, static_cast<int64_t>(golden_.Number("T1")),
                  options.dynamics, Path::kFused);
    (which == "debug" ? ContinualUpdatesAsOne : ContinualUpdates)(
        network, x, free, target, 1, options, sgd);
    std::vector<at::Tensor> after;
    after.reserve(parameters.size());
    for (const auto& [name, tensor] : parameters) after.push_back(tensor);
    return after;
  }

  const Golden golden_{"cep_mlp.pt"};
};

TEST_F(ContinualGoldenTest, UpdatesOfOneMinibatch) {
  for (const char* which : {"plain", "decay", "third", "debug"}) {
    ExpectClose(After(which),
                golden_.PerParameter(std::string("after.") + which), 1e-11,
                which);
  }
}

TEST(DropoutGoldenTest, StatesAndGradientUnderTheRecordedMasks) {
  const Golden golden("dropout_cnn.pt");
  const Network network = golden.MakeNetwork(SmallCnn());
  const at::Tensor keep = golden.Get("keep").to(at::kDouble);
  const std::vector<double> q(keep.data_ptr<double>(),
                              keep.data_ptr<double>() + keep.numel());
  State masks = golden.Layers("mask");
  const at::Tensor x = golden.Get("x") * masks.front();
  masks.erase(masks.begin());
  const std::vector<double> factors =
      DropoutFactors(q, false, Semantics::kReference);
  const Clamped input = Clamp(network, x, {masks, factors});
  const at::Tensor target = OneHot(golden.Get("y"), network.classes(), x);
  EstimateOptions options;
  options.estimator = Estimator::kSymmetric;
  options.beta_2 = golden.Number("beta");
  options.steps = static_cast<int64_t>(golden.Number("T2"));
  options.dynamics = TrainingDynamics(Loss::kCel, true);
  const auto t1 = static_cast<int64_t>(golden.Number("T1"));
  for (const Path path : {Path::kFused, Path::kPlain}) {
    options.path = path;
    const State free = FreePhase(network, input, t1, options.dynamics, path);
    ExpectClose(free, golden.Layers("free"), kGradient, "free");
    const NudgedPair pair =
        NudgedPhases(network, input, free, options.steps, target,
                     options.beta_2, options.dynamics, path);
    ExpectClose(pair.plus, golden.Layers("plus"), kGradient, "plus");
    ExpectClose(pair.minus, golden.Layers("minus"), kGradient, "minus");
    ExpectClose(EstimateGradient(network, input, free, target, 1, options),
                golden.PerParameter("grad"), kGradient, "gradient");
    ExpectClose(
        FreePhase(network, Clamp(network, golden.Get("x"), {{}, factors}), t1,
                  options.dynamics, path),
        golden.Layers("eval.free"), kGradient, "evaluation");
  }
}

TEST(DropoutFactorsTest, TakeTheTopLayersFromTheEntryBeforeTheLast) {
  const std::vector<double> keep = {1, 1, 1, 0.9, 0.8};
  EXPECT_EQ(DropoutFactors(keep, false, Semantics::kReference),
            (std::vector<double>{1, 1, 0.9, 0.9}));
  EXPECT_EQ(DropoutFactors(keep, true, Semantics::kReference),
            (std::vector<double>{1, 1, 0.9, 0.8}));
  EXPECT_EQ(DropoutFactors(keep, false, Semantics::kCorrected),
            (std::vector<double>{1, 1, 0.9, 0.8}));
}

// Windows of equal values are among the recorded ones.
TEST(PoolingGoldenTest, PoolUnpoolAndGather) {
  const Golden golden("pooling.pt");
  const std::pair<const char*, Pool> kPools[] = {
      {"m", Pool::kMax}, {"a", Pool::kAverage}, {"i", Pool::kNone}};
  for (const std::string size : {"even", "odd"}) {
    for (const auto& [letter, pool] : kPools) {
      const std::string key = size + "." + letter;
      const Pooled pooled = PoolForward(pool, golden.Get(size + ".z"));
      const double tolerance = pool == Pool::kAverage ? 1e-15 : 0;
      ExpectClose(pooled.p, golden.Get(key + ".pooled"), tolerance, key);
      ExpectClose(Unpool(pool, golden.Get(key + ".v"), pooled),
                  golden.Get(key + ".unpooled"), tolerance, key);
      ExpectClose(Gather(pool, golden.Get(key + ".e"), pooled),
                  golden.Get(key + ".linearised"), tolerance, key);
    }
  }
}

}  // namespace
}  // namespace altprop::eqprop
