#include "ftprop/network.h"

#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/max_pool2d.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/models/init.h"
#include "ftprop/loss.h"
#include "ftprop/network_test_util.h"
#include "ftprop/test_util.h"
#include "gtest/gtest.h"
#include "torch/csrc/autograd/autograd.h"
#include "torch/csrc/autograd/variable.h"

namespace altprop::ftprop {
namespace {

// ---- The authors' program ----

class ModelGolden : public ::testing::TestWithParam<const char*> {};

// One forward and backward pass in training mode, then evaluation.
void ExpectPass(const Golden& golden, const std::string& model,
                const std::string& setting) {
  const std::vector<std::string> parts = absl::StrSplit(setting, '.');
  const Threshold threshold =
      ThresholdOf(parts[0], parts[1], parts[2] == "scaled");
  const NetworkSpec spec = SpecOf(model);
  const Network network = MakeFilled(spec, threshold);
  const Fixture fixture = FixtureOf(spec);
  const std::string root = setting + "/";
  // Batch norm over few +-1 values meets channels of variance 0, where
  // 1 / sqrt(eps) multiplies every rounding.
  const double tolerance =
      absl::StrContains(model, "convnet4_bn") ? 1e-6 : 1e-9;

  std::vector<at::Tensor> inputs, outputs;
  Pass pass;
  pass.training = true;
  pass.inputs = &inputs;
  pass.outputs = &outputs;
  const at::Tensor logits = Forward(network, fixture.x, pass);
  const at::Tensor loss =
      OutputLoss(*ParseLoss(parts[3]), logits, fixture.labels);
  golden.Expect(root + "loss", loss, tolerance);
  const at::Tensor expected_logits = golden.Get(root + "logits");
  ExpectNear(logits.slice(1, 0, expected_logits.size(1)), expected_logits,
             tolerance, root + "logits");
  std::vector<double> norms, means;
  std::vector<at::Tensor> first;
  for (size_t l = 0; l < inputs.size(); ++l) {
    first.push_back(inputs[l].detach().flatten().slice(0, 0, 32));
    norms.push_back(inputs[l].norm().item<double>());
    means.push_back(outputs[l].mean().item<double>());
  }
  ExpectNear(at::stack(first), golden.Get(root + "preact0_first32"), tolerance,
             root + "preact0");
  ExpectNear(at::tensor(norms), golden.Get(root + "preact_norm"), tolerance,
             root + "preact_norm");
  ExpectNear(at::tensor(means), golden.Get(root + "act_mean"), tolerance,
             root + "act_mean");

  const std::vector<at::Tensor> gradients = Gradients(network, loss);
  size_t next = 0;
  for (const auto& [name, tensor] : network.state.parameters()) {
    golden.Expect(root + "grad/" + name, gradients[next++], tolerance);
  }
  int buffers = 0;
  for (const auto& [name, tensor] : network.state.entries()) {
    const std::string key = root + "buffer/" + name;
    // Not kept of batch norm on [N, C], which their program cannot run today.
    if (!golden.Has(key)) continue;
    const at::Tensor expected = golden.Get(key);
    ++buffers;
    ExpectNear(tensor.slice(0, 0, expected.numel()), expected, tolerance, key);
  }
  EXPECT_GE(buffers, spec.batch_norm ? 2 : 0);
  const at::NoGradGuard no_grad;
  const at::Tensor expected_eval = golden.Get(root + "eval_logits");
  ExpectNear(Forward(network, fixture.x, {}).slice(1, 0, expected_eval.size(1)),
             expected_eval, tolerance, root + "eval_logits");
}

TEST_P(ModelGolden, EqualsTheAuthorsProgram) {
  const std::string model = GetParam();
  const Golden golden(absl::StrCat("model_", model, ".pt"));
  std::string last;
  for (const std::string& key : golden.Keys()) {
    const std::string setting = key.substr(0, key.find('/'));
    if (setting == last) continue;
    ExpectPass(golden, model, setting);
    last = setting;
  }
}

INSTANTIATE_TEST_SUITE_P(
    , ModelGolden,
    ::testing::Values("convnet4_cifar", "convnet4_mnist", "convnet4_bn_cifar",
                      "convnet4_bn_mnist", "convnet8_cifar",
                      "convnet8_bn_cifar", "convnet8_bn_svhn", "resnet18_cifar",
                      "resnet18_imagenet", "alexnet_drf"),
    [](const auto& info) { return std::string(info.param); });

// shapes.txt: "# model", then "name sizes" lines.
TEST(Networks, HaveTheAuthorsNamesAndShapes) {
  std::map<std::string, std::vector<std::string>> expected;
  std::ifstream file("ftprop/testdata/shapes.txt");
  std::string model;
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, "# ")) {
      model = line.substr(2);
    } else {
      expected[model].push_back(line);
    }
  }
  EXPECT_EQ(expected.size(), 10u);
  for (const auto& [name, lines] : expected) {
    const NetworkSpec spec = SpecOf(name);
    const Network network = MakeNetwork(
        spec, std::vector<Threshold>(HiddenLayers(spec.architecture)),
        models::SeededGenerator(0));
    std::vector<std::string> ours;
    for (const auto& [tensor_name, tensor] : network.state.entries()) {
      ours.push_back(
          absl::StrCat(tensor_name, " ", absl::StrJoin(tensor.sizes(), ",")));
    }
    EXPECT_EQ(ours, lines) << name;
  }
}

