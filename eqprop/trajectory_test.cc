// The authors' program on some minibatches of MNIST and CIFAR-10, through our
// command line.

#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/max.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "common/training/metrics.h"
#include "eqprop/program_test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

using training::LoadCheckpoint;
using training::MetricsLine;
using training::Value;

constexpr char kGolden[] = "eqprop/testdata/traj_mlp_mnist";
// Of the widest matrix the recording keeps every eighth column.
constexpr int64_t kKeptColumn = 8;

std::vector<MetricsLine> Lines(const std::string& run_dir,
                               const std::string& split) {
  std::istringstream file(
      testing::ReadFile(absl::StrCat(run_dir, "/metrics.jsonl")));
  std::vector<MetricsLine> lines;
  for (std::string text; std::getline(file, text);) {
    const auto line = training::ParseMetricsJson(text);
    EXPECT_TRUE(line.ok()) << line.status();
    if (line.ok() && line->split == split) lines.push_back(*line);
  }
  return lines;
}

double At(const MetricsLine& line, const std::string& name) {
  for (const auto& [key, value] : line.values) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no " << name;
  return std::nan("");
}

// max|theta - theta_ref| <= 1e-7 max|theta_ref - theta_init| + 1e-12
void ExpectSameParameters(const Value& model, const Value& golden) {
  for (const char* name : {"synapses.0.weight", "synapses.0.bias",
                           "synapses.1.weight", "synapses.1.bias"}) {
    at::Tensor ours = *model.Find(name)->tensor();
    if (std::string(name) == "synapses.0.weight") {
      ours = ours.slice(1, 0, ours.size(1), kKeptColumn);
    }
    const at::Tensor expected =
        *golden.Find(absl::StrCat("final.", name))->tensor();
    const double moved = golden.Find(absl::StrCat("displacement.", name))
                             ->tensor()
                             ->item<double>();
    EXPECT_LE((ours - expected).abs().max().item<double>(),
              1e-7 * moved + 1e-12)
        << name;
  }
}

TEST(Trajectory, EqualsTheAuthorsProgramOnMnist) {
  const std::string run_dir = testing::NewFolder("trajectory") + "/run";
  const auto result = RunTrain(
      {"--model", "MLP", "--task", "MNIST", "--archi", "784", "16", "10",
       "--optim", "adam", "--lrs", "5e-4", "5e-4", "--epochs", "1", "--act",
       "mysig", "--todo", "train", "--betas", "0.0", "0.1", "--T1", "30",
       "--T2", "10", "--mbs", "20",
       // The recording's weights are the authors' own of this seed.
       "--seed", "11", "--shuffle=false", "--precision=fp64", "--log_every=1",
       absl::StrCat("--data_root=", kGolden), "--run_dir", run_dir});
  ASSERT_EQ(result.exit_code, 0) << result.err;

  const auto golden = LoadCheckpoint(absl::StrCat(kGolden, "/expected.pt"));
  ASSERT_TRUE(golden.ok()) << golden.status();
  const auto ours = LoadCheckpoint(run_dir + "/checkpoint.pt");
  ASSERT_TRUE(ours.ok()) << ours.status();
  ExpectSameParameters(*ours->Find("model"), *golden);

  const std::vector<MetricsLine> train = Lines(run_dir, "train");
  const at::Tensor loss = *golden->Find("loss")->tensor();
  const at::Tensor correct = *golden->Find("train_correct")->tensor();
  ASSERT_EQ(train.size(), 10u);
  for (int64_t step = 0; step < 10; ++step) {
    EXPECT_EQ(train[step].step, step + 1);
    EXPECT_NEAR(At(train[step], "loss"), loss[step].item<double>(), 1e-9);
    EXPECT_DOUBLE_EQ(At(train[step], "accuracy"),
                     correct[step].item<double>() / 20);
  }
  const std::vector<MetricsLine> test = Lines(run_dir, "test");
  ASSERT_EQ(test.size(), 1u);
  EXPECT_DOUBLE_EQ(
      At(test[0], "accuracy"),
      golden->Find("test_correct")->tensor()->item<double>() / 100);
}

