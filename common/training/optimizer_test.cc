#include "common/training/optimizer.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/Parallel.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

using Tensors = std::vector<at::Tensor>;

// Values in [-1, 1) that depend on `seed` alone.
at::Tensor Random(at::IntArrayRef shape, uint64_t seed,
                  at::ScalarType type = at::kDouble) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::empty(shape, type).uniform_(-1, 1, generator);
}

// Two groups of different rates and decays: a [3, 4] and b [3]; c [2, 3].
std::vector<ParameterGroup> Groups(at::ScalarType type = at::kDouble) {
  return {{{{"a", Random({3, 4}, 1, type)}, {"b", Random({3}, 2, type)}},
           0.25,
           0.01},
          {{{"c", Random({2, 3}, 3, type)}}, 0.15, 0}};
}

Tensors Gradients(uint64_t step, at::ScalarType type = at::kDouble) {
  return {Random({3, 4}, 10 * step, type), Random({3}, 10 * step + 1, type),
          Random({2, 3}, 10 * step + 2, type)};
}

bool SameBytes(const Optimizer& a, const Optimizer& b) {
  bool same = true;
  for (size_t g = 0; g < a.groups().size(); ++g) {
    for (size_t i = 0; i < a.groups()[g].parameters.size(); ++i) {
      same = same && a.groups()[g].parameters[i].second.equal(
                         b.groups()[g].parameters[i].second);
    }
  }
  return same && a.State() == b.State();
}

TEST(Sgd, TakesTheStepsWorkedOutByHand) {
  // lr 0.1, momentum 0.5, decay 0.1 from theta = 1, gradient 1:
  // v = 1.1, theta = 0.89; v = 0.55 + 1.089, theta = 0.89 - 0.1639.
  const at::Tensor theta = at::full({1}, 1.0, at::kDouble);
  Optimizer sgd = Optimizer::Sgd({{{{"theta", theta}}, 0.1, 0.1}}, 0.5);
  const Tensors one = {at::full({1}, 1.0, at::kDouble)};
  sgd.Step(one);
  EXPECT_NEAR(theta.item().toDouble(), 0.89, 1e-15);
  sgd.Step(one);
  EXPECT_NEAR(theta.item().toDouble(), 0.7261, 1e-15);
  EXPECT_EQ(one[0].item().toDouble(), 1);  // gradients are left alone
}

TEST(Sgd, WithoutMomentumIsPlainDescent) {
  const at::Tensor theta = at::full({3}, 1.0, at::kDouble);
  Optimizer sgd = Optimizer::Sgd({{{{"theta", theta}}, 0.5, 0}}, 0);
  sgd.Step({at::full({3}, 0.5, at::kDouble)});
  EXPECT_TRUE(theta.equal(at::full({3}, 0.75, at::kDouble)));
}

TEST(Adam, MovesByTheLearningRateAtFirst) {
  // m / (1 - b1) = g and v / (1 - b2) = g^2, so the step is lr g / (|g| + eps).
  const at::Tensor theta = at::zeros({2}, at::kDouble);
  Optimizer adam = Optimizer::Adam({{{{"theta", theta}}, 0.1, 0}});
  adam.Step({at::tensor({4.0, -0.5})});
  EXPECT_NEAR(theta[0].item().toDouble(), -0.1 * 4 / (4 + 1e-8), 1e-16);
  EXPECT_NEAR(theta[1].item().toDouble(), 0.1 * 0.5 / (0.5 + 1e-8), 1e-16);
}

// The formula of the header, one element at a time.
TEST(Adam, EqualsTheFormulaAtEveryStep) {
  std::vector<ParameterGroup> groups = Groups();
  const double lr = groups[0].learning_rate, decay = groups[0].weight_decay;
  const at::Tensor theta = groups[0].parameters[0].second;
  Optimizer adam = Optimizer::Adam(std::move(groups));
  double x = theta[1][2].item().toDouble(), m = 0, v = 0;
  for (int step = 1; step <= 50; ++step) {
    const Tensors gradients = Gradients(step);
    adam.Step(gradients);
    const double g = gradients[0][1][2].item().toDouble() + decay * x;
    m = 0.9 * m + (1 - 0.9) * g;
    v = 0.999 * v + (1 - 0.999) * g * g;
    x -= lr * m / (1 - std::pow(0.9, step)) /
         (std::sqrt(v / (1 - std::pow(0.999, step))) + 1e-8);
    ASSERT_NEAR(theta[1][2].item().toDouble(), x, 1e-13 * std::abs(x)) << step;
  }
}

