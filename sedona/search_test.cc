// The search against recordings of the authors' program, against a toy worked
// out by hand, and against finite differences.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/log_softmax.h"
#include "ATen/ops/softmax.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/tanh.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/training/optimizer.h"
#include "common/training/schedule.h"
#include "gtest/gtest.h"
#include "sedona/differentiable.h"
#include "sedona/greedy.h"
#include "sedona/losses.h"
#include "sedona/meta.h"
#include "sedona/relaxation.h"
#include "sedona/supernet.h"
#include "sedona/test_util.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::sedona {
namespace {

using torch::autograd::grad;

constexpr Mode kTraining{.training = true};

Network FilledSupernet(const std::string& name, int64_t max_depth) {
  Architecture architecture;
  architecture.name = name;
  architecture.max_depth = max_depth;
  auto network = MakeNetwork(architecture, SupernetAux(architecture, false));
  EXPECT_TRUE(network.ok()) << network.status();
  FillByHash(*network);
  RequireGradients(*network);
  return *std::move(network);
}

// ---- Recorded meta-gradients ----

struct Case {
  std::string name;
  std::string network;
  int64_t depth;
  size_t steps;
  int64_t batch, valid_batch;
  std::string state;  // "", "momentum", "adam"
  double lr = 0.1, lr_min = 1e-3;
  double tolerance = 1e-8;
};

const Case kCases[] = {
    {"resnet18.zero", "resnet18", 4, 2, 4, 6, ""},
    {"resnet18.momentum", "resnet18", 2, 2, 4, 6, "momentum"},
    {"resnet18.momentum.valid", "resnet18", 2, 2, 4, 6, "momentum"},
    {"vgg11.t1", "vgg11", 4, 1, 5, 4, ""},
    {"vgg11.t1.valid", "vgg11", 4, 1, 5, 4, ""},
    {"vgg11.momentum.t3", "vgg11", 4, 3, 4, 6, "momentum", 0.01, 1e-3, 1e-4},
    {"vgg11.momentum.t3.valid", "vgg11", 4, 3, 4, 6, "momentum", 0.01, 1e-3,
     1e-4},
    {"vgg11.adam", "vgg11", 2, 2, 4, 6, "adam", 1e-3, 1e-5},
    {"vgg11.adam.valid", "vgg11", 2, 2, 4, 6, "adam", 1e-3, 1e-5, 1e-7},
};

constexpr int64_t kStep = 36000, kHorizon = 40000;

training::Optimizer OptimizerOf(const Case& c, const Network& network,
                                double rate) {
  std::vector<training::ParameterGroup> groups;
  for (size_t i = 0; i < network.units.size(); ++i) {
    training::ParameterGroup& group = groups.emplace_back();
    group.parameters = Detached(UnitParameters(network, i));
    group.learning_rate = rate;
    group.weight_decay = 1e-4;
  }
  training::Optimizer optimizer =
      c.state == "adam" ? training::Optimizer::Adam(std::move(groups))
                        : training::Optimizer::Sgd(std::move(groups), 0.9);
  if (c.state.empty()) return optimizer;
  training::Dict entries;
  int64_t t = 0;
  for (const auto& [name, tensor] : Parameters(network)) {
    const at::Tensor v = HashUniform(tensor.numel(), 5000 + t++) - 0.5;
    training::Dict entry;
    if (c.state == "adam") {
      entry.emplace_back("step", at::tensor(3.0, at::kFloat).squeeze());
      entry.emplace_back("exp_avg", (v * 0.01).view(tensor.sizes()));
      entry.emplace_back("exp_avg_sq", (v * v * 1e-4).view(tensor.sizes()));
    } else {
      entry.emplace_back("momentum_buffer", (v * 0.01).view(tensor.sizes()));
    }
    entries.emplace_back(name, std::move(entry));
  }
  const training::Value own = optimizer.State();
  training::Dict state;
  for (const auto& [key, value] : *own.dict()) {
    if (key != "state") state.emplace_back(key, value);
  }
  state.emplace_back("state", std::move(entries));
  const absl::Status loaded = optimizer.LoadState(state, "state");
  EXPECT_TRUE(loaded.ok()) << loaded;
  return optimizer;
}

Minibatch HashBatch(int64_t n, int64_t stream, int64_t o) {
  return {HashImages(n, stream), HashLabels(n, o)};
}

at::Tensor Matrix(const std::vector<std::vector<double>>& rows) {
  std::vector<at::Tensor> tensors;
  for (const auto& row : rows) tensors.push_back(at::tensor(row, at::kDouble));
  return at::stack(tensors);
}

class MetaGolden : public ::testing::TestWithParam<Case> {};

TEST_P(MetaGolden, EqualsTheRecording) {
  const Case& c = GetParam();
  const Golden golden("meta.pt");
  const auto get = [&](const char* key) {
    return golden.Get(absl::StrCat(c.name, ".", key));
  };
  Network network = FilledSupernet(c.network, c.depth);
  EXPECT_EQ(static_cast<int64_t>(Parameters(network).size()),
            get("tensors").item<int64_t>());
  const double rate =
      training::CosineAnnealing(c.lr, kStep, kHorizon, c.lr_min);
  ExpectClose(rate, get("lr").item<double>(), 1e-14);
  training::Optimizer optimizer = OptimizerOf(c, network, rate);
  const at::Tensor alpha = get("alpha").clone().set_requires_grad(true);
  const at::Tensor beta = get("beta").clone().set_requires_grad(true);
  std::vector<Minibatch> inner;
  for (size_t t = 0; t < c.steps; ++t) {
    const auto i = static_cast<int64_t>(t);
    inner.push_back(HashBatch(c.batch, 1000 + i, 3 + 2 * i));
  }
  MetaOptions options;
  options.objective = absl::EndsWith(c.name, ".valid")
                          ? MetaObjective::kValid
                          : MetaObjective::kLastInner;
  options.inner.adam = c.state == "adam";
  options.inner.learning_rate = rate;
  options.inner.weight_decay = 1e-4;
  options.inner.momentum = 0.9;
  options.mode = kTraining;
  const Network before = Clone(network);
  const MetaResult result =
      MetaGradient(network, optimizer.State(), alpha, beta, inner,
                   HashBatch(c.valid_batch, 1050, 1), options,
                   /*record_norms=*/true);
  ExpectClose(at::stack(result.inner_composite), get("inner_composite"),
              c.tolerance, "inner composite");
  std::vector<at::Tensor> losses;
  for (const auto& row : result.inner_losses) losses.push_back(Stack(row));
  ExpectClose(at::stack(losses), get("inner_losses"), c.tolerance, "losses");
  ExpectClose(Matrix(result.gradient_norms), get("G_norms"), c.tolerance, "G");
  ExpectClose(Matrix(result.weight_norms), get("weight_norms"), c.tolerance,
              "weights");
  ExpectClose(result.validation_loss, get("V").item<double>(), c.tolerance,
              "V");
  EXPECT_NEAR(result.validation_error, get("error").item<double>(), 1e-12);
  ExpectClose(result.alpha_gradient, get("grad_alpha"), c.tolerance, "alpha");
  ExpectClose(result.beta_gradient, get("grad_beta"), c.tolerance, "beta");
  // Every row of both sums to 0: softmax does not see a shift.
  EXPECT_LE(result.alpha_gradient.sum(1).abs().max().item<double>(), 1e-10);
  EXPECT_LE(result.beta_gradient.sum(1).abs().max().item<double>(), 1e-10);

  // The live network has not moved.
  const training::NamedTensors now = State(network), then = State(before);
  for (size_t i = 0; i < now.size(); ++i) {
    EXPECT_TRUE(now[i].second.equal(then[i].second)) << now[i].first;
  }
  const Minibatch batch = HashBatch(c.batch, 1060, 3);
  optimizer.Step(MixedSignals(network, batch.x, batch.labels,
                              Relax(alpha.detach(), beta.detach()), 0.1,
                              kTraining)
                     .gradients);
  std::vector<double> norms;
  for (size_t i = 0; i < network.units.size(); ++i) {
    norms.push_back(NormOf(TensorsOf(UnitParameters(network, i))));
  }
  ExpectClose(at::tensor(norms, at::kDouble), get("after_weight_step_norms"),
              c.tolerance, "weight step");
  double variances = 0;
  for (const auto& [name, tensor] : State(network)) {
    if (absl::EndsWith(name, "running_var")) {
      variances += tensor.sum().item<double>();
    }
  }
  ExpectClose(variances,
              get("after_weight_step_running_var_sum").item<double>(),
              c.tolerance, "running variances");
}

INSTANTIATE_TEST_SUITE_P(, MetaGolden, ::testing::ValuesIn(kCases),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           for (char& letter : name) {
                             letter = letter == '.' ? '_' : letter;
                           }
                           return name;
                         });