TEST(Networks, HaveThePublishedNumbersOfParameters) {
  for (const auto& [name, expected] :
       std::vector<std::pair<std::string, int64_t>>{
           {"convnet4_cifar", 4259274},
           {"convnet4_bn_cifar", 4261450},
           {"convnet4_mnist", 3274634},
           {"convnet4_bn_mnist", 3276810},
           {"convnet8_bn_cifar", 1492554},
           {"convnet8_cifar", 1491530},
           {"convnet8_bn_svhn", 2082378},
           {"convnet8_svhn", 2081354},
           {"alexnet_drf", 62394344},
           {"resnet18_imagenet", 11689512},
           {"resnet18_cifar", 11173962}}) {
    const NetworkSpec spec = SpecOf(name);
    const Network network = MakeNetwork(
        spec, std::vector<Threshold>(HiddenLayers(spec.architecture)),
        models::SeededGenerator(0));
    int64_t count = 0;
    for (const auto& [parameter, tensor] : network.state.parameters()) {
      count += tensor.numel();
    }
    EXPECT_EQ(count, expected) << name;
  }
  NetworkSpec hundred = SpecOf("resnet18_cifar");
  hundred.classes = 100;
  int64_t count = 0;
  const Network network = MakeNetwork(hundred, std::vector<Threshold>(17),
                                      models::SeededGenerator(0));
  for (const auto& [parameter, tensor] : network.state.parameters()) {
    count += tensor.numel();
  }
  EXPECT_EQ(count, 11220132);
}

TEST(Networks, RefuseImagesThatDoNotFit) {
  for (const auto& [name, side] :
       std::vector<std::pair<std::string, int64_t>>{{"convnet4_cifar", 30},
                                                    {"convnet8_cifar", 28},
                                                    {"resnet18_cifar", 40},
                                                    {"resnet18_imagenet", 256},
                                                    {"alexnet_drf", 256}}) {
    NetworkSpec spec = SpecOf(name);
    EXPECT_TRUE(CheckSpec(spec).ok()) << name;
    spec.side = side;
    EXPECT_FALSE(CheckSpec(spec).ok()) << name;
  }
  NetworkSpec spec = SpecOf("resnet18_cifar");
  spec.batch_norm = false;
  EXPECT_FALSE(CheckSpec(spec).ok());
}

// ---- Two layers by hand ----

// (1, .5) of class 0 and (-.4, .8) of class 1 through two units each.
struct TwoLayers {
  at::Tensor loss;
  std::vector<at::Tensor> gradients;  // W1, b1, W2, b2
};

