// One forward and backward pass: recordings of the authors' classes, in double.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/log_softmax.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "gtest/gtest.h"
#include "iterbin/perceptron.h"
#include "iterbin/score.h"
#include "iterbin/test_util.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::iterbin {
namespace {

at::Tensor Leaf(const at::Tensor& tensor) {
  return tensor.detach().clone().requires_grad_(true);
}

TEST(Golden, SignOfAMaster) {
  const Golden golden("layers.pt");
  EXPECT_TRUE(at::equal(Effective(golden.Get("sign/master"), true),
                        golden.Get("sign/effective")));
}

struct LayerCase {
  const char* name;
  int64_t stride, padding;
};

class LayerGolden : public ::testing::TestWithParam<LayerCase> {};

// A network of this layer alone would add a batch norm, so the layer stands
// where a ResNet has its classifier: after the mean, without one.
TEST_P(LayerGolden, ForwardAndBackward) {
  const auto [name, stride, padding] = GetParam();
  const Golden golden("layers.pt");
  const std::string base = absl::StrCat(name, "/");
  Layer layer{name, 1, golden.Get(base + "w"), {}, stride, padding};
  if (golden.Has(base + "b")) layer.bias = golden.Get(base + "b");
  Network network;
  network.kind = Kind::kResNet20;
  network.layers = {layer};
  for (const bool flag : {false, true}) {
    const std::string at = absl::StrCat(base, "flag", flag ? 1 : 0, "/");
    Weights w = EffectiveWeights(network, {flag});
    EXPECT_TRUE(at::equal(w.weight[0], golden.Get(at + "effective"))) << at;
    w.weight[0] = Leaf(w.weight[0]);
    std::vector<at::Tensor> leaves = {Leaf(golden.Get(base + "x")),
                                      w.weight[0]};
    if (layer.bias.defined()) {
      w.bias[0] = Leaf(w.bias[0]);
      leaves.push_back(w.bias[0]);
    }
    const at::Tensor y = ApplyLayer(network, w, 0, leaves[0], at::kDouble);
    ExpectClose(y, golden.Get(at + "y"), 1e-13, at + "y");
    const auto gradients =
        torch::autograd::grad({y}, leaves, {golden.Get(base + "grad_y")});
    ExpectClose(gradients[0], golden.Get(at + "grad_x"), 1e-13, at + "grad_x");
    ExpectClose(gradients[1], golden.Get(at + "grad_w"), 1e-13, at + "grad_w");
    if (layer.bias.defined()) {
      ExpectClose(gradients[2], golden.Get(at + "grad_b"), 1e-13,
                  at + "grad_b");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, LayerGolden,
                         ::testing::Values(LayerCase{"linear", 1, 0},
                                           LayerCase{"linear_nobias", 1, 0},
                                           LayerCase{"conv3x3", 1, 1},
                                           LayerCase{"conv3x3_s2", 2, 1},
                                           LayerCase{"conv1x1_s2", 2, 0},
                                           LayerCase{"conv7x7_s2", 2, 3},
                                           LayerCase{"linear_b", 1, 0}),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(Golden, LossesAndShortcut) {
  const Golden golden("losses_shortcut.pt");
  const at::Tensor labels = golden.Get("labels");
  Network plain, residual;
  residual.kind = Kind::kResNet20;
  const at::Tensor logits = Leaf(golden.Get("logits"));
  const at::Tensor nll = Loss(plain, at::log_softmax(logits, 1), labels);
  ExpectClose(nll, golden.Get("nll_logsoftmax/loss"), 1e-13);
  ExpectClose(torch::autograd::grad({nll}, {logits})[0],
              golden.Get("nll_logsoftmax/grad"), 1e-13);
  const at::Tensor entropy = Loss(residual, logits, labels);
  ExpectClose(entropy, golden.Get("cross_entropy/loss"), 1e-13);
  ExpectClose(torch::autograd::grad({entropy}, {logits})[0],
              golden.Get("cross_entropy/grad"), 1e-13);
  EXPECT_TRUE(at::equal(PaddedShortcut(golden.Get("option_a/x"), 32),
                        golden.Get("option_a/y")));
  ExpectClose(MeanOfMap(golden.Get("avgpool/x")), golden.Get("avgpool/y"),
              1e-13);
  const training::Score score =
      ScoreOf(golden.Get("logits"), labels, /*loss=*/0, /*top5=*/true);
  // Recorded in float32.
  EXPECT_NEAR(100 * score.accuracy(), golden.Number("top1_percent"), 1e-5);
  EXPECT_NEAR(100 * score.accuracy5(), golden.Number("top5_percent"), 1e-5);
}

struct BlockCase {
  const char* name;
  Kind kind;
  int64_t stride;
  bool projects;
};

class BlockGolden : public ::testing::TestWithParam<BlockCase> {};

TEST_P(BlockGolden, ForwardAndBackward) {
  const BlockCase& block = GetParam();
  const Golden golden("blocks.pt");
  const std::string base = absl::StrCat(block.name, "/");
  std::vector<std::pair<std::string, std::string>> modules = {{"conv1", "bn1"},
                                                              {"conv2", "bn2"}};
  if (block.projects) modules.emplace_back("downsample.0", "downsample.1");
  for (const bool flag : {false, true}) {
    const std::string at = absl::StrCat(base, "flag", flag ? 1 : 0, "/");
    Network network;
    network.kind = block.kind;
    for (const auto& [conv, norm] : modules) {
      const at::Tensor weight =
          golden.Get(absl::StrCat(base, "param/", conv, ".weight"));
      network.layers.push_back({conv,
                                0,
                                weight,
                                {},
                                conv == "conv2" ? 1 : block.stride,
                                conv == "downsample.0" ? 0 : 1});
      network.norms.push_back(models::MakeBatchNorm(weight.size(0)));
      network.norm_names.push_back(norm);
    }
    FillFrom(golden, base + "param/", network);
    Weights w = EffectiveWeights(network, Flags(modules.size(), flag));
    std::vector<at::Tensor> leaves = {Leaf(golden.Get(base + "x"))};
    std::vector<std::string> names;
    for (size_t i = 0; i < modules.size(); ++i) {
      for (at::Tensor* t :
           {&w.weight[i], &w.norms[i].weight, &w.norms[i].bias}) {
        *t = Leaf(*t);
        leaves.push_back(*t);
      }
      names.push_back(modules[i].first + ".weight");
      names.push_back(modules[i].second + ".weight");
      names.push_back(modules[i].second + ".bias");
    }
    size_t first = 0;
    const at::Tensor y =
        ResidualBlock(network, w, first, leaves[0], true, at::kDouble);
    EXPECT_EQ(first, modules.size());
    ExpectClose(y, golden.Get(at + "y"), 1e-11, at + "y");
    const auto gradients =
        torch::autograd::grad({y}, leaves, {golden.Get(base + "grad_y")});
    ExpectClose(gradients[0], golden.Get(at + "grad_x"), 1e-11, at + "x");
    for (size_t i = 0; i < names.size(); ++i) {
      ExpectClose(gradients[i + 1], golden.Get(at + "grad/" + names[i]), 1e-11,
                  at + names[i]);
    }
    // Of the running statistics the recording holds the last pass only.
    for (size_t i = 0; flag && i < modules.size(); ++i) {
      const std::string after = at + "after/" + modules[i].second;
      ExpectClose(network.norms[i].running_mean,
                  golden.Get(after + ".running_mean"), 1e-11, after);
      ExpectClose(network.norms[i].running_var,
                  golden.Get(after + ".running_var"), 1e-11, after);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , BlockGolden,
    ::testing::Values(BlockCase{"cifar_identity", Kind::kResNet20, 1, false},
                      BlockCase{"cifar_down", Kind::kResNet20, 2, false},
                      BlockCase{"imagenet_identity", Kind::kResNet21, 1, false},
                      BlockCase{"imagenet_down", Kind::kResNet21, 2, true}),
    [](const auto& info) { return std::string(info.param.name); });

bool BiasBeforeNorm(const Network& network, const std::string& name) {
  for (size_t i = 0; i < network.norms.size(); ++i) {
    if (name == network.layers[i].name + ".bias") return true;
  }
  return false;
}

at::Tensor EvaluationOutput(const Network& network, const Flags& flags,
                            const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  return Forward(network, EffectiveWeights(network, flags), x, false,
                 at::kDouble);
}

void ExpectTinyModel(const std::string& name, Network network) {
  const Golden golden("tiny_models.pt");
  const at::Tensor x = golden.Get(name + "/x");
  for (const char* set : {"none", "first", "last_two", "all"}) {
    FillFrom(golden, name + "/param/", network);
    const std::string at = absl::StrCat(name, "/", set, "/");
    const Flags flags = FlagSet(set, network.layers.size());
    const Gradients result = LossGradients(
        network, flags, x, golden.Get(name + "/labels"), at::kDouble);
    ExpectClose(result.output, golden.Get(at + "output"), 1e-11, at);
    EXPECT_NEAR(result.loss, golden.Number(at + "loss"), 1e-11);
    const models::StateDict state = network.State();
    for (size_t i = 0; i < state.parameters().size(); ++i) {
      const std::string& parameter = state.parameters()[i].first;
      if (BiasBeforeNorm(network, parameter)) {
        EXPECT_LE(result.gradients[i].abs().max().item<double>(), 1e-12);
        continue;
      }
      ExpectClose(result.gradients[i], golden.Get(at + "grad/" + parameter),
                  1e-11, at + parameter);
    }
    for (const auto& [buffer, tensor] : state.entries()) {
      // The recording holds those of its last pass only.
      if (set != std::string("all") || !golden.Has(at + "after/" + buffer)) {
        continue;
      }
      ExpectClose(tensor, golden.Get(at + "after/" + buffer), 1e-11, buffer);
    }
    ExpectClose(EvaluationOutput(network, flags, x),
                golden.Get(at + "eval_output"), 1e-11, at + "eval_output");
  }
}

TEST(Golden, TinyPerceptron) {
  ExpectTinyModel("mlp3",
                  MakeMlp("tiny", {12, 9, 7, 5}, models::SeededGenerator(0)));
}

TEST(Golden, TinyVgg9) {
  ExpectTinyModel("vgg9", MakeVgg("tiny", {{4, 4}, {4, 4}, {6, 6}}, {8, 8}, 10,
                                  models::SeededGenerator(0)));
}

class HashGolden : public ::testing::TestWithParam<const char*> {};

// Relative to the largest entry of the tensor.
void ExpectRelative(const at::Tensor& actual, const at::Tensor& expected,
                    const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const double largest = expected.abs().max().item<double>();
  EXPECT_LE((actual - expected).abs().max().item<double>(), 1e-9 * largest)
      << what;
}

// [2, n]: the sum of |gradient| per parameter, and the sum of each running
// statistic.
void ExpectHashGradients(const Golden& golden, const std::string& at,
                         const Network& network, const Gradients& result) {
  const models::StateDict state = network.State();
  const at::Tensor sums = golden.Get(at + "grad_abssum");
  const double largest = sums.abs().max().item<double>();
  for (size_t i = 0; i < state.parameters().size(); ++i) {
    const std::string& name = state.parameters()[i].first;
    const at::Tensor gradient = result.gradients[i].flatten();
    EXPECT_NEAR(gradient.abs().sum().item<double>(), sums[i].item<double>(),
                1e-9 * largest)
        << at << name;
    if (BiasBeforeNorm(network, name)) continue;  // rounding noise
    const int64_t stride = std::max<int64_t>(1, gradient.numel() / 32);
    ExpectRelative(gradient.slice(0, 0, std::nullopt, stride).slice(0, 0, 32),
                   golden.Get(at + "grad_sample/" + name), at + name);
  }
  std::vector<double> running;
  for (const models::BatchNorm& norm : network.norms) {
    running.push_back(norm.running_mean.sum().item<double>());
    running.push_back(norm.running_var.sum().item<double>());
  }
  const at::Tensor expected = golden.Get(at + "after_running_sum");
  ASSERT_EQ(expected.size(0), static_cast<int64_t>(running.size()));
  for (size_t i = 0; i < running.size(); ++i) {
    EXPECT_NEAR(running[i], expected[i].item<double>(),
                1e-9 * expected.abs().max().item<double>());
  }
}

TEST_P(HashGolden, ForwardAndBackward) {
  const std::string name = GetParam();
  const Golden golden(absl::StrCat("hash_", name, ".pt"));
  Network network = MakeNamed(name, models::SeededGenerator(0));
  const bool perceptron = network.layers[0].weight.dim() == 2;
  const int64_t size = name == "resnet21" ? 64 : perceptron ? 28 : 32;
  const at::Tensor x = HashFill({4, perceptron ? 1 : 3, size, size}, 1000, 1);
  const int64_t step = name == "resnet21" ? 8 : 1;
  for (const char* set : {"none", "first", "all"}) {
    network = MakeNamed(name, models::SeededGenerator(0));
    FillByHash(network);
    const std::string at = absl::StrCat(set, "/");
    const Flags flags = FlagSet(set, network.layers.size());
    const Gradients result = LossGradients(
        network, flags, x, CountingLabels(4, 7, 0, 3, network.classes()),
        at::kDouble);
    ExpectRelative(result.output.slice(1, 0, std::nullopt, step).contiguous(),
                   golden.Get(at + "output"), at + "output");
    EXPECT_NEAR(result.loss, golden.Number(at + "loss"), 1e-9 * result.loss);
    ExpectHashGradients(golden, at, network, result);
    ExpectRelative(EvaluationOutput(network, flags, x)
                       .slice(1, 0, std::nullopt, step)
                       .contiguous(),
                   golden.Get(at + "eval_output"), at + "eval_output");
  }
}

// The step without a graph against the one with it: gradients and running
// statistics.
TEST(WrittenOut, EqualsAutograd) {
  for (const char* set : {"none", "first", "last_two", "all"}) {
    const at::Tensor x = HashFill({7, 1, 28, 28}, 4, 1);
    const at::Tensor labels = CountingLabels(7, 3, 2, 1, 10);
    std::vector<Gradients> results;
    std::vector<Network> networks;
    for (const bool written_out : {false, true}) {
      Network network = MakeNamed("300", models::SeededGenerator(0));
      ASSERT_TRUE(IsPerceptron(network));
      FillByHash(network);
      const Flags flags = FlagSet(set, 3);
      results.push_back(
          written_out ? PerceptronGradients(network, flags, x, labels)
                      : LossGradients(network, flags, x, labels, at::kDouble));
      networks.push_back(network);
    }
    EXPECT_NEAR(results[0].loss, results[1].loss, 1e-13);
    ExpectClose(results[1].output, results[0].output, 1e-13, set);
    ASSERT_EQ(results[0].gradients.size(), results[1].gradients.size());
    const auto parameters = networks[0].parameters();
    for (size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor& expected = results[0].gradients[i];
      ASSERT_EQ(results[1].gradients[i].sizes(), expected.sizes());
      EXPECT_LE((results[1].gradients[i] - expected).abs().max().item<double>(),
                1e-13 * std::max(1.0, expected.abs().max().item<double>()))
          << parameters[i].first;
    }
    const auto after = networks[0].entries(), ours = networks[1].entries();
    for (size_t i = 0; i < after.size(); ++i) {
      ExpectClose(ours[i].second, after[i].second, 1e-13, after[i].first);
    }
  }
  EXPECT_FALSE(IsPerceptron(MakeNamed("vgg5", models::SeededGenerator(0))));
}

// Channels last is a layout, not another function.
TEST(ChannelsLast, ChangesRoundingOnly) {
  Network network = MakeNamed("resnet20", models::SeededGenerator(2));
  const at::Tensor x = HashFill({4, 3, 32, 32}, 6, 1).to(at::kFloat);
  const at::Tensor labels = CountingLabels(4, 3, 2, 1, 10);
  const Flags flags = FlagSet("first", 20);
  const Gradients plain = LossGradients(network, flags, x, labels, at::kFloat);
  network.channels_last = true;
  const Gradients last = LossGradients(network, flags, x, labels, at::kFloat);
  EXPECT_NEAR(plain.loss, last.loss, 1e-4);
  for (size_t i = 0; i < plain.gradients.size(); ++i) {
    const double scale = plain.gradients[i].abs().max().item<double>();
    EXPECT_LE(
        (plain.gradients[i] - last.gradients[i]).abs().max().item<double>(),
        1e-3 * scale);
  }
}

INSTANTIATE_TEST_SUITE_P(, HashGolden,
                         ::testing::Values("300", "784", "vgg5", "vgg9",
                                           "resnet20", "resnet21"));

}  // namespace
}  // namespace altprop::iterbin