// ---- A pretraining step, as the authors' program does it ----

// resnet18, alpha = 0, four candidates of equal weight, 4 images.
TEST(Pretraining, EqualsTheAuthorsStep) {
  const Network network = FilledSupernet("resnet18", 4);
  const Minibatch batch = HashBatch(4, 1000, 3);
  const WeightGradient step = MixedSignals(
      network, batch.x, batch.labels,
      Relax(at::zeros({7, 2}, at::kDouble), at::Tensor()), 0.1, kTraining);
  const double losses[] = {2.776743022, 2.267174868, 2.540975443, 2.288488272,
                           2.538791303, 2.194946311, 2.369882939, 2.671990245};
  const double norms[] = {2.587122538, 2.339122641, 3.776027972, 5.614038792,
                          10.22219643, 17.24366515, 32.78658539, 5.618525971};
  const std::vector<size_t> unit = UnitOfParameters(network);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(step.losses[i].item<double>(), losses[i], 1e-8) << i;
    std::vector<at::Tensor> own;
    for (size_t j = 0; j < unit.size(); ++j) {
      if (unit[j] == i) own.push_back(step.gradients[j]);
    }
    EXPECT_NEAR(NormOf(own) / norms[i], 1, 1e-8) << i;
  }
}

// The gradient of unit k depends on the losses of units k and above alone.
TEST(Supernet, SignalsComeFromAbove) {
  const Network network = FilledSupernet("vgg11", 2);
  const Minibatch batch = HashBatch(4, 1000, 3);
  const SupernetOutput output = Forward(
      network, batch.x, batch.labels,
      Relax(at::zeros({7, 2}, at::kDouble), at::Tensor()), 0.1, kTraining);
  for (size_t i = 0; i < 8; ++i) {
    for (size_t k = 0; k < 8; ++k) {
      const auto gradients =
          grad({output.losses[i]}, TensorsOf(UnitParameters(network, k)), {},
               /*retain_graph=*/true, /*create_graph=*/false,
               /*allow_unused=*/true);
      bool any = false;
      for (const at::Tensor& g : gradients) any = any || g.defined();
      EXPECT_EQ(any, k <= i) << i << " " << k;
    }
  }
}

