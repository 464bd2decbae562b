// Masters over updates and evaluations: recordings of the authors' program,
// cases worked out by hand, and what must hold whatever the numbers.

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "common/training/optimizer.h"
#include "gtest/gtest.h"
#include "iterbin/schedule.h"
#include "iterbin/score.h"
#include "iterbin/test_util.h"

namespace altprop::iterbin {
namespace {

using training::Optimizer;

at::Tensor Doubles(std::vector<double> values, at::IntArrayRef shape) {
  return at::tensor(values, at::kDouble).view(shape);
}

// One linear layer y = E(W) x + b with loss 1/2 sum (y - target)^2 / batch,
// differentiated by hand.
struct Unit {
  at::Tensor w, b;
  bool binary;
  Optimizer optimizer;
  LastForward last = {};

  Unit(at::Tensor w0, at::Tensor b0, bool flag,
       Optimizer (*make)(const training::NamedTensors&))
      : w(w0.clone()),
        b(b0.clone()),
        binary(flag),
        optimizer(make({{"w", w}, {"b", b}})) {}

  at::Tensor Output(const at::Tensor& x) const {
    return at::mm(x, Effective(w, binary).t()) + b;
  }

  struct Result {
    double loss;
    at::Tensor gradient;
  };
  Result Step(const at::Tensor& x, const at::Tensor& target) {
    const at::Tensor error = Output(x) - target;
    const auto batch = static_cast<double>(x.size(0));
    const at::Tensor gradient = at::mm(error.t(), x) / batch;
    last = RememberForward({w}, {binary});
    optimizer.Step({gradient, error.sum(0) / batch});
    return {0.5 * (error * error).sum().item<double>() / batch, gradient};
  }

