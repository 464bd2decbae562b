// The networks, recorded from the authors' classes: narrow ones with all their
// tensors, those of published size by sums.

#include "cbp/network.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/cross_entropy_loss.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/sum.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cbp/learner.h"
#include "cbp/test_util.h"
#include "common/models/init.h"
#include "gtest/gtest.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::cbp {
namespace {

Network Make(Model model, int64_t width, int64_t classes, int64_t channels,
             bool channels_last = false) {
  NetworkOptions options;
  options.dtype = options.operand_dtype = at::kDouble;
  options.channels_last = channels_last;
  return {
      {model, width, classes, channels}, options, models::SeededGenerator(0)};
}

// Every trained tensor by name, those of the constrained layers as the forward
// pass takes them.
training::NamedTensors Leaves(const Network& network) {
  training::NamedTensors leaves;
  for (size_t k = 0; k < network.constrained().size(); ++k) {
    leaves.emplace_back(network.constrained().names[k] + ".weight",
                        network.constrained_leaves()[k]);
  }
  for (const auto& entry : network.FreeWeights()) leaves.push_back(entry);
  for (const auto& entry : network.FreeOthers()) leaves.push_back(entry);
  return leaves;
}

std::map<std::string, at::Tensor> Gradients(const Network& network,
                                            const at::Tensor& loss) {
  std::vector<at::Tensor> inputs;
  const training::NamedTensors leaves = Leaves(network);
  for (const auto& [name, tensor] : leaves) inputs.push_back(tensor);
  const auto gradients = torch::autograd::grad({loss}, inputs);
  std::map<std::string, at::Tensor> by_name;
  for (size_t i = 0; i < leaves.size(); ++i) {
    by_name[leaves[i].first] = gradients[i];
  }
  return by_name;
}

struct Recording {
  const char* name;
  Model model;
  int64_t width;
  Mode mode;
  int64_t channels;
  bool channels_last;
};

class RecordedNetwork : public ::testing::TestWithParam<Recording> {};

TEST_P(RecordedNetwork, EqualsTheAuthors) {
  const Recording& r = GetParam();
  const Golden golden(
      absl::StrCat("model_", r.name, "_", ModeName(r.mode), ".pt"));
  Network network = Make(r.model, r.width, 10, r.channels, r.channels_last);
  network.UseQuantized(true);
  const training::NamedTensors expected = golden.Under("param.");
  const training::NamedTensors state = network.State();
  ASSERT_EQ(state.size(), expected.size());
  for (size_t i = 0; i < state.size(); ++i) {
    EXPECT_EQ(state[i].first, expected[i].first);
    ASSERT_EQ(state[i].second.sizes(), expected[i].second.sizes());
    state[i].second.detach().copy_(expected[i].second);
  }
  network.Quantize(r.mode);
  const at::Tensor x = golden.Get("x_u8").to(at::kDouble) / 128 - 1;
  ExpectClose(network.Forward(x, false), golden.Get("logits_eval"), 1e-10, 0,
              "evaluation");
  const at::Tensor logits = network.Forward(x, true);
  ExpectClose(logits, golden.Get("logits_train"), 1e-10, 0, "training");
  const at::Tensor loss = at::cross_entropy_loss(logits, golden.Get("y"));
  ExpectClose(loss, golden.Get("loss"), 1e-10, 0, "loss");
  const training::NamedTensors recorded = golden.Under("grad.");
  double largest = 0;
  for (const auto& [name, gradient] : recorded) {
    largest = std::max(largest, gradient.abs().max().item<double>());
  }
  auto gradients = Gradients(network, loss);
  EXPECT_EQ(gradients.size(), recorded.size());
  for (const auto& [name, gradient] : recorded) {
    ExpectClose(gradients[name], gradient, 1e-10 * largest, 0, name);
  }
  std::map<std::string, at::Tensor> after;
  for (const auto& [name, tensor] : network.State()) after[name] = tensor;
  for (const auto& [name, tensor] : golden.Under("after.")) {
    ExpectClose(after[name], tensor, 1e-12, 1e-12, name);
  }
  EXPECT_EQ(static_cast<double>(network.constrained().weights()),
            golden.Number("n_constrained"));
  EXPECT_NEAR(Measure(network.constrained(), r.mode).cfs, golden.Number("cfs"),
              1e-12);
}

INSTANTIATE_TEST_SUITE_P(
    , RecordedNetwork,
    ::testing::Values(Recording{"mnist_cnn", Model::kMnistCnn, 2,
                                Mode::kOneBitShift, 1, false},
                      Recording{"resnet20", Model::kResNet20, 3,
                                Mode::kTwoBitShift, 3, false},
                      Recording{"mnist_cnn", Model::kMnistCnn, 2,
                                Mode::kOneBitShift, 1, true},
                      Recording{"resnet50", Model::kResNet50, 1, Mode::kTernary,
                                3, false}),
    [](const auto& info) {
      return absl::StrCat(info.param.name,
                          info.param.channels_last ? "_channels_last" : "");
    });

// The recordings' formula: stream j, element i = 1, 2, ... in [-1, 1).
at::Tensor Stream(uint64_t j, at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape, at::kDouble);
  auto* const out = values.mutable_data_ptr<double>();
  for (int64_t n = 0; n < values.numel(); ++n) {
    uint64_t z = static_cast<uint64_t>(n + 1) * 0x9E3779B97F4A7C15 +
                 (j + 1) * 0xD1B54A32D192ED03;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    out[n] = static_cast<double>(z >> 11) * 0x1p-52 - 1;
  }
  return values;
}