// ---- The toy of two scalar units ----

struct Toy {
  std::vector<at::Tensor> w;  // w0, u, v | w1, c, d
};

at::Tensor Scalar(double value) {
  return at::tensor({value}, at::kDouble).squeeze();
}

// Logits (z, 0) of one unit or the head.
at::Tensor ToyLogits(const at::Tensor& z) {
  return at::stack({z, at::zeros_like(z)}, 1);
}

struct ToyBatch {
  at::Tensor x, y;
};

std::vector<at::Tensor> ToyLosses(const std::vector<at::Tensor>& w,
                                  const ToyBatch& batch, const at::Tensor& b,
                                  double s) {
  const at::Tensor h = w[0] * batch.x;
  const at::Tensor z =
      (b[0] * (w[1] * (h / s)) + b[1] * (w[2] * (h / s)).tanh()) * s;
  const at::Tensor head = w[4] * (w[3] * h) + w[5];
  return {SmoothCrossEntropy(ToyLogits(z), batch.y, 0.1),
          SmoothCrossEntropy(ToyLogits(head), batch.y, 0.1)};
}

struct ToyResult {
  std::vector<std::vector<double>> gradients;  // G of each step
  std::vector<at::Tensor> weights;
  double composite = 0, v = 0, alpha = 0, beta = 0;
};