  void Adopt() { AdoptForward(last, {w}); }
};

Optimizer Sgd(const training::NamedTensors& p, double rate, double momentum,
              double decay) {
  return Optimizer::Sgd({{p, rate, decay}}, momentum);
}

struct Trace {
  const char* name;
  Optimizer (*make)(const training::NamedTensors&);
};

const Trace kTraces[] = {
    {"sgd", [](const training::NamedTensors& p) { return Sgd(p, 0.05, 0, 0); }},
    {"sgd_mom_wd",
     [](const training::NamedTensors& p) { return Sgd(p, 0.05, 0.9, 1e-4); }},
    {"adam",
     [](const training::NamedTensors& p) {
       return Optimizer::Adam({{p, 0.1, 0}});
     }},
};

TEST(OptimizerTraces, EqualTheAuthorsProgram) {
  const Golden golden("optimizer_traces.pt");
  for (const Trace& trace : kTraces) {
    for (const bool flag : {false, true}) {
      const std::string at =
          absl::StrCat(trace.name, "/flag", flag ? 1 : 0, "/");
      Unit unit(golden.Get("w0"), golden.Get("b0"), flag, trace.make);
      for (int64_t t = 0; t < 8; ++t) {
        const Unit::Result step =
            unit.Step(golden.Get("x")[t], golden.Get("target")[t]);
        EXPECT_NEAR(step.loss, golden.Get(at + "loss")[t].item<double>(),
                    1e-12);
        ExpectClose(step.gradient, golden.Get(at + "grad_w")[t], 1e-12, at);
        ExpectClose(unit.w, golden.Get(at + "w")[t], 1e-12, at);
        ExpectClose(unit.b, golden.Get(at + "b")[t], 1e-12, at);
      }
      unit.Adopt();
      ExpectClose(unit.Output(golden.Get("x")[0]), golden.Get(at + "eval_y"),
                  1e-12, at);
      ExpectClose(unit.w, golden.Get(at + "w_after_eval"), 1e-12, at);
    }
  }
}

// W = (0.3, -0.2), b = 0.1, input (1, 2), loss y^2 / 2.
struct Worked {
  const char* name;
  Optimizer (*make)(const training::NamedTensors&);
  std::vector<double> w1, w2;  // after steps 1 and 2
  double b2, reference;        // y of the reference evaluation
};

TEST(Worked, OneLinearUnit) {
  const Worked cases[] = {
      {"sgd",
       [](const training::NamedTensors& p) { return Sgd(p, 0.1, 0, 0); },
       {0.39, -0.02},
       {0.471, 0.142},
       0.271,
       -0.729},
      {"momentum",
       [](const training::NamedTensors& p) { return Sgd(p, 0.1, 0.9, 1e-4); },
       {0.389997, -0.019998},
       {0.5519905, 0.3040042},
       0.3519963,
       -0.6480037},
      {"adam",
       [](const training::NamedTensors& p) {
         return Optimizer::Adam({{p, 0.1, 0}});
       },
       {0.4, -0.1},
       {0.4995213, -0.0004787},
       0.2995213,
       -0.7004787}};
  const at::Tensor x = Doubles({1, 2}, {1, 2});
  const at::Tensor zero = Doubles({0}, {1, 1});
  for (const Worked& c : cases) {
    Unit unit(Doubles({0.3, -0.2}, {1, 2}), Doubles({0.1}, {1}), true, c.make);
    unit.Step(x, zero);
    ExpectClose(unit.w, Doubles(c.w1, {1, 2}), 1e-7, c.name);
    unit.Step(x, zero);
    ExpectClose(unit.w, Doubles(c.w2, {1, 2}), 1e-7, c.name);
    EXPECT_NEAR(unit.b.item<double>(), c.b2, 1e-7);
    const at::Tensor corrected = unit.Output(x);
    if (c.name == std::string("sgd")) {
      EXPECT_NEAR(corrected.item<double>(), 3.271, 1e-12);
    }
    unit.Adopt();
    EXPECT_NEAR(unit.Output(x).item<double>(), c.reference, 1e-7);
    EXPECT_TRUE(at::equal(unit.w, Doubles({1, -1}, {1, 2})));
    unit.Adopt();  // again changes nothing
    EXPECT_TRUE(at::equal(unit.w, Doubles({1, -1}, {1, 2})));
  }
}

TEST(Worked, SignOfZeroIsZeroAndNanVanishes) {
  EXPECT_TRUE(at::equal(Effective(Doubles({0.3, -0.2, 0.0, -1.7}, {4}), true),
                        Doubles({1, -1, 0, -1}, {4})));
  EXPECT_EQ(Effective(Doubles({std::nan("")}, {1}), true).item<double>(), 0);
}

TEST(Worked, StatisticsStartFromZero) {
  const WeightStatistics s = Statistics(
      {Doubles({0.5, 0, 0}, {3}), Doubles({1, 1}, {2})}, {false, true});
  EXPECT_EQ(s.max, 1);
  EXPECT_EQ(s.min, 0);
  EXPECT_EQ(s.num_zeros, 2);
  EXPECT_EQ(s.num_binary, 2);
}

TEST(Worked, FlippedShareCountsBinaryLayersOnly) {
  const auto before = SignsOf({Doubles({1, -1, 1, 1}, {4}), Doubles({1}, {1})});
  const std::vector<at::Tensor> now = {Doubles({1, 1, 1, -1}, {4}),
                                       Doubles({-1}, {1})};
  EXPECT_DOUBLE_EQ(FlippedShare(before, now, {true, false}), 0.5);
  EXPECT_DOUBLE_EQ(FlippedShare(before, now, {true, true}), 0.6);
  EXPECT_DOUBLE_EQ(FlippedShare(before, now, {false, false}), 0);
}

// ---- A network of widths 12, 8, 6, 4 over four epochs ----

struct EvaluationTrace {
  std::vector<double> train_loss, loss, accuracy;
};

// Three batches of eight, then two of five to evaluate with.
class EpochRun {
 public:
  EpochRun(const Golden& golden, double rate, Semantics semantics)
      : golden_(golden),
        semantics_(semantics),
        network_(MakeMlp("tiny", {12, 8, 6, 4}, models::SeededGenerator(0))),
        optimizer_(Fill()) {
    optimizer_.set_learning_rate(0, rate);
  }

  void Epoch(const Flags& flags) {
    const at::Tensor x = golden_.Get("train_x"), y = golden_.Get("train_y");
    for (int64_t b = 0; b < 3; ++b) {
      const Gradients g =
          LossGradients(network_, flags, x.slice(0, 8 * b, 8 * b + 8),
                        y.slice(0, 8 * b, 8 * b + 8), at::kDouble);
      trace.train_loss.push_back(g.loss);
      if (semantics_ == Semantics::kReference) {
        last_ = RememberForward(network_.masters(), flags);
      }
      optimizer_.Step(g.gradients);
    }
  }