TwoLayers RunTwoLayers(const Threshold& threshold) {
  Network network;
  network.hidden = {threshold};
  const auto leaf = [](std::vector<double> values, at::IntArrayRef shape) {
    return at::tensor(values).view(shape).clone();
  };
  models::Linear first{leaf({.5, -1, 1.5, .25}, {2, 2}), leaf({.1, -.2}, {2})};
  models::Linear second{leaf({1, -.5, -.75, .5}, {2, 2}), leaf({0, .1}, {2})};
  network.state.Add("1", first);
  network.state.Add("2", second);
  network.state.RequireGradients();
  network.layers = {first, Hidden{0}, second};
  const at::Tensor x = at::tensor({1.0, 0.5, -0.4, 0.8}).view({2, 2});
  const at::Tensor loss =
      OutputLoss(Loss::kCrossEntropy, Forward(network, x, {}),
                 at::tensor({0, 1}, at::kLong));
  return {loss, Gradients(network, loss)};
}

TEST(TwoLayers, HaveTheValuesWorkedOutByHand) {
  const auto expect = [](const Threshold& threshold, double loss,
                         std::vector<double> w1, std::vector<double> b1) {
    const TwoLayers got = RunTwoLayers(threshold);
    const std::string what = NonlinearityName(threshold.nonlinearity);
    EXPECT_NEAR(got.loss.item<double>(), loss, 1e-10) << what;
    ExpectNear(got.gradients[0].flatten(), at::tensor(w1), 1e-9, what);
    ExpectNear(got.gradients[1], at::tensor(b1), 1e-9, what);
  };
  expect(ThresholdOf("step11", "SoftHinge", true), .3879602021,
         {-.348164252, -.046507951, .078073083, -.067498340},
         {-.169560407, -.071075751});
  expect(ThresholdOf("step11", "SoftHinge", false), .3879602021,
         {-.592416618, -.052749628, .245698094, -.232939834},
         {-.251574465, -.252406340});
  expect(ThresholdOf("step11", "SSTE", true), .3879602021,
         {-.404917345, .059545078, .059886572, -.119773143},
         {-.038112095, -.149716429});
  expect(ThresholdOf("step01", "SoftHinge", true), .5322259979,
         {-.378088140, .013339826, .103061979, -.117476134},
         {-.094750686, -.133547993});
  expect(ThresholdOf("staircase3", "SoftHinge", false), .8144402806,
         {-.282464117, -.133890726, .056674885, .004374771},
         {-.272186251, .023127144});
  expect(ThresholdOf("threshrelu", "SoftHinge", true), .9516941323,
         {-.626552320, -.313276160, 0, 0}, {-.626552320, 0});
  expect(ThresholdOf("relu", "SoftHinge", true), 1.1124526157,
         {-.694863425, -.347431712, .397064814, .198532407},
         {-.694863425, .397064814});
}

// ---- Properties ----

// Mean losses do not see how often a sample stands in the batch; unscaled rules
// divide by the batch's size for that.
TEST(Networks, DuplicatedSamplesLeaveTheGradients) {
  for (const bool scaled : {true, false}) {
    NetworkSpec spec = SpecOf("convnet4_mnist");
    spec.widths = {4, 6, 20};
    const Network network =
        MakeFilled(spec, ThresholdOf("staircase3", "SoftHinge", scaled));
    const Fixture fixture = FixtureOf(spec);
    const auto gradients = [&](const at::Tensor& x, const at::Tensor& labels) {
      Pass pass;
      pass.training = true;
      return Gradients(network, OutputLoss(Loss::kCrossEntropy,
                                           Forward(network, x, pass), labels));
    };
    const auto once = gradients(fixture.x, fixture.labels);
    const auto twice =
        gradients(fixture.x.repeat({2, 1, 1, 1}), fixture.labels.repeat({2}));
    for (size_t i = 0; i < once.size(); ++i) {
      ExpectNear(twice[i], once[i], 1e-13, absl::StrCat("tensor ", i));
    }
  }
}