ToyResult RunToy(double a0, double a1, double b0, double b1, double s,
                 size_t steps, bool valid, bool momentum,
                 bool differentiate = true) {
  ToyResult result;
  const at::Tensor alpha =
      at::tensor({a0, a1}, at::kDouble).view({1, 2}).set_requires_grad(true);
  const at::Tensor beta =
      at::tensor({b0, b1}, at::kDouble).view({1, 2}).set_requires_grad(true);
  const Relaxation relaxation = Relax(alpha, beta);
  std::vector<at::Tensor> w;
  std::vector<std::string> names;
  training::Dict entries;
  for (const double value : {0.8, 0.5, -0.7, 1.2, 0.9, 0.1}) {
    names.push_back(absl::StrCat("w", w.size()));
    w.push_back(Scalar(value).set_requires_grad(true));
    if (momentum) {
      entries.emplace_back(
          names.back(),
          training::Dict{{"momentum_buffer",
                          Scalar(0.01 * static_cast<double>(w.size()))}});
    }
  }
  DifferentiableOptions options;
  options.learning_rate = 0.1;
  options.momentum = 0.9;
  options.weight_decay = 1e-4;
  DifferentiableOptimizer optimizer(
      options, training::Dict{{"state", std::move(entries)}}, names);
  const ToyBatch batches[] = {
      {at::tensor({1.0, -0.5}, at::kDouble), at::tensor({0, 1}, at::kLong)},
      {at::tensor({0.3, 2.0}, at::kDouble), at::tensor({1, 0}, at::kLong)}};
  at::Tensor composite;
  for (size_t t = 0; t < steps; ++t) {
    composite =
        CompositeLoss(relaxation, ToyLosses(w, batches[t], relaxation.b[0], s));
    auto gradients = grad({composite}, w, {}, true, true);
    std::vector<double>& row = result.gradients.emplace_back();
    for (size_t i = 0; i < gradients.size(); ++i) {
      gradients[i] = gradients[i] / relaxation.P[i / 3];
      row.push_back(gradients[i].item<double>());
    }
    w = optimizer.Step(w, gradients);
  }
  const ToyBatch validation = {at::tensor({-1.0, 0.7, 1.5}, at::kDouble),
                               at::tensor({1, 0, 0}, at::kLong)};
  const at::Tensor v = ToyLosses(w, validation, relaxation.b[0].detach(), s)[1];
  result.weights = w;
  result.v = v.item<double>();
  result.composite = composite.item<double>();
  if (differentiate) {
    const auto outer = grad({valid ? v : composite}, {alpha, beta});
    result.alpha = outer[0][0][0].item<double>();
    result.beta = outer[1][0][0].item<double>();
  }
  return result;
}

constexpr double kToyScale = 1.740787916728;

TEST(Toy, WeightsAndGradientsByHand) {
  const ToyResult toy = RunToy(0.2, -0.1, 0.3, -0.4, kToyScale, 2, true, false);
  const double g[2][6] = {{-0.096499747181, -0.087962883924, -0.040514378508,
                           -0.120583828607, -0.160778438142, 0.070838014322},
                          {-0.012578794791, -0.088225409432, -0.026613227157,
                           0.031374355686, 0.041511262588, 0.229260589381}};
  const double w[6] = {0.819569535024, 0.525520900976, -0.689620685952,
                       1.219738571403, 0.926370516300, 0.063611889189};
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(toy.gradients[0][i], g[0][i], 1e-11);
    EXPECT_NEAR(toy.gradients[1][i], g[1][i], 1e-11);
    EXPECT_NEAR(toy.weights[i].item<double>(), w[i], 1e-11);
  }
  EXPECT_NEAR(toy.v, 0.421444912841, 1e-11);
}