// A convolutional network on 80 images of CIFAR-10, from recorded weights.
void ExpectCifarTrajectory(const std::string& name, int64_t steps,
                           std::vector<std::string> arguments) {
  const std::string folder = "eqprop/testdata/" + name;
  const std::string run_dir = testing::NewFolder(name) + "/run";
  for (const std::string& argument :
       {absl::StrCat("--init_from=", folder, "/init.pt"),
        std::string("--data_root=eqprop/testdata/traj_cifar_data"),
        std::string("--shuffle=false"), std::string("--precision=fp64"),
        std::string("--log_every=1"), absl::StrCat("--run_dir=", run_dir)}) {
    arguments.push_back(argument);
  }
  const auto result = RunTrain(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto golden = LoadCheckpoint(folder + "/expected.pt");
  ASSERT_TRUE(golden.ok()) << golden.status();
  const auto init = LoadCheckpoint(folder + "/init.pt");
  ASSERT_TRUE(init.ok()) << init.status();
  const auto ours = LoadCheckpoint(run_dir + "/checkpoint.pt");
  ASSERT_TRUE(ours.ok()) << ours.status();
  const auto model = init->GetDict("model");
  ASSERT_TRUE(model.ok()) << model.status();
  for (const auto& [parameter, initial] : **model) {
    const at::Tensor actual = *ours->Find("model")->Find(parameter)->tensor();
    const at::Tensor expected =
        *golden->Find(absl::StrCat("final.", parameter))->tensor();
    const double moved =
        (expected - *initial.tensor()).abs().max().item<double>();
    EXPECT_GT(moved, 0);
    EXPECT_LE((actual - expected).abs().max().item<double>(),
              1e-7 * moved + 1e-12)
        << parameter;
  }
  const std::vector<MetricsLine> train = Lines(run_dir, "train");
  const at::Tensor loss = *golden->Find("loss")->tensor();
  const at::Tensor correct = *golden->Find("train_correct")->tensor();
  ASSERT_EQ(static_cast<int64_t>(train.size()), steps);
  for (int64_t step = 0; step < steps; ++step) {
    EXPECT_NEAR(At(train[step], "loss"), loss[step].item<double>(), 1e-9);
    EXPECT_DOUBLE_EQ(At(train[step], "accuracy"),
                     correct[step].item<double>() / 8);
  }
  const std::vector<MetricsLine> test = Lines(run_dir, "test");
  const at::Tensor test_correct =
      golden->Find("test_correct")->tensor()->flatten();
  ASSERT_EQ(static_cast<int64_t>(test.size()), test_correct.numel());
  for (size_t epoch = 0; epoch < test.size(); ++epoch) {
    EXPECT_DOUBLE_EQ(At(test[epoch], "accuracy"),
                     test_correct[epoch].item().toDouble() / 20);
  }
}

TEST(Trajectory, EqualsTheAuthorsProgramOnCifarWithCosineDecay) {
  ExpectCifarTrajectory("traj_cnn_cifar", 20,
                        {"--model",     "CNN",        "--task",
                         "CIFAR10",     "--channels", "4",
                         "6",           "8",          "8",
                         "--kernels",   "3",          "3",
                         "3",           "3",          "--pools",
                         "mmmm",        "--strides",  "1",
                         "1",           "1",          "1",
                         "--paddings",  "1",          "1",
                         "1",           "0",          "--fc",
                         "10",          "--optim",    "sgd",
                         "--lrs",       "0.25",       "0.15",
                         "0.1",         "0.08",       "0.05",
                         "--wds",       "3e-4",       "3e-4",
                         "3e-4",        "3e-4",       "3e-4",
                         "--mmt",       "0.9",        "--lr-decay",
                         "--epochs",    "2",          "--act",
                         "my_hard_sig", "--todo",     "train",
                         "--T1",        "40",         "--T2",
                         "10",          "--mbs",      "8",
                         "--alg",       "EP",         "--betas",
                         "0.0",         "0.5",        "--thirdphase",
                         "--loss",      "mse"});
}

TEST(Trajectory, EqualsTheAuthorsProgramOnCifarWithASoftmaxReadout) {
  ExpectCifarTrajectory("traj_cnn_cifar_cel", 10, {"--model",    "CNN",
                                                   "--task",     "CIFAR10",
                                                   "--channels", "4",
                                                   "6",          "8",
                                                   "8",          "--kernels",
                                                   "3",          "3",
                                                   "3",          "3",
                                                   "--pools",    "mmmm",
                                                   "--strides",  "1",
                                                   "1",          "1",
                                                   "1",          "--paddings",
                                                   "1",          "1",
                                                   "1",          "0",
                                                   "--fc",       "10",
                                                   "--optim",    "sgd",
                                                   "--lrs",      "0.25",
                                                   "0.15",       "0.1",
                                                   "0.08",       "0.05",
                                                   "--wds",      "3e-4",
                                                   "3e-4",       "3e-4",
                                                   "3e-4",       "3e-4",
                                                   "--mmt",      "0.9",
                                                   "--epochs",   "1",
                                                   "--act",      "my_hard_sig",
                                                   "--todo",     "train",
                                                   "--T1",       "40",
                                                   "--T2",       "8",
                                                   "--mbs",      "8",
                                                   "--alg",      "EP",
                                                   "--betas",    "0.0",
                                                   "1.0",        "--thirdphase",
                                                   "--loss",     "cel",
                                                   "--softmax"});
}

}  // namespace
}  // namespace altprop::eqprop
