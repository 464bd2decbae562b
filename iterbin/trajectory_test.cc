// The authors' program on some minibatches of MNIST and CIFAR-10, through our
// command line.

#include <algorithm>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"
#include "iterbin/program_test_util.h"
#include "iterbin/test_util.h"

namespace altprop::iterbin {
namespace {

using training::Value;

// Biases before a batch norm and running means: rounding noise, amplified.
bool IsLoose(const std::string& name, const Value& model) {
  if (absl::EndsWith(name, "running_mean")) return true;
  absl::string_view module = name;
  if (!absl::ConsumeSuffix(&module, ".bias") || module == "linear")
    return false;
  const Value* weight = model.Find(absl::StrCat(module, ".weight"));
  return weight != nullptr && weight->tensor()->dim() > 1;
}

void ExpectModel(const Value& model, const Golden& golden,
                 const std::string& prefix) {
  int compared = 0;
  for (const auto& [name, value] : *model.dict()) {
    const double tolerance = IsLoose(name, model) ? 1e-6 : 1e-9;
    const at::Tensor have = *value.tensor();
    if (golden.Has(prefix + "final/" + name)) {
      ExpectClose(have, golden.Get(prefix + "final/" + name), tolerance, name);
      ++compared;
    }
    if (!golden.Has(prefix + "final_sample/" + name)) continue;
    // Sum, sum of magnitudes, of squares, elements, stride.
    const at::Tensor stats = golden.Get(prefix + "final_stats/" + name);
    const auto stride = static_cast<int64_t>(stats[4].item<double>());
    ExpectClose(have.flatten().slice(0, 0, std::nullopt, stride),
                golden.Get(prefix + "final_sample/" + name), tolerance, name);
    EXPECT_EQ(have.numel(), stats[3].item<double>());
    EXPECT_NEAR(have.abs().sum().item<double>(), stats[1].item<double>(),
                1e-8 * stats[1].item<double>());
    ++compared;
  }
  EXPECT_EQ(compared, static_cast<int>(model.dict()->size()));
}

void ExpectOptimizer(const Value& state, const Golden& golden) {
  int compared = 0;
  for (const auto& [parameter, entry] : *state.dict()) {
    for (const auto& [moment, value] : *entry.dict()) {
      const std::string key =
          absl::StrCat("optimizer_sample/", moment, "/", parameter);
      if (!golden.Has(key)) continue;
      const at::Tensor stats =
          golden.Get(absl::StrCat("optimizer_stats/", moment, "/", parameter));
      const auto stride = static_cast<int64_t>(stats[4].item<double>());
      ExpectClose(value.tensor()->flatten().slice(0, 0, std::nullopt, stride),
                  golden.Get(key), 1e-9, key);
      ++compared;
    }
  }
  EXPECT_GT(compared, 0);
}

void ExpectTrajectory(const std::string& name,
                      std::vector<std::string> arguments) {
  const std::string folder = "iterbin/testdata/" + name;
  const std::string run_dir = testing::NewFolder(name) + "/run";
  for (const std::string& argument :
       {absl::StrCat("--init_from=", folder, "/init.pt"),
        absl::StrCat("--data_root=", folder, "/data"),
        std::string("--shuffle=false"), std::string("--augment=false"),
        std::string("--precision=fp64"), std::string("--log_every=1"),
        std::string("--threads=1"), absl::StrCat("--run_dir=", run_dir)}) {
    arguments.push_back(argument);
  }
  const auto result = RunTool("main", arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Golden golden(name + "/expected.pt");
  const auto ours = training::LoadCheckpoint(run_dir + "/checkpoint.pt");
  ASSERT_TRUE(ours.ok()) << ours.status();
  ExpectModel(*ours->Find("model"), golden, "");
  ExpectOptimizer(*ours->Find("optimizer")->Find("state"), golden);

  const auto train = Lines(run_dir, "train");
  const at::Tensor loss = golden.Get("train_loss");
  ASSERT_EQ(static_cast<int64_t>(train.size()), loss.size(0));
  for (int64_t step = 0; step < loss.size(0); ++step) {
    EXPECT_NEAR(At(train[step], "loss"), loss[step].item<double>(), 1e-9);
  }
  const auto epochs = Lines(run_dir, "train_epoch");
  const auto test = Lines(run_dir, "test");
  ASSERT_EQ(static_cast<int64_t>(test.size()), golden.Get("lr").size(0));
  for (size_t e = 0; e < test.size(); ++e) {
    const auto row = static_cast<int64_t>(e);
    EXPECT_DOUBLE_EQ(At(epochs[e], "learning_rate"),
                     golden.Get("lr")[row].item<double>());
    for (const char* what :
         {"loss", "accuracy", "best_accuracy", "best_loss", "weight/max",
          "weight/min", "weight/num_zeros", "weight/num_binary"}) {
      const double want =
          golden.Get(absl::StrCat("test/", what))[row].item<double>();
      EXPECT_NEAR(At(test[e], what), want, 1e-8 * std::max(1.0, std::abs(want)))
          << what << " of epoch " << e + 1;
    }
  }
  // Its lines on the schedule, in their order.
  std::vector<std::string> schedule;
  for (const absl::string_view line : absl::StrSplit(result.out, '\n')) {
    if (absl::StartsWith(line, "Epoch: ") || absl::StartsWith(line, "Layer ") ||
        absl::StartsWith(line, "Binary ") ||
        absl::StartsWith(line, "All already")) {
      schedule.emplace_back(line);
    }
  }
  const std::vector<std::string> expected = absl::StrSplit(
      testing::ReadFile(folder + "/log.txt"), '\n', absl::SkipEmpty());
  EXPECT_EQ(schedule, expected);
}

TEST(Trajectory, PerceptronOnMnist) {
  ExpectTrajectory(
      "cli_mnist300_layer",
      {"--dataset", "mnist", "--model", "300_layer", "--layers-indices",
       "mlp3_layers_forward.json", "--epochs", "4", "--epochs-per-layer", "1",
       "--lr", "0.01", "--batch-size", "20", "--test-batch-size", "20"});
}

TEST(Trajectory, ResNet20OnCifar) {
  ExpectTrajectory("cli_cifar_resnet20_layer",
                   {"--dataset",
                    "cifar10",
                    "--dataset-indices",
                    "iterbin/testdata/cli_cifar_resnet20_layer/data/split.json",
                    "--model",
                    "resnet20_layer",
                    "--layers-indices",
                    "resnet20_layers_forward.json",
                    "--epochs",
                    "3",
                    "--epochs-per-layer",
                    "1",
                    "--lr",
                    "0.1",
                    "--momentum",
                    "0.9",
                    "--scheduler-milestones",
                    "[3]",
                    "--batch-size",
                    "12",
                    "--test-batch-size",
                    "10"});
}

}  // namespace
}  // namespace altprop::iterbin