void FillByFormula(Network& network) {
  uint64_t j = 0;
  for (const auto& [name, tensor] : network.State()) {
    if (absl::StrContains(name, "running_") ||
        absl::EndsWith(name, "num_batches_tracked") ||
        absl::EndsWith(name, ".scale")) {
      continue;
    }
    const at::Tensor value = Stream(j++, tensor.sizes());
    double factor = 0.1, plus = 0;
    if (tensor.dim() > 1) {
      double fan_out = static_cast<double>(tensor.size(0));
      if (tensor.dim() == 4) {
        fan_out *= static_cast<double>(tensor.size(2) * tensor.size(3));
      }
      factor = std::sqrt(6 / fan_out);
    } else if (absl::EndsWith(name, ".weight")) {
      plus = 1;
    }
    tensor.detach().copy_(value * factor + plus);
  }
}

struct Published {
  const char* name;
  Model model;
  Mode mode;
  int64_t batch, side;
  int64_t total, constrained, layers, entries;
};

class PublishedNetwork : public ::testing::TestWithParam<Published> {};

// Layer by layer, with multipliers: grad = dC/dQ + lambda dcs/dw.
TEST_P(PublishedNetwork, EqualsTheAuthors) {
  const Published& p = GetParam();
  const Golden golden(
      absl::StrCat("full_", p.name, "_", ModeName(p.mode), ".pt"));
  Network network = Make(p.model, 64, 1000, 3);
  FillByFormula(network);
  ASSERT_TRUE(network.SetScales().ok());
  network.UseQuantized(true);
  network.Quantize(p.mode);
  Constrained& c = network.constrained();
  EXPECT_EQ(c.weights(), p.constrained);
  EXPECT_EQ(static_cast<int64_t>(c.size()), p.layers);
  EXPECT_EQ(static_cast<int64_t>(network.State().size()), p.entries);
  ExpectClose(c.scales, golden.Get("scales").flatten(), 0, 1e-12, "scales");
  const at::Tensor x =
      std::sqrt(3.0) * Stream(1000, {p.batch, 3, p.side, p.side});
  at::Tensor labels = at::empty({p.batch}, at::kLong);
  for (int64_t n = 0; n < p.batch; ++n) labels[n].fill_(37 * n % 1000);
  const at::Tensor logits = network.Forward(x, true);
  ExpectClose(logits, golden.Get("logits_train"), 1e-9, 1e-9, "logits");
  const at::Tensor loss = at::cross_entropy_loss(logits, labels);
  EXPECT_NEAR(loss.item<double>(), golden.Number("C"),
              1e-9 * golden.Number("C"));
  auto gradients = Gradients(network, loss);
  const double g = golden.Number("g");
  double con = 0;
  for (size_t k = 0; k < c.size(); ++k) {
    const at::Tensor lambda = (Stream(2000 + k, c.shapes[k]) + 1) * 5e-4;
    const at::Tensor w = c.View(c.w, k), s = c.ScaleOf(k);
    con += (lambda * Constraint(w, s, p.mode, 1 - 1 / g)).sum().item<double>();
    at::Tensor& gradient = gradients[c.names[k] + ".weight"];
    gradient = gradient + lambda * ConstraintSlope(w, s, p.mode, 1 - 1 / g);
  }
  EXPECT_NEAR(con, golden.Number("con"), 1e-9 * golden.Number("con"));
  EXPECT_NEAR(Measure(c, p.mode).cfs, golden.Number("cfs"),
              1e-9 * golden.Number("cfs"));
  const at::Tensor sums = golden.Get("grad_sum").flatten();
  const at::Tensor sizes = golden.Get("grad_abs_sum").flatten();
  const at::Tensor numels = golden.Get("param_numel").flatten();
  int64_t i = 0, total = 0;
  for (const auto& [name, tensor] : network.State()) {
    const auto found = gradients.find(name);
    if (found == gradients.end()) continue;
    const double size = sizes[i].item<double>();
    EXPECT_EQ(tensor.numel(), numels[i].item().toLong()) << name;
    // Some are 0 but for rounding: what batch norm takes out again.
    EXPECT_NEAR(found->second.sum().item<double>(), sums[i].item<double>(),
                1e-9 * size + 1e-11)
        << name;
    EXPECT_NEAR(found->second.abs().sum().item<double>(), size,
                1e-9 * size + 1e-11)
        << name;
    total += tensor.numel();
    ++i;
  }
  EXPECT_EQ(i, sums.numel());
  EXPECT_EQ(total, p.total);
  ExpectClose(network.Forward(x, false), golden.Get("logits_eval_after"), 1e-9,
              1e-9, "evaluation");
}

