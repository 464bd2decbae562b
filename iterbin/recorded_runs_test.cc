// Whole runs of the authors' program on small networks, in double: every loss,
// every evaluation, the last weights.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/arange.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "common/training/optimizer.h"
#include "gtest/gtest.h"
#include "iterbin/data.h"
#include "iterbin/orders.h"
#include "iterbin/score.h"
#include "iterbin/test_util.h"

namespace altprop::iterbin {
namespace {

using training::Optimizer;
using training::Score;

struct Recorded {
  const char* file;
  const char* dataset;
  Network network;
  LayerOrder order;
  double rate;
  int64_t epochs_per_layer, batch, test_batch;
  double tight, loose;  // the second of biases before a batch norm
};

class RecordedRun {
 public:
  RecordedRun(const Recorded& r, Semantics semantics)
      : r_(r),
        golden_(r.file),
        network_(r.network),
        optimizer_(Fill()),
        semantics_(semantics),
        at_(semantics == Semantics::kReference ? "reference/" : "corrected/") {}

  void Compare() {
    const int64_t epochs = golden_.Get(at_ + "lr").size(0);
    for (int64_t k = 0; k < epochs; ++k) {
      const Flags flags = ScheduledFlags(r_.order, k, r_.epochs_per_layer);
      for (size_t i = 0; i < flags.size(); ++i) {
        EXPECT_EQ(flags[i],
                  golden_.Get(at_ + "flags")[k][static_cast<int64_t>(i)]
                          .item<int64_t>() != 0);
      }
      Train(flags);
      Evaluate(k, flags);
    }
    for (const auto& [name, tensor] : network_.entries()) {
      const bool loose =
          absl::EndsWith(name, "running_mean") || BiasBeforeNorm(name);
      ExpectClose(tensor, golden_.Get(at_ + "final/" + name),
                  loose ? r_.loose : r_.tight, at_ + name);
    }
  }

 private:
  Optimizer Fill() {
    FillFrom(golden_, "init/", network_);
    return Optimizer::Adam({{network_.parameters(), r_.rate, 0}});
  }

  bool BiasBeforeNorm(const std::string& name) const {
    return std::any_of(
        network_.layers.begin(), network_.layers.end(),
        [&](const Layer& layer) { return name == layer.name + ".bias"; });
  }

  at::Tensor Images(const std::string& split, int64_t first, int64_t count) {
    at::Tensor images =
        golden_.Get("data/" + split + "_image_uint8").narrow(0, first, count);
    if (images.dim() == 3) images = images.unsqueeze(1);
    return Input(r_.dataset, images, at::Tensor(), at::kDouble);
  }
  at::Tensor Labels(const std::string& split) {
    return golden_.Get("data/" + split + "_label");
  }

  void Train(const Flags& flags) {
    const at::Tensor labels = Labels("train");
    for (int64_t first = 0; first < labels.size(0); first += r_.batch) {
      const int64_t count = std::min(r_.batch, labels.size(0) - first);
      const Gradients g =
          LossGradients(network_, flags, Images("train", first, count),
                        labels.narrow(0, first, count), at::kDouble);
      EXPECT_NEAR(g.loss, golden_.Get(at_ + "train_loss")[step_].item<double>(),
                  r_.tight)
          << at_ << step_;
      if (semantics_ == Semantics::kReference) {
        last_ = RememberForward(network_.masters(), flags);
      }
      optimizer_.Step(g.gradients);
      ++step_;
    }
  }

  void Evaluate(int64_t k, const Flags& flags) {
    const at::NoGradGuard no_grad;
    if (!last_.empty()) AdoptForward(last_, network_.masters());
    const Weights w = EffectiveWeights(network_, flags);
    const at::Tensor labels = Labels("test");
    double loss = 0;
    Score score;
    for (int64_t first = 0; first < labels.size(0); first += r_.test_batch) {
      const int64_t count = std::min(r_.test_batch, labels.size(0) - first);
      const at::Tensor output = Forward(
          network_, w, Images("test", first, count), false, at::kDouble);
      loss +=
          Loss(network_, output, labels.narrow(0, first, count)).item<double>();
      score += ScoreOf(output, labels.narrow(0, first, count), 0);
    }
    const auto number = [&](const char* what) {
      return golden_.Get(absl::StrCat(at_, "test/", what))[k].item<double>();
    };
    EXPECT_NEAR(loss / static_cast<double>(score.samples), number("loss"),
                r_.loose)
        << at_ << k;
    EXPECT_DOUBLE_EQ(score.accuracy(), number("accuracy"));
    const WeightStatistics s = Statistics(w.weight, flags);
    EXPECT_NEAR(s.max, number("weight/max"), r_.tight);
    EXPECT_NEAR(s.min, number("weight/min"), r_.tight);
    EXPECT_EQ(s.num_zeros, number("weight/num_zeros"));
    EXPECT_EQ(s.num_binary, number("weight/num_binary"));
  }