  void Evaluate(const Flags& flags) {
    const at::NoGradGuard no_grad;
    const at::Tensor x = golden_.Get("test_x"), y = golden_.Get("test_y");
    if (!last_.empty()) AdoptForward(last_, network_.masters());
    const Weights w = EffectiveWeights(network_, flags);
    double loss = 0;
    training::Score score;
    for (int64_t b = 0; b < 2; ++b) {
      const at::Tensor output = Forward(
          network_, w, x.slice(0, 5 * b, 5 * b + 5), false, at::kDouble);
      const at::Tensor labels = y.slice(0, 5 * b, 5 * b + 5);
      loss += Loss(network_, output, labels).item<double>();
      score += ScoreOf(output, labels, 0);
    }
    trace.loss.push_back(loss / 10);
    trace.accuracy.push_back(score.accuracy());
    statistics = Statistics(w.weight, flags);
  }

  const Network& network() const { return network_; }

  EvaluationTrace trace;
  WeightStatistics statistics;

 private:
  Optimizer Fill() {
    FillFrom(golden_, "init/", network_);
    return Optimizer::Adam({{network_.parameters(), 0, 0}});
  }

  const Golden& golden_;
  Semantics semantics_;
  Network network_;
  Optimizer optimizer_;
  LastForward last_;
};

void ExpectTrace(bool all_binary, Semantics semantics, int64_t epochs) {
  const Golden golden("eval_semantics.pt");
  const std::string at = absl::StrCat(
      all_binary ? "all_binary/" : "layer/",
      semantics == Semantics::kReference ? "reference/" : "corrected/");
  EpochRun run(golden, 0.1, semantics);
  for (int64_t k = 0; k < epochs; ++k) {
    const Flags flags =
        all_binary ? Flags(3, true) : ScheduledFlags({0, 1, 2}, k, 1);
    run.Epoch(flags);
    const auto compare = [&](const char* when, bool weights_only) {
      for (const auto& [name, tensor] : run.network().parameters()) {
        const std::string key =
            absl::StrCat(at, "epoch", k + 1, "_", when, "/", name);
        if (weights_only && !golden.Has(key)) continue;
        // The bias of a normalised layer has no gradient but rounding noise.
        const bool noise = absl::StrContains(name, ".0.bias") ||
                           absl::StrContains(name, ".3.bias");
        ExpectClose(tensor, golden.Get(key), noise ? 1e-7 : 1e-9, key);
      }
    };
    compare("before_eval", false);
    run.Evaluate(flags);
    compare("after_eval", true);
    const auto number = [&](const char* what) {
      return golden.Get(absl::StrCat(at, "test/", what))[k].item<double>();
    };
    EXPECT_NEAR(run.trace.loss.back(), number("loss"), 1e-9) << at << k;
    EXPECT_DOUBLE_EQ(run.trace.accuracy.back(), number("accuracy"));
    EXPECT_NEAR(run.statistics.max, number("weight/max"), 1e-9);
    EXPECT_NEAR(run.statistics.min, number("weight/min"), 1e-9);
    EXPECT_EQ(run.statistics.num_zeros, number("weight/num_zeros"));
    EXPECT_EQ(run.statistics.num_binary, number("weight/num_binary"));
    const at::Tensor recorded = golden.Get(at + "flags")[k];
    for (int64_t i = 0; i < 3; ++i) {
      EXPECT_EQ(flags[i], recorded[i].item<int64_t>() != 0);
    }
  }
  const at::Tensor losses = golden.Get(at + "train_loss");
  for (size_t i = 0; i < run.trace.train_loss.size(); ++i) {
    EXPECT_NEAR(run.trace.train_loss[i],
                losses[static_cast<int64_t>(i)].item<double>(), 1e-9)
        << at << i;
  }
}

TEST(EvaluationSemantics, LayerByLayer) {
  ExpectTrace(false, Semantics::kReference, 4);
  ExpectTrace(false, Semantics::kCorrected, 4);
}

TEST(EvaluationSemantics, AllBinary) {
  const Golden golden("eval_semantics.pt");
  const int64_t epochs = golden.Get("all_binary/reference/test/loss").size(0);
  ExpectTrace(true, Semantics::kReference, epochs);
  ExpectTrace(true, Semantics::kCorrected, epochs);
}

// Another order and rate, to the digits that were written down.
TEST(EvaluationSemantics, OrderOneThreeTwo) {
  const Golden golden("eval_semantics.pt");
  EpochRun run(golden, 0.01, Semantics::kReference);
  const double train[] = {1.76395, 1.39733, 1.46648, 1.49625, 1.37958, 1.47056,
                          1.43671, 1.12123, 1.51928, 1.40187, 1.1172,  1.49185};
  const double test[] = {0.2767907, 0.2703853, 0.4126674, 0.3356521};
  const double accuracy[] = {0.4, 0.3, 0.3, 0.3};
  const int64_t binary[] = {96, 120, 168, 168};
  for (int64_t k = 0; k < 4; ++k) {
    const Flags flags = ScheduledFlags({0, 2, 1}, k, 1);
    run.Epoch(flags);
    run.Evaluate(flags);
    EXPECT_NEAR(run.trace.loss[k], test[k], 6e-8);
    EXPECT_DOUBLE_EQ(run.trace.accuracy[k], accuracy[k]);
    EXPECT_EQ(run.statistics.num_binary, binary[k]);
  }
  for (int i = 0; i < 12; ++i) {
    EXPECT_NEAR(run.trace.train_loss[i], train[i], 6e-6);
  }
}

// ---- What must hold whatever the numbers ----

Network TinyNetwork() {
  Network network = MakeMlp("tiny", {12, 8, 6, 4}, models::SeededGenerator(3));
  network.State().ConvertTo(at::kDouble, at::kCPU);
  return network;
}

TEST(Invariants, EffectiveWeightsAreSignsOrTheMastersThemselves) {
  const Network network = TinyNetwork();
  network.layers[0].weight[0][0] = 0;
  const Weights w = EffectiveWeights(network, {true, false, true});
  EXPECT_TRUE(at::equal(w.weight[0].abs(), w.weight[0].ne(0).to(at::kDouble)));
  EXPECT_EQ(w.weight[0][0][0].item<double>(), 0);
  EXPECT_TRUE(at::equal(w.weight[1], network.layers[1].weight));
}

// The gradient with respect to the sign reaches the master undiminished, also
// where the master is large.
TEST(Invariants, StraightThroughIsTheIdentity) {
  const Network network = TinyNetwork();
  const at::Tensor x = HashFill({6, 1, 1, 12}, 1, 1);
  const at::Tensor labels = CountingLabels(6, 5, 3, 0, 4);
  const Flags all(3, true);
  const Gradients small = LossGradients(network, all, x, labels, at::kDouble);
  for (const Layer& layer : network.layers) layer.weight.mul_(1000);
  const Gradients large = LossGradients(network, all, x, labels, at::kDouble);
  EXPECT_EQ(small.loss, large.loss);
  for (size_t i = 0; i < small.gradients.size(); ++i) {
    EXPECT_TRUE(at::equal(small.gradients[i], large.gradients[i]));
  }
}

TEST(Invariants, AnEvaluationChangesNothingInCorrected) {
  const Network network = TinyNetwork();
  std::vector<at::Tensor> before;
  for (const auto& [name, tensor] : network.entries()) {
    before.push_back(tensor.clone());
  }
  Forward(network, EffectiveWeights(network, Flags(3, true)),
          HashFill({6, 1, 1, 12}, 2, 1), false, at::kDouble);
  size_t i = 0;
  for (const auto& [name, tensor] : network.entries()) {
    EXPECT_TRUE(at::equal(tensor, before[i++])) << name;
  }
}

// Forward, backward and update of a binary network depend on the flags alone,
// not on how they came to be set; flags only ever grow.
TEST(Invariants, FlagsNeverShrink) {
  const LayerOrder order = {3, 1, 4, 0, 2};
  Flags before(5, false);
  for (int64_t k = 0; k < 20; ++k) {
    const Flags now = ScheduledFlags(order, k, 3);
    for (size_t i = 0; i < 5; ++i) EXPECT_TRUE(now[i] || !before[i]);
    EXPECT_EQ(std::count(now.begin(), now.end(), true),
              std::min<int64_t>(5, k / 3 + 1));
    before = now;
  }
}

// 256 samples, all layers binary: it learns them.
TEST(Invariants, OverfitsAFewSamples) {
  Network network =
      MakeMlp("tiny", {64, 64, 64, 10}, models::SeededGenerator(5));
  Optimizer optimizer = Optimizer::Adam({{network.parameters(), 0.01, 0}});
  const at::Tensor x = HashFill({256, 1, 8, 8}, 9, 1).to(at::kFloat);
  const at::Tensor labels = CountingLabels(256, 7, 3, 1, 10);
  const Flags all(3, true);
  double accuracy = 0;
  for (int step = 0; step < 400 && accuracy < 0.95; ++step) {
    const Gradients g = LossGradients(network, all, x, labels, at::kFloat);
    accuracy = ScoreOf(g.output, labels, g.loss).accuracy();
    optimizer.Step(g.gradients);
  }
  EXPECT_GE(accuracy, 0.95);
}

}  // namespace
}  // namespace altprop::iterbin
