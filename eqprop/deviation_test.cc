#include "eqprop/deviation.h"

#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/rand.h"
#include "common/models/init.h"
#include "eqprop/dropout.h"
#include "eqprop/estimate.h"
#include "eqprop/phases.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

struct Kind {
  const char* name;
  Architecture architecture;
  Loss loss;
  bool dropout = false;
};

Architecture Perceptron(Model model, Activation activation) {
  Architecture a;
  a.model = model;
  a.activation = activation;
  a.archi = {12, 9, 7, 4};
  return a;
}

Architecture Images(Model model, Activation activation,
                    const std::string& pools, bool softmax) {
  return Convolutional(model, activation, 13, {2, 4, 5}, {3, 3}, {1, 1}, {1, 1},
                       pools, {6, 4}, softmax);
}

// Dropped units make equal windows, whose maximum rounding would move: without
// pooling there is no such choice between fixed points.
const Kind kKinds[] = {
    {"mlp", Perceptron(Model::kMlp, Activation::kMysig), Loss::kMse},
    {"mlp_linear", Perceptron(Model::kMlp, Activation::kHardSigmoid),
     Loss::kCel},
    {"vfmlp", Perceptron(Model::kVfMlp, Activation::kTanh), Loss::kMse},
    {"cnn", Images(Model::kCnn, Activation::kMyHardSig, "mm", false),
     Loss::kMse},
    {"cnn_average", Images(Model::kCnn, Activation::kMysig, "ai", false),
     Loss::kCel},
    {"cnn_softmax", Images(Model::kCnn, Activation::kMyHardSig, "mm", true),
     Loss::kCel},
    {"cnn_dropout", Images(Model::kCnn, Activation::kCtrdHardSig, "mi", true),
     Loss::kCel, true},
    {"vfcnn", Images(Model::kVfCnn, Activation::kMyHardSig, "mm", true),
     Loss::kCel},
};

class DeviationTest : public testing::TestWithParam<Kind> {
 protected:
  void Make(at::ScalarType dtype) {
    at::Generator generator = models::SeededGenerator(3);
    network_ = ConvertNetwork(
        MakeNetwork(GetParam().architecture, std::nullopt, generator), dtype,
        at::kCPU);
    std::vector<int64_t> shape = {4, 12};
    if (GetParam().architecture.convolutional()) shape = {4, 2, 13, 13};
    at::Tensor x = at::rand(shape, generator, at::kDouble).to(dtype);
    Dropout dropout;
    if (GetParam().dropout) {
      const std::vector<double> keep = {1, 0.8, 0.9, 0.7};
      DroppedInput dropped = DrawDropout(network_, x, keep, {0.8, 0.9, 0.9},
                                         /*seed=*/1, /*step=*/0);
      x = dropped.x;
      dropout = dropped.dropout;
    }
    input_ = Clamp(network_, x, dropout);
    dynamics_ = TrainingDynamics(GetParam().loss, network_.softmax);
    target_ = OneHot(at::rand({4}, generator).mul(4).to(at::kLong),
                     network_.classes(), x);
  }

  Network network_;
  Clamped input_;
  Dynamics dynamics_;
  at::Tensor target_;
};

// With operands of the states' own type there is nothing to round, so both are
// the exact dynamics, from a state that has converged or not.
TEST_P(DeviationTest, EqualsTheDynamicsWithoutRounding) {
  Make(at::kDouble);
  const Nudge nudge = NudgeTowards(target_, 0.5);
  for (const int64_t t1 : {3, 80}) {
    const State zero = ZeroState(network_, input_);
    const State free = Relax(network_, input_, zero, t1, {}, dynamics_);
    ExpectClose(
        RelaxRounded(network_, input_, zero, t1, {}, dynamics_, at::kDouble),
        free, 1e-12, "free");
    ExpectClose(RelaxDeviation(network_, input_, free, 9, nudge, dynamics_,
                               at::kDouble),
                Relax(network_, input_, free, 9, nudge, dynamics_), 1e-12,
                "nudged");
  }
}

// What it is for: a gradient in bfloat16 that points where the exact one does,
// in every layer.
TEST_P(DeviationTest, KeepsTheGradientsDirectionInBf16) {
  Make(at::kFloat);
  EstimateOptions options;
  options.estimator = Estimator::kSymmetric;
  options.beta_2 = 0.5;
  options.steps = 10;
  options.dynamics = dynamics_;
  const auto gradient = [&](Path path) {
    options.path = path;
    const State free = FreePhase(network_, input_, 60, dynamics_, path);
    return EstimateGradient(network_, input_, free, target_, 1, options);
  };
  const std::vector<at::Tensor> exact = gradient(Path::kPlain);
  const std::vector<at::Tensor> rounded = gradient(Path::kBf16);
  for (size_t i = 0; i < exact.size(); ++i) {
    const double cosine =
        ((exact[i] * rounded[i]).sum() / (exact[i].norm() * rounded[i].norm()))
            .item<double>();
    EXPECT_GT(cosine, 0.99) << Parameters(network_)[i].first;
  }
}

INSTANTIATE_TEST_SUITE_P(, DeviationTest, testing::ValuesIn(kKinds),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace altprop::eqprop