// Unscaled hidden losses see only signs of what comes from above.
TEST(Networks, UnscaledRulesCutTheLossesMagnitude) {
  NetworkSpec spec = SpecOf("convnet4_mnist");
  spec.widths = {4, 6, 20};
  const Network network =
      MakeFilled(spec, ThresholdOf("step11", "SoftHinge", false));
  const Fixture fixture = FixtureOf(spec);
  const auto gradients = [&](double factor) {
    return Gradients(
        network,
        factor * OutputLoss(Loss::kCrossEntropy,
                            Forward(network, fixture.x, {}), fixture.labels));
  };
  const auto one = gradients(1), seven = gradients(7);
  for (size_t i = 0; i < one.size(); ++i) {
    const bool last = i + 2 >= one.size();
    ExpectNear(seven[i], last ? 7 * one[i] : one[i], 1e-13,
               absl::StrCat("tensor ", i));
  }
}

TEST(Networks, LastBiasHasTheGradientOfSoftmax) {
  for (const char* nonlin : {"step11", "staircase", "relu"}) {
    const NetworkSpec spec = SpecOf("convnet4_mnist");
    const Network network =
        MakeFilled(spec, ThresholdOf(nonlin, "SoftHinge", true));
    const Fixture fixture = FixtureOf(spec);
    const at::Tensor logits = Forward(network, fixture.x, {});
    const auto gradients = Gradients(
        network, OutputLoss(Loss::kCrossEntropy, logits, fixture.labels));
    at::Tensor difference = logits.detach().softmax(1);
    difference.scatter_add_(1, fixture.labels.unsqueeze(1),
                            -at::ones({4, 1}, at::kDouble));
    ExpectNear(gradients.back(), difference.mean(0), 1e-14, nonlin);
  }
}

// With relu the gradients are the true ones; with a step only the last
// layer's are, and all earlier ones are not, since the true ones are 0.
TEST(Networks, FiniteDifferencesAgreeWhereTheyShould) {
  for (const bool step : {false, true}) {
    NetworkSpec spec = SpecOf("convnet4_mnist");
    spec.widths = {3, 4, 12};
    const Network network = MakeFilled(
        spec, ThresholdOf(step ? "step11" : "relu", "SoftHinge", true));
    const Fixture fixture = FixtureOf(spec);
    const auto loss = [&] {
      return OutputLoss(Loss::kCrossEntropy, Forward(network, fixture.x, {}),
                        fixture.labels);
    };
    const auto gradients = Gradients(network, loss());
    const at::NoGradGuard no_grad;
    const auto& parameters = network.state.parameters();
    for (size_t i = 0; i < parameters.size(); ++i) {
      at::Tensor element = parameters[i].second.flatten()[1];
      const double before = element.item<double>(), h = 1e-6;
      element.fill_(before + h);
      const double up = loss().item<double>();
      element.fill_(before - h);
      const double down = loss().item<double>();
      element.fill_(before);
      const double slope = (up - down) / (2 * h);
      const double got = gradients[i].flatten()[1].item<double>();
      if (!step || i + 2 >= parameters.size()) {
        EXPECT_NEAR(got, slope, 1e-7) << parameters[i].first;
      } else {
        EXPECT_EQ(slope, 0) << parameters[i].first;
        EXPECT_NE(got, 0) << parameters[i].first;
      }
    }
  }
}

// Among equal values, and a step's outputs are, the first in row-major order
// gets the gradient, however the channels lie.
TEST(MaxPool, GivesTiesToTheFirst) {
  const at::Tensor plain = Sequence(5, {2, 8, 9, 9}).sign();
  const auto gradient = [](const at::Tensor& x) {
    const at::Tensor leaf = x.detach().clone().set_requires_grad(true);
    const at::Tensor y = at::max_pool2d(leaf, 3, 2, 1);
    return torch::autograd::grad({y.sum()}, {leaf})[0];
  };
  const at::Tensor expected = gradient(plain);
  for (const auto type : {at::kDouble, at::kFloat}) {
    const at::Tensor last =
        plain.to(type).contiguous(at::MemoryFormat::ChannelsLast);
    EXPECT_TRUE(at::equal(gradient(last).to(at::kDouble), expected));
  }
  EXPECT_TRUE(at::equal(gradient(at::ones({1, 1, 2, 2}, at::kDouble)).flatten(),
                        at::tensor({1.0, 0.0, 0.0, 0.0})));
}