INSTANTIATE_TEST_SUITE_P(
    , PublishedNetwork,
    ::testing::Values(Published{"alexnet", Model::kAlexNet, Mode::kTwoBitShift,
                                3, 64, 61110184, 56971264, 6, 50},
                      Published{"resnet18", Model::kResNet18, Mode::kBinary, 2,
                                96, 11689512, 11157504, 19, 141},
                      Published{"resnet50", Model::kResNet50, Mode::kTernary, 2,
                                64, 25557032, 23445504, 52, 372}),
    [](const auto& info) { return info.param.name; });

TEST(Network, SmallOnesHaveTheirCounts) {
  EXPECT_EQ(Make(Model::kMnistCnn, 32, 10, 1).constrained().weights(), 1656832);
  const Network resnet20 = Make(Model::kResNet20, 16, 10, 3);
  EXPECT_EQ(resnet20.constrained().weights(), 269824);
}

// torchvision's GoogLeNet without its auxiliary classifiers has 6,624,904
// parameters, batch norm included.
TEST(Network, GoogLeNetHasTorchvisionsCount) {
  const Network network = Make(Model::kGoogLeNet, 64, 1000, 3);
  int64_t total = 0;
  for (const auto& [name, tensor] : Leaves(network)) total += tensor.numel();
  EXPECT_EQ(total, 6624904);
  const Network narrow = Make(Model::kGoogLeNet, 8, 10, 3);
  EXPECT_EQ(narrow.Forward(Stream(0, {2, 3, 64, 64}), true).sizes(),
            at::IntArrayRef({2, 10}));
}

TEST(Network, WeightsOfZeroHaveNoScale) {
  Network network = Make(Model::kMnistCnn, 2, 10, 1);
  network.constrained().w.zero_();
  const absl::Status status = network.SetScales();
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(absl::StrContains(status.message(), "features.4.weight"));
}

}  // namespace
}  // namespace altprop::cbp
