// The authors' program on some minibatches of MNIST and CIFAR-10, through our
// command line: modes, triggers of the update, the rate's drop.

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/max.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cbp/program_test_util.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"

namespace altprop::cbp {
namespace {

using training::Value;

struct Trajectory {
  const char* name;
  const char* dataset;
  const char* data;
  double tolerance;
  int64_t test;  // images
  std::vector<std::string> arguments;
};

const Trajectory kTrajectories[] = {
    {"bin",
     "mnist",
     "data_mnist",
     1e-9,
     64,
     {"--model=mnist_cnn", "--quant=bin", "--batch_size=16", "--epochs=5",
      "--lr=0.02", "--lr_lambda=1e-2", "--weight_decay=1e-4", "--period=2"}},
    {"2bit",
     "mnist",
     "data_mnist",
     1e-9,
     64,
     {"--model=mnist_cnn", "--quant=2bit", "--batch_size=32", "--epochs=10",
      "--lr=0.01", "--lr_lambda=3e-3", "--weight_decay=5e-4", "--period=1"}},
    {"1bit",
     "mnist",
     "data_mnist",
     1e-9,
     64,
     {"--model=mnist_cnn", "--quant=1bit", "--batch_size=16", "--epochs=7",
      "--lr=1.0", "--lr_lambda=1e-4", "--weight_decay=1e-4", "--period=3"}},
    {"resnet20_ter",
     "cifar10",
     "data_cifar10",
     1e-6,
     20,
     {"--model=resnet20", "--quant=ter", "--batch_size=8", "--epochs=4",
      "--lr=0.01", "--lr_lambda=5e-3", "--weight_decay=1e-4", "--period=3"}},
};

class TrajectoryTest
    : public ::testing::TestWithParam<std::tuple<Trajectory, bool>> {};

const Value* StateOf(const Value& checkpoint, const std::string& key) {
  if (absl::StartsWith(key, "final.")) {
    return checkpoint.Find("model")->Find(absl::StripPrefix(key, "final."));
  }
  if (absl::StartsWith(key, "lambda.")) {
    return checkpoint.Find("lambda")->Find(absl::StripPrefix(key, "lambda."));
  }
  const Value* momentum = checkpoint.Find("optimizer")
                              ->Find("state")
                              ->Find(absl::StripPrefix(key, "momentum."));
  return momentum == nullptr ? nullptr : momentum->Find("momentum_buffer");
}

TEST_P(TrajectoryTest, EqualsTheAuthorsProgram) {
  const Trajectory& t = std::get<0>(GetParam());
  const bool fused = std::get<1>(GetParam());
  const std::string folder = absl::StrCat("cbp/testdata/trajectory_", t.name);
  const std::string run_dir = testing::NewFolder(t.name) + "/run";
  std::vector<std::string> arguments = t.arguments;
  for (const std::string& argument :
       {absl::StrCat("--dataset=", t.dataset),
        absl::StrCat("--data_root=cbp/testdata/", t.data),
        absl::StrCat("--init=", folder, "/init.pt"), std::string("--width=2"),
        std::string("--shuffle=false"), std::string("--augment=false"),
        std::string("--precision=fp64"), std::string("--log_every=1"),
        std::string("--threads=1"), absl::StrCat("--fused=", fused),
        absl::StrCat("--run_dir=", run_dir)}) {
    arguments.push_back(argument);
  }
  const auto result = RunCbp("train", arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto golden = training::LoadCheckpoint(folder + "/expected.pt");
  ASSERT_TRUE(golden.ok()) << golden.status();
  const auto ours = training::LoadCheckpoint(run_dir + "/checkpoint.pt");
  ASSERT_TRUE(ours.ok()) << ours.status();

  size_t parameters = 0;
  for (const auto& [key, value] : *golden->dict()) {
    if (absl::StartsWith(key, "curves.")) continue;
    const Value* own = StateOf(*ours, key);
    ASSERT_NE(own, nullptr) << key;
    EXPECT_LE((*own->tensor() - *value.tensor()).abs().max().item().toDouble(),
              t.tolerance)
        << key;
    parameters += absl::StartsWith(key, "final.") ? 1 : 0;
  }
  EXPECT_EQ(ours->Find("model")->dict()->size(), parameters);

  const auto curve = [&](const std::string& name, size_t i) {
    return (*golden->Find("curves." + name)->tensor())[static_cast<int64_t>(i)]
        .item()
        .toDouble();
  };
  const auto steps = MetricsOf(run_dir, "train");
  ASSERT_EQ(static_cast<int64_t>(steps.size()),
            golden->Find("curves.C")->tensor()->numel());
  for (size_t i = 0; i < steps.size(); ++i) {
    for (const char* name : {"C", "constraint", "L"}) {
      EXPECT_NEAR(ValueOf(steps[i], name), curve(name, i),
                  t.tolerance * (1 + std::abs(curve(name, i))))
          << name << i;
    }
    EXPECT_EQ(ValueOf(steps[i], "loss"), ValueOf(steps[i], "C"));
  }
  const auto epochs = MetricsOf(run_dir, "train_epoch");
  const auto tests = MetricsOf(run_dir, "test");
  ASSERT_EQ(static_cast<int64_t>(epochs.size()),
            golden->Find("curves.g")->tensor()->numel());
  ASSERT_EQ(tests.size(), epochs.size());
  for (size_t i = 0; i < epochs.size(); ++i) {
    for (const char* name : {"g", "p", "updated"}) {
      EXPECT_EQ(ValueOf(epochs[i], name), curve(name, i)) << name << i;
    }
    for (const char* name : {"lsum", "u", "lr", "lpre", "cfs"}) {
      EXPECT_NEAR(ValueOf(epochs[i], name), curve(name, i),
                  t.tolerance * (1 + std::abs(curve(name, i))))
          << name << i;
    }
    const auto count = static_cast<double>(t.test);
    EXPECT_DOUBLE_EQ(ValueOf(tests[i], "accuracy") * count, curve("top1", i));
    EXPECT_DOUBLE_EQ(ValueOf(tests[i], "accuracy5") * count, curve("top5", i));
  }
}

INSTANTIATE_TEST_SUITE_P(, TrajectoryTest,
                         ::testing::Combine(::testing::ValuesIn(kTrajectories),
                                            ::testing::Bool()),
                         [](const auto& info) {
                           return absl::StrCat(
                               std::get<0>(info.param).name,
                               std::get<1>(info.param) ? "_fused" : "_plain");
                         });

}  // namespace
}  // namespace altprop::cbp