  const Recorded& r_;
  Golden golden_;
  Network network_;
  Optimizer optimizer_;
  Semantics semantics_;
  std::string at_;
  LastForward last_;
  int64_t step_ = 0;
};

TEST(RecordedRuns, PerceptronForward) {
  for (const Semantics semantics :
       {Semantics::kReference, Semantics::kCorrected}) {
    const Recorded r = {
        "trajectory_mlp.pt",
        "mnist",
        MakeMlp("tiny", {784, 12, 12, 10}, models::SeededGenerator(0)),
        PublishedOrder("mlp3", "forward"),
        0.02,
        2,
        20,
        20,
        1e-8,
        1e-6};
    RecordedRun(r, semantics).Compare();
  }
}

TEST(RecordedRuns, Vgg9Ascend) {
  for (const Semantics semantics :
       {Semantics::kReference, Semantics::kCorrected}) {
    const Recorded r = {"trajectory_vgg9.pt",
                        "cifar10",
                        MakeVgg("tiny", {{6, 6}, {6, 6}, {8, 8}}, {12, 12}, 10,
                                models::SeededGenerator(0)),
                        PublishedOrder("vgg9", "ascend"),
                        0.01,
                        1,
                        12,
                        8,
                        1e-7,
                        1e-5};
    RecordedRun(r, semantics).Compare();
  }
}

// ---- ResNet-21, as the ImageNet program trains it ----

at::Tensor HashImages(int64_t batch) {
  return HashFill({4, 3, 64, 64}, 1000 + batch, 1);
}
at::Tensor HashLabels(int64_t batch) {
  return CountingLabels(4, 7, 0, 3 + 11 * batch, 1000);
}

void ExpectRelative(double actual, double expected, const std::string& what) {
  EXPECT_LE(std::abs(actual - expected),
            1e-6 * std::max(1.0, std::abs(expected)))
      << what << ": " << actual << ", recorded " << expected;
}

// Sum and sum of magnitudes of every parameter and running statistic.
void ExpectState(const Network& network, const at::Tensor& expected,
                 const std::string& what) {
  int64_t row = 0;
  for (const auto& [name, tensor] : network.entries()) {
    if (!tensor.is_floating_point()) continue;
    const double scale = expected[row][1].item<double>();
    EXPECT_NEAR(tensor.sum().item<double>(), expected[row][0].item<double>(),
                1e-6 * scale)
        << what << name;
    EXPECT_NEAR(tensor.abs().sum().item<double>(), scale, 1e-6 * scale)
        << what << name;
    ++row;
  }
  EXPECT_EQ(row, expected.size(0));
}

void ExpectImageNetRun(bool all_binary, int64_t epochs,
                       const std::vector<int64_t>& milestones) {
  const Golden golden("family_b_trace.pt");
  const std::string at = all_binary ? "all_binary/" : "layer/";
  Network network = MakeNamed("resnet21", models::SeededGenerator(0));
  FillByHash(network);
  Optimizer optimizer =
      Optimizer::Sgd({{network.parameters(), 0.01, 1e-4}}, 0.9);
  const LayerOrder order = PublishedOrder("resnet21", "forward");
  int64_t step = 0, validation = 0;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    const double rate = PowerRate(0.01, milestones, epoch);
    EXPECT_DOUBLE_EQ(rate, golden.Get(at + "lr")[epoch].item<double>());
    optimizer.set_learning_rate(0, rate);
    const Flags flags =
        all_binary ? Flags(21, true) : ScheduledFlags(order, epoch, 1);
    Score train;
    for (const int64_t b : {0, 1}) {
      const Gradients g = LossGradients(network, flags, HashImages(b),
                                        HashLabels(b), at::kDouble);
      ExpectRelative(g.loss,
                     golden.Get(at + "train/loss")[step++].item<double>(), at);
      train += ScoreOf(g.output, HashLabels(b), g.loss, true);
      optimizer.Step(g.gradients);
    }
    const at::NoGradGuard no_grad;
    const Weights w = EffectiveWeights(network, flags);
    Score val;
    for (const int64_t b : {2, 0}) {
      const at::Tensor output =
          Forward(network, w, HashImages(b), false, at::kDouble);
      const double loss = Loss(network, output, HashLabels(b)).item<double>();
      ExpectRelative(
          loss, golden.Get(at + "val/loss")[validation++].item<double>(), at);
      val += ScoreOf(output, HashLabels(b), loss, true);
    }
    const at::Tensor train_acc = golden.Get(at + "train/acc")[epoch];
    const at::Tensor val_acc = golden.Get(at + "val/acc")[epoch];
    EXPECT_NEAR(100 * train.accuracy(), train_acc[0].item<double>(), 1e-4);
    EXPECT_NEAR(100 * train.accuracy5(), train_acc[1].item<double>(), 1e-4);
    EXPECT_NEAR(100 * val.accuracy(), val_acc[0].item<double>(), 1e-4);
    EXPECT_NEAR(100 * val.accuracy5(), val_acc[1].item<double>(), 1e-4);
    ExpectState(network, golden.Get(at + "state_sum_abssum")[epoch], at);
  }
  for (const auto& [name, tensor] : network.entries()) {
    const std::string key = at + "final_sample/" + name;
    if (!golden.Has(key)) continue;
    const int64_t stride = std::max<int64_t>(1, tensor.numel() / 200);
    ExpectClose(tensor.flatten().slice(0, 0, std::nullopt, stride),
                golden.Get(key), 1e-6, key);
  }
}

TEST(RecordedRuns, ResNet21Forward) { ExpectImageNetRun(false, 3, {2}); }
TEST(RecordedRuns, ResNet21AllBinary) { ExpectImageNetRun(true, 2, {2}); }

}  // namespace
}  // namespace altprop::iterbin