TEST(Toy, MetaGradientsByHand) {
  const struct {
    size_t steps;
    bool valid, momentum;
    double alpha, beta;
  } kExpected[] = {
      {2, true, false, 0.000750407277, -0.001782532533},
      {2, false, false, 0.015610968844, -0.032454114018},
      {1, true, false, 0.000670547137, -0.000740645485},
      {1, false, false, 0.041836553159, -0.034518641804},
      {2, true, true, 0.000774014360, -0.001802000789},
      {2, false, true, 0.016107662755, -0.032520005793},
  };
  for (const auto& e : kExpected) {
    const ToyResult toy =
        RunToy(0.2, -0.1, 0.3, -0.4, kToyScale, e.steps, e.valid, e.momentum);
    EXPECT_NEAR(toy.alpha, e.alpha, 1e-11);
    EXPECT_NEAR(toy.beta, e.beta, 1e-11);
  }
}

// Central differences, with the scale s frozen: it is a constant of the
// meta-gradient. Where it moves along, alpha's derivative is another.
TEST(Toy, MetaGradientsAreFiniteDifferences) {
  constexpr double kH = 1e-5;
  const auto scale = [](double a0, double a1) {
    return 1 / (1 / (1 + std::exp(a1 - a0)) + 1e-5);
  };
  for (const bool valid : {true, false}) {
    const auto value = [&](double da, double db, bool frozen) {
      const double s = frozen ? kToyScale : scale(0.2 + da, -0.1);
      const ToyResult toy =
          RunToy(0.2 + da, -0.1, 0.3 + db, -0.4, s, 2, valid, false, false);
      return valid ? toy.v : toy.composite;
    };
    const ToyResult toy =
        RunToy(0.2, -0.1, 0.3, -0.4, kToyScale, 2, valid, false);
    EXPECT_NEAR((value(kH, 0, true) - value(-kH, 0, true)) / (2 * kH),
                toy.alpha, 1e-9);
    EXPECT_NEAR((value(0, kH, true) - value(0, -kH, true)) / (2 * kH), toy.beta,
                1e-9);
    EXPECT_NEAR((value(kH, 0, false) - value(-kH, 0, false)) / (2 * kH),
                valid ? 0.0005137423 : 0.0124013274, 1e-8);
  }
}

TEST(Toy, MetaStepOfAdam) {
  const ToyResult toy = RunToy(0.2, -0.1, 0.3, -0.4, kToyScale, 2, true, false);
  const at::Tensor alpha = at::tensor({0.2, -0.1}, at::kDouble);
  const at::Tensor beta = at::tensor({0.3, -0.4}, at::kDouble);
  training::AdamOptions adam;
  adam.beta1 = 0.5;
  training::ParameterGroup group;
  group.parameters = {{"alpha", alpha}, {"beta", beta}};
  group.learning_rate = 1e-2;
  group.weight_decay = 1e-6;
  training::Optimizer optimizer = training::Optimizer::Adam({group}, adam);
  optimizer.Step({at::tensor({toy.alpha, -toy.alpha}, at::kDouble),
                  at::tensor({toy.beta, -toy.beta}, at::kDouble)});
  ExpectClose(alpha, at::tensor({0.190000133224, -0.090000133241}, at::kDouble),
              1e-10);
  ExpectClose(beta, at::tensor({0.309999943891, -0.409999943888}, at::kDouble),
              1e-10);
}

// Nothing reaches the validation loss where the weights do not move.
TEST(MetaGradient, IsZeroAtLearningRateZero) {
  const Network network = FilledSupernet("vgg11", 1);
  const at::Tensor alpha =
      at::zeros({7, 2}, at::kDouble).set_requires_grad(true);
  const at::Tensor beta =
      at::zeros({7, 1}, at::kDouble).set_requires_grad(true);
  MetaOptions options;
  options.mode = kTraining;
  const MetaResult result = MetaGradient(
      network, training::Dict{{"state", training::Dict{}}}, alpha, beta,
      {HashBatch(4, 1000, 3)}, HashBatch(4, 1001, 3), options);
  EXPECT_EQ(result.alpha_gradient.abs().max().item<double>(), 0);
  EXPECT_EQ(result.beta_gradient.abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace altprop::sedona