// A channels-last parameter, a gradient in the usual order, and the reverse.
TEST(EachRule, TakesGradientsInAnyLayout) {
  const auto make = [](int rule, std::vector<ParameterGroup> groups) {
    return rule == 0   ? Optimizer::Sgd(std::move(groups), 0.9)
           : rule == 1 ? Optimizer::Adam(std::move(groups))
                       : Optimizer::RmsProp(std::move(groups));
  };
  for (int rule = 0; rule < 3; ++rule) {
    const at::Tensor plain = Random({4, 3, 2, 2}, 1);
    const at::Tensor last =
        plain.clone().contiguous(at::MemoryFormat::ChannelsLast);
    Optimizer a = make(rule, {{{{"w", plain}}, 0.1, 0.01}});
    Optimizer b = make(rule, {{{{"w", last}}, 0.1, 0.01}});
    for (int step = 1; step <= 3; ++step) {
      const at::Tensor g = Random({4, 3, 2, 2}, 10 + step);
      const at::Tensor turned = g.contiguous(at::MemoryFormat::ChannelsLast);
      a.Step({step == 2 ? turned : g});
      b.Step({step == 2 ? turned : g});
    }
    EXPECT_TRUE(last.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(last.equal(plain)) << rule;
  }
}

// Constants of the caller's, and both places of eps. eps is large, so that its
// place shows.
TEST(Adam, TakesOptions) {
  for (const bool legacy : {false, true}) {
    std::vector<ParameterGroup> groups = Groups();
    const double lr = groups[0].learning_rate, decay = groups[0].weight_decay;
    const at::Tensor theta = groups[0].parameters[0].second;
    const AdamOptions options = {0.5, 0.75, 0.1, legacy};
    Optimizer adam = Optimizer::Adam(std::move(groups), options);
    double x = theta[1][2].item().toDouble(), m = 0, v = 0;
    for (int step = 1; step <= 20; ++step) {
      const Tensors gradients = Gradients(step);
      adam.Step(gradients);
      const double g = gradients[0][1][2].item().toDouble() + decay * x;
      m = 0.5 * m + 0.5 * g;
      v = 0.75 * v + 0.25 * g * g;
      const double first = 1 - std::pow(0.5, step);
      const double second = std::sqrt(1 - std::pow(0.75, step));
      x -= legacy ? lr * second / first * m / (std::sqrt(v) + 0.1)
                  : lr / first * m / (std::sqrt(v) / second + 0.1);
      ASSERT_NEAR(theta[1][2].item().toDouble(), x, 1e-13 * std::abs(x))
          << step;
    }
  }
}

// The formula of the header, one element at a time.
TEST(RmsProp, EqualsTheFormulaAtEveryStep) {
  std::vector<ParameterGroup> groups = Groups();
  const double lr = groups[0].learning_rate, decay = groups[0].weight_decay;
  const at::Tensor theta = groups[0].parameters[0].second;
  Optimizer rmsprop = Optimizer::RmsProp(std::move(groups), {0.9, 1e-3});
  double x = theta[1][2].item().toDouble(), v = 0;
  for (int step = 1; step <= 50; ++step) {
    const Tensors gradients = Gradients(step);
    rmsprop.Step(gradients);
    const double g = gradients[0][1][2].item().toDouble() + decay * x;
    v = 0.9 * v + (1 - 0.9) * g * g;
    x -= lr * g / (std::sqrt(v) + 1e-3);
    ASSERT_NEAR(theta[1][2].item().toDouble(), x, 1e-13 * std::abs(x)) << step;
    EXPECT_TRUE(gradients[0].equal(Gradients(step)[0]));  // left alone
  }
}

// optimizers.pt: six steps each of torch 2.11's SGD (momentum and decay) and
// Adam (decay) in two groups, as the authors' program makes them. init and
// final are [23], gradients [6, 23]: tensors of 12, 3 | 6, 2 elements, one
// after the other.
class OptimizerGoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(OptimizerGoldenTest, EndsWhereTorchDoes) {
  const std::string rule = GetParam();
  const auto golden = LoadCheckpoint("common/training/testdata/optimizers.pt");
  ASSERT_TRUE(golden.ok()) << golden.status();
  const auto get = [&](const std::string& key) {
    return *golden->GetTensor(key);
  };
  const at::Tensor rates = get("learning_rates"), decays = get("weight_decays");
  const at::Tensor theta = get(rule + ".init").clone();
  std::vector<ParameterGroup> groups;
  const auto add = [&](int64_t group, int64_t begin, int64_t middle,
                       int64_t end) {
    groups.push_back({{{"w", theta.slice(0, begin, middle)},
                       {"b", theta.slice(0, middle, end)}},
                      rates[group].item().toDouble(),
                      decays[group].item().toDouble()});
  };
  add(0, 0, 12, 15);
  add(1, 15, 21, 23);
  Optimizer optimizer =
      rule == "sgd" ? Optimizer::Sgd(groups, get("momentum").item().toDouble())
                    : Optimizer::Adam(groups);
  for (int64_t step = 0; step < 6; ++step) {
    const at::Tensor g = get(rule + ".gradients")[step];
    optimizer.Step({g.slice(0, 0, 12), g.slice(0, 12, 15), g.slice(0, 15, 21),
                    g.slice(0, 21, 23)});
  }
  const at::Tensor expected = get(rule + ".final");
  for (int64_t i = 0; i < expected.numel(); ++i) {
    const double want = expected[i].item().toDouble();
    EXPECT_NEAR(theta[i].item().toDouble(), want, 1e-13 * std::abs(want)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(BothRules, OptimizerGoldenTest,
                         testing::Values("sgd", "adam"));

// The last bytes of a vector may be computed by other instructions than the
// rest, and threads cut it: the result must not depend on where.
TEST(Adam, GivesTheSameBytesForAnyNumberOfThreads) {
  const auto run = [](int threads) {
    at::set_num_threads(threads);
    at::Tensor theta = Random({100003}, 5, at::kFloat);
    Optimizer adam = Optimizer::Adam({{{{"theta", theta}}, 1e-3, 0.01}});
    for (int step = 1; step <= 5; ++step) {
      adam.Step({Random({100003}, 100 + step, at::kFloat)});
    }
    return theta;
  };
  const at::Tensor one = run(1);
  EXPECT_TRUE(one.equal(run(2)));
  EXPECT_TRUE(one.equal(run(2)));
  EXPECT_TRUE(one.equal(run(3)));
}

class OptimizerResumeTest : public testing::TestWithParam<std::string> {
 protected:
  static Optimizer Make() {
    if (GetParam() == "Adam") return Optimizer::Adam(Groups(at::kFloat));
    // Its eps changes with the step.
    if (GetParam() == "LegacyAdam") {
      return Optimizer::Adam(Groups(at::kFloat), {0.9, 0.999, 1e-2, true});
    }
    if (GetParam() == "RmsProp") return Optimizer::RmsProp(Groups(at::kFloat));
    return Optimizer::Sgd(Groups(at::kFloat), 0.9);
  }
};

TEST_P(OptimizerResumeTest, GoesOnWithTheSameBytesFromACheckpoint) {
  const std::string path = testing::TempDir() + "/optimizer.pt";
  for (const int stop : {0, 1, 4}) {
    Optimizer through = Make(), before = Make(), after = Make();
    for (int step = 1; step <= 8; ++step) {
      through.Step(Gradients(step, at::kFloat));
    }
    for (int step = 1; step <= stop; ++step) {
      before.Step(Gradients(step, at::kFloat));
    }
    ASSERT_TRUE(SaveCheckpoint(path, before.State()).ok());
    const auto state = LoadCheckpoint(path);
    ASSERT_TRUE(state.ok()) << state.status();
    ASSERT_TRUE(after.LoadState(*state, path).ok());
    for (size_t g = 0; g < 2; ++g) {  // the parameters, as "model" holds them
      for (size_t i = 0; i < before.groups()[g].parameters.size(); ++i) {
        after.groups()[g].parameters[i].second.copy_(
            before.groups()[g].parameters[i].second);
      }
    }
    for (int step = stop + 1; step <= 8; ++step) {
      after.Step(Gradients(step, at::kFloat));
    }
    EXPECT_TRUE(SameBytes(through, after)) << "stopped after " << stop;
  }
}

INSTANTIATE_TEST_SUITE_P(EachRule, OptimizerResumeTest,
                         testing::Values("Sgd", "Adam", "LegacyAdam",
                                         "RmsProp"));

TEST(LoadState, TakesParametersByNumberAsPythonWritesThem) {
  Optimizer adam = Optimizer::Adam(Groups());
  adam.Step(Gradients(1));
  const Value ours = adam.State();
  Dict numbered;
  for (const auto& [name, entry] : **ours.GetDict("state")) {
    numbered.emplace_back(std::to_string(numbered.size()), entry);
  }
  Optimizer other = Optimizer::Adam(Groups());
  const absl::Status status =
      other.LoadState(Dict{{"state", numbered}}, "python.pt");
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(other.State() == ours);
}

TEST(LoadState, NamesWhatDoesNotFitAndChangesNothing) {
  Optimizer adam = Optimizer::Adam(Groups());
  adam.Step(Gradients(1));
  const Value before = adam.State();
  // What LoadState says of a state whose entry of `name` is replaced.
  const auto message = [&](const std::string& name, const Value& entry) {
    Dict state = **before.GetDict("state");
    for (auto& [key, value] : state) {
      if (key == name) value = entry;
    }
    return std::string(
        adam.LoadState(Dict{{"state", state}}, "c.pt").message());
  };
  const at::Tensor three = at::zeros({3}, at::kDouble);
  const at::Tensor count = at::full({}, 1.0);
  EXPECT_EQ(message("b", Dict{{"step", count}, {"exp_avg", three}}),
            "c.pt: optimizer: b: has no \"exp_avg_sq\"");
  EXPECT_EQ(message("b", Dict{{"step", count},
                              {"exp_avg", at::zeros({4})},
                              {"exp_avg_sq", three}}),
            "c.pt: optimizer: b: exp_avg is [4], expected [3]");
  EXPECT_EQ(
      message("b",
              Dict{{"step", 7}, {"exp_avg", three}, {"exp_avg_sq", three}}),
      "c.pt: optimizer: b: step 7, expected 1 as the others");
  EXPECT_EQ(message("b", "text"),
            "c.pt: optimizer: b: is a string, expected a dictionary with "
            "\"exp_avg\"");
  EXPECT_EQ(
      adam.LoadState(Optimizer::Sgd(Groups(), 0.9).State(), "c.pt").message(),
      "c.pt: optimizer is sgd, expected adam");
  EXPECT_EQ(adam.LoadState(Value(3), "c.pt").message(),
            "c.pt: optimizer has no dictionary \"state\"");
  EXPECT_EQ(
      adam.LoadState(Dict{{"state", Dict{{"z", Dict{}}}}}, "c.pt").message(),
      "c.pt: optimizer: no state of parameter a");
  EXPECT_TRUE(adam.State() == before);
}

TEST(SetLearningRate, ChangesThatGroupAlone) {
  Optimizer sgd = Optimizer::Sgd(Groups(), 0);
  const at::Tensor a = sgd.groups()[0].parameters[0].second.clone();
  const at::Tensor c = sgd.groups()[1].parameters[0].second.clone();
  sgd.set_learning_rate(0, 0);
  sgd.Step(Gradients(1));
  EXPECT_TRUE(sgd.groups()[0].parameters[0].second.equal(a));
  EXPECT_FALSE(sgd.groups()[1].parameters[0].second.equal(c));
}

TEST(OptimizerDeathTest, ChecksTheGradients) {
  Optimizer sgd = Optimizer::Sgd(Groups(), 0);
  Tensors gradients = Gradients(1);
  gradients.pop_back();
  EXPECT_DEATH(sgd.Step(gradients), "");
  gradients = Gradients(1);
  gradients[1] = at::zeros({4}, at::kDouble);
  EXPECT_DEATH(sgd.Step(gradients), "gradient of shape \\[4\\]");
}

}  // namespace
}  // namespace altprop::training