// The same function and gradients, up to rounding; a differentiable network, in
// which rounding flips nothing.
TEST(ChannelsLast, IsALayoutOnly) {
  const NetworkSpec spec = SpecOf("convnet8_bn_cifar");
  const auto run = [&](bool last) {
    Network network = MakeNetwork(
        spec, std::vector<Threshold>(7, ThresholdOf("relu", "SoftHinge")),
        models::SeededGenerator(0));
    network.state.ConvertTo(at::kDouble, at::kCPU);
    Fill(network.state.parameters());
    if (last) UseChannelsLast(network);
    network.state.RequireGradients();
    const Fixture fixture = FixtureOf(spec);
    Pass pass;
    pass.training = true;
    return Gradients(
        network, OutputLoss(Loss::kCrossEntropy,
                            Forward(network, fixture.x, pass), fixture.labels));
  };
  const auto plain = run(false), last = run(true);
  for (size_t i = 0; i < plain.size(); ++i) {
    ExpectNear(last[i], plain[i], 1e-10, absl::StrCat("tensor ", i));
  }
}

TEST(Dropout, DropsAboutTheShareAndKeepsTheMean) {
  const at::Tensor mask = DropoutMask(200, 100, 0.5, 7, 3);
  EXPECT_EQ(mask.sizes(), at::IntArrayRef({200, 100, 1, 1}));
  EXPECT_TRUE(mask.eq(0).logical_or(mask.eq(2)).all().item<bool>());
  // 20,000 coins: five standard deviations are 0.035.
  EXPECT_NEAR(mask.mean().item<double>(), 1, 0.035);
  EXPECT_TRUE(at::equal(mask, DropoutMask(200, 100, 0.5, 7, 3)));
  EXPECT_FALSE(at::equal(mask, DropoutMask(200, 100, 0.5, 7, 4)));
  EXPECT_FALSE(at::equal(mask, DropoutMask(200, 100, 0.5, 8, 3)));
  // A sample's draws do not depend on how many follow it.
  EXPECT_TRUE(at::equal(mask.slice(0, 0, 5), DropoutMask(5, 100, 0.5, 7, 3)));
  EXPECT_TRUE(DropoutMask(3, 4, 1, 0, 0).eq(0).all().item<bool>());
}

TEST(Dropout, ActsInTrainingAlone) {
  const NetworkSpec spec = SpecOf("convnet8_bn_cifar");
  const Network network =
      MakeFilled(spec, ThresholdOf("staircase3", "SoftHinge", true));
  const at::NoGradGuard no_grad;
  const at::Tensor x = FixtureOf(spec).x;
  Pass pass;
  pass.dropout = 0.5;
  EXPECT_TRUE(at::equal(Forward(network, x, pass), Forward(network, x, {})));
  pass.training = true;
  Pass plain;
  plain.training = true;
  EXPECT_FALSE(
      at::equal(Forward(network, x, pass), Forward(network, x, plain)));
}

TEST(BatchNorm, DrawsItsWeightsWhereAsked) {
  NetworkSpec spec = SpecOf("convnet8_bn_cifar");
  for (const bool uniform : {false, true}) {
    spec.uniform_bn_weights = uniform;
    const Network network = MakeNetwork(spec, std::vector<Threshold>(7),
                                        models::SeededGenerator(5));
    for (const auto& [name, tensor] : network.state.parameters()) {
      if (!absl::EndsWith(name, "batchnorm6.weight")) continue;
      EXPECT_EQ(tensor.eq(1).all().item<bool>(), !uniform);
      EXPECT_TRUE(tensor.ge(0).logical_and(tensor.le(1)).all().item<bool>());
    }
  }
}

}  // namespace
}  // namespace altprop::ftprop
