// The weight memory, the trainers of blocks and the loss scaler.

#include <cmath>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/match.h"
#include "common/testing/files.h"
#include "common/training/optimizer.h"
#include "gtest/gtest.h"
#include "sedona/decoupling.h"
#include "sedona/greedy.h"
#include "sedona/greedy_trainer.h"
#include "sedona/losses.h"
#include "sedona/memory.h"
#include "sedona/supernet.h"
#include "sedona/test_util.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::sedona {
namespace {

using torch::autograd::grad;

constexpr Mode kTraining{.training = true};

Minibatch HashBatch(int64_t n, int64_t stream, int64_t o) {
  return {HashImages(n, stream), HashLabels(n, o)};
}

// ---- The weight memory ----

Snapshot At(int64_t step, double error = 0.5) {
  Snapshot snapshot;
  snapshot.step = step;
  snapshot.error = error;
  snapshot.model = training::Dict{
      {"w", at::tensor({static_cast<double>(step)}, at::kDouble)}};
  snapshot.optimizer = training::Dict{{"state", training::Dict{}}};
  return snapshot;
}

std::vector<int64_t> Steps(const WeightMemory& memory) {
  std::vector<int64_t> steps;
  for (const Snapshot& s : memory.snapshots()) steps.push_back(s.step);
  return steps;
}

TEST(WeightMemoryTest, KeepsTheLastFifty) {
  WeightMemory memory(50, Eviction::kOldest);
  for (int64_t t = 0; t < 40000; t += 80) memory.Insert(At(t));
  ASSERT_EQ(memory.size(), 50);
  for (int64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(Steps(memory)[static_cast<size_t>(i)], 36000 + 80 * i);
  }
  NumpyRandom random(2021);
  const Snapshot drawn = memory.Sample(random);
  EXPECT_EQ(memory.size(), 49);
  for (const int64_t step : Steps(memory)) EXPECT_NE(step, drawn.step);
  memory.Insert(drawn);
  EXPECT_EQ(memory.size(), 50);
  EXPECT_EQ(Steps(memory).back(), drawn.step);
}

TEST(WeightMemoryTest, EvictsTheWorst) {
  WeightMemory memory(3, Eviction::kWorst);
  for (const double error : {0.3, 0.9, 0.1, 0.5, 0.2}) {
    memory.Insert(At(static_cast<int64_t>(error * 10), error));
  }
  EXPECT_EQ(Steps(memory), (std::vector<int64_t>{3, 1, 2}));
  EXPECT_NEAR(memory.MeanError(), 0.2, 1e-12);
}

TEST(WeightMemoryTest, ReadsWhatItWrote) {
  const std::string folder = testing::NewFolder("memory") + "/key";
  WeightMemory memory(5, Eviction::kOldest);
  for (int64_t t = 0; t < 5; ++t) memory.Insert(At(t, 0.1 * t));
  const MemorySettings settings = {{"valid_size", "0.4"}};
  ASSERT_TRUE(memory.Save(folder, settings).ok());
  // Again: the older files go.
  ASSERT_TRUE(memory.Save(folder, settings).ok());
  WeightMemory newest(3, Eviction::kOldest);
  ASSERT_TRUE(newest.Load(folder, settings).ok());
  EXPECT_EQ(Steps(newest), (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(newest.snapshots()[2].error, 0.1 * 4);
  WeightMemory all(50, Eviction::kOldest);
  ASSERT_TRUE(all.Load(folder, settings).ok());
  EXPECT_EQ(all.size(), 5);
  const absl::Status other = all.Load(folder, {{"valid_size", "0.1"}});
  EXPECT_TRUE(absl::StrContains(other.message(), "--valid_size=0.4")) << other;
}

TEST(WeightMemoryTest, ACopySharesNothing) {
  const at::Tensor weight = at::zeros({3});
  const training::Value copy = DeepCopy(training::Dict{{"w", weight}});
  weight.add_(1);
  EXPECT_EQ(copy.Find("w")->tensor()->sum().item<double>(), 0);
}

TEST(KeyNumberTest, AsTheAuthorsWriteIt) {
  EXPECT_EQ(KeyNumber(0), "0");
  EXPECT_EQ(KeyNumber(0.1), "0.1000");
  EXPECT_EQ(KeyNumber(1e-3), "1.00e-03");
  EXPECT_EQ(KeyNumber(128.5), "1.28e+02");
}

// ---- Greedy trainers ----

Network Uniform(const std::string& name, int64_t k, AuxKind aux) {
  Architecture architecture;
  architecture.name = name;
  architecture.feat_mult = 0.25;
  auto network = MakeNetwork(
      architecture,
      ChooseAux(architecture, UniformDecoupling(UnitCount(name), k), aux));
  EXPECT_TRUE(network.ok()) << network.status();
  Initialise(*network, 1);
  ConvertTo(*network, at::kDouble, at::kCPU);
  RequireGradients(*network);
  return *std::move(network);
}

GreedyTrainer TrainerOf(const Network& network, TrainerOptions options) {
  std::vector<training::Optimizer> optimizers;
  for (const Block& block : Blocks(network)) {
    training::ParameterGroup group;
    group.parameters = Detached(BlockParameters(network, block));
    group.weight_decay = 1e-4;
    optimizers.push_back(training::Optimizer::Sgd({group}, 0.9));
  }
  options.learning_rate = [](int64_t t) { return 0.1 / (1 + t); };
  return GreedyTrainer(network, std::move(optimizers), std::move(options));
}

absl::StatusOr<Minibatch> NthBatch(int64_t t) {
  return HashBatch(6, 2000 + t, t);
}

void ExpectSame(const Network& a, const Network& b) {
  const training::NamedTensors x = State(a), y = State(b);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_TRUE(x[i].second.equal(y[i].second)) << x[i].first;
  }
}

// Threads that wait for each other at nothing but their queues end where blocks
// one after the other end, bit for bit.
TEST(GreedyTrainerTest, ThreadsEndWhereSequentialBlocksEnd) {
  for (const int64_t queue : {1, 50}) {
    Network one = Uniform("resnet18", 3, AuxKind::kMlpSr);
    Network all = Uniform("resnet18", 3, AuxKind::kMlpSr);
    TrainerOptions options;
    GreedyTrainer sequential = TrainerOf(one, options);
    options.threads = true;
    options.queue_size = queue;
    GreedyTrainer pipelined = TrainerOf(all, options);
    absl::Status error;
    const auto a = sequential.Run(0, 7, NthBatch, error);
    auto b = pipelined.Run(0, 3, NthBatch, error);
    for (const StepScore& step : pipelined.Run(3, 7, NthBatch, error)) {
      b.push_back(step);
    }
    ASSERT_TRUE(error.ok()) << error;
    ExpectSame(one, all);
    ASSERT_EQ(a.size(), 7u);
    ASSERT_EQ(b.size(), 7u);
    for (size_t t = 0; t < 7; ++t) {
      EXPECT_EQ(a[t].losses, b[t].losses);
      EXPECT_EQ(a[t].score.correct, b[t].score.correct);
    }
    const BlockTimes times = pipelined.TakeTimes();
    ASSERT_EQ(times.busy.size(), 3u);
    EXPECT_GT(times.busy[2], 0);
  }
}

// An error of the data ends all blocks at the same iteration.
TEST(GreedyTrainerTest, EndsTogetherWhenTheDataFail) {
  Network network = Uniform("vgg11", 4, AuxKind::kPredSim);
  TrainerOptions options;
  options.threads = true;
  GreedyTrainer trainer = TrainerOf(network, options);
  absl::Status error;
  const auto steps = trainer.Run(
      0, 10,
      [](int64_t t) -> absl::StatusOr<Minibatch> {
        if (t == 4) return absl::DataLossError("gone");
        return NthBatch(t);
      },
      error);
  EXPECT_EQ(error.message(), "gone");
  EXPECT_EQ(steps.size(), 4u);
}

// One block alone is ordinary backpropagation.
TEST(GreedyTrainerTest, OneBlockIsBackpropagation) {
  Network network = Uniform("resnet18", 1, AuxKind::kMlpSr);
  Network copy = Clone(network);
  GreedyTrainer trainer = TrainerOf(network, {});
  absl::Status error;
  trainer.Run(0, 2, NthBatch, error);
  training::ParameterGroup group;
  group.parameters = Detached(Parameters(copy));
  group.weight_decay = 1e-4;
  training::Optimizer optimizer = training::Optimizer::Sgd({group}, 0.9);
  for (int64_t t = 0; t < 2; ++t) {
    const Minibatch batch = *NthBatch(t);
    const at::Tensor loss = SmoothCrossEntropy(
        HeadLogits(copy, batch.x, kTraining), batch.labels, 0.1);
    optimizer.set_learning_rate(0, 0.1 / (1 + t));
    optimizer.Step(grad({loss}, TensorsOf(Parameters(copy))));
  }
  // But for the order of sums: the trainer's images have their channels
  // together.
  const training::NamedTensors x = State(network), y = State(copy);
  for (size_t i = 0; i < x.size(); ++i) {
    ExpectClose(x[i].second, y[i].second, 1e-11, x[i].first);
  }
}

// An overflow in one block skips that block's update and halves the scale: the
// one that blocks share, or the block's own.
TEST(LossScalerTest, AnOverflowSkipsItsBlockOnly) {
  for (const bool threads : {false, true}) {
    Network network = Uniform("vgg11", 3, AuxKind::kMlpSr);
    const Network before = Clone(network);
    TrainerOptions options;
    options.scale_loss = true;
    options.threads = threads;
    GreedyTrainer trainer = TrainerOf(network, options);
    for (size_t j = 0; j < 3; ++j) {
      std::vector<at::Tensor> gradients;
      for (const at::Tensor& p :
           TensorsOf(BlockParameters(network, trainer.blocks()[j]))) {
        gradients.push_back(at::zeros_like(p.detach()) + 65536.0);
      }
      if (j == 1) gradients[2].view(-1)[0] = HUGE_VAL;
      trainer.Update(j, 0, gradients);
      trainer.EndScaledStep(j);
    }
    for (size_t j = 0; j < 3; ++j) {
      const auto now = BlockParameters(network, trainer.blocks()[j]);
      const auto then = BlockParameters(before, trainer.blocks()[j]);
      for (size_t i = 0; i < now.size(); ++i) {
        EXPECT_EQ(now[i].second.equal(then[i].second), j == 1);
      }
      EXPECT_EQ(trainer.loss_scale(j), threads && j != 1 ? 65536 : 32768);
    }
  }
}

TEST(LossScalerTest, GrowsAfterCleanIterations) {
  LossScaler scaler;
  for (int i = 0; i < 1999; ++i) scaler.Update();
  EXPECT_EQ(scaler.scale(), 65536);
  scaler.Update();
  EXPECT_EQ(scaler.scale(), 131072);
}

}  // namespace
}  // namespace altprop::sedona
