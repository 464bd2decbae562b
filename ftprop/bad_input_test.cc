// What a user can get wrong: one line on stderr that names what and where, exit
// code 1 (2 for the command line), and nothing lost.

#include <algorithm>
#include <filesystem>  // NOLINT(build/c++17)
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "ftprop/program_test_util.h"
#include "gtest/gtest.h"

namespace altprop::ftprop {
namespace {

using testing::ProgramResult;
using testing::ReadFile;
using testing::WriteFile;

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::NewFolder("bad");
    testing::WriteMnist(folder_, 60, 20);
  }

  std::string File(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }

  ProgramResult Train(const std::vector<std::string>& more = {}) {
    return RunTrain(SmallRun(folder_, File("run"), more));
  }

  std::string folder_;
};

void ExpectOneLine(const ProgramResult& result, int exit_code,
                   const std::vector<std::string>& words) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  for (const std::string& word : words) {
    EXPECT_TRUE(absl::StrContains(result.err, word))
        << "\"" << word << "\" not in: " << result.err;
  }
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1)
      << result.err;
}

TEST_F(BadInput, RulesThatDoNotExistForANonlinearity) {
  struct Case {
    std::string nonlin, rule;
    std::vector<std::string> words;
  };
  for (const Case& c :
       {Case{"step11", "WtHinge", {"--tp_rule", "WtHinge", "step11"}},
        Case{"step01", "Adaline", {"Adaline", "step01"}},
        Case{"staircase3", "STE", {"STE", "staircase3"}},
        Case{"staircase", "Ramp", {"Ramp"}},
        Case{"step11", "LogLoss", {"LogLoss"}},
        Case{"step11", "Hinge", {"Hinge", "SoftHinge"}}}) {
    ExpectOneLine(Train({"--nonlin", c.nonlin, "--tp-rule", c.rule}), 2,
                  c.words);
  }
  // Which a relu does not look at.
  EXPECT_EQ(
      Train({"--nonlin=relu", "--tp-rule=WtHinge", "--check_flags"}).exit_code,
      0);
}

TEST_F(BadInput, UnscaledModesThatDoNotExist) {
  for (const char* rule : {"STE", "SSTE", "Ramp"}) {
    ExpectOneLine(Train({"--tp-rule", rule, "--no-tp-grad-scale"}), 2,
                  {"--tp_rule", rule, "importance weighting"});
  }
  ExpectOneLine(
      Train({"--nonlin=staircase3", "--tp-rule=SSTE", "--no-tp-grad-scale"}), 2,
      {"SSTE"});
}

TEST_F(BadInput, FlagsOutOfRange) {
  ExpectOneLine(Train({"--arch=vgg"}), 2, {"--arch=vgg", "convnet4"});
  ExpectOneLine(Train({"--nonlin=sign"}), 2, {"--nonlin=sign", "step11"});
  ExpectOneLine(Train({"--nonlin=staircase:1"}), 2, {"staircase:1"});
  ExpectOneLine(Train({"--nonlin", "step11", "relu"}), 2,
                {"--nonlin=step11,relu", "3 hidden layers"});
  ExpectOneLine(Train({"--loss=mse"}), 2, {"--loss=mse", "crossent"});
  ExpectOneLine(Train({"--opt=lbfgs"}), 2, {"--opt=lbfgs"});
  ExpectOneLine(Train({"--lr=-1"}), 2, {"--lr=-1"});
  ExpectOneLine(Train({"--lr=nan"}), 2, {"--lr=nan"});
  ExpectOneLine(Train({"--batch=0"}), 2, {"--batch=0"});
  ExpectOneLine(Train({"--epochs=-1"}), 2, {"--epochs=-1"});
  ExpectOneLine(Train({"--momentum=1.5"}), 2, {"--momentum=1.5"});
  ExpectOneLine(Train({"--wtdecay=-1"}), 2, {"--wtdecay=-1"});
  ExpectOneLine(Train({"--dropout=2"}), 2, {"--dropout=2"});
  ExpectOneLine(Train({"--tb-sample-pct=2"}), 2, {"--tb_sample_pct=2"});
  ExpectOneLine(Train({"--widths", "3", "4"}), 2, {"--widths=3,4"});
  ExpectOneLine(Train({"--classes=3"}), 2, {"--classes=3", "10"});
  ExpectOneLine(Train({"--bn_weights=two"}), 2, {"--bn_weights=two"});
  ExpectOneLine(Train({"--legacy_adam", "--opt=sgd"}), 2, {"--legacy_adam"});
  ExpectOneLine(Train({"--nonexistent=1"}), 2, {"--nonexistent"});
  ExpectOneLine(Train({"--no-save"}), 2, {"--no-save", "run_dir"});
  ExpectOneLine(Train({"--save=x"}), 2, {"--save", "--run_dir"});
  ExpectOneLine(Train({"--gpus", "-1"}), 2, {"--gpus=-1"});
}

TEST_F(BadInput, DecayEpochsOutOfOrder) {
  ExpectOneLine(Train({"--lr-decay-epochs", "250", "200"}), 2,
                {"--lr_decay_epochs=250 200", "ascend"});
  ExpectOneLine(Train({"--lr-decay-epochs", "0"}), 2, {"--lr_decay_epochs=0"});
}

TEST_F(BadInput, ADecayEpochNamedTwiceDecaysOnce) {
  ASSERT_EQ(Train({"--lr-decay-epochs", "2", "2", "3"}).exit_code, 0);
  std::vector<double> rates;
  for (const auto& line : MetricsOf(File("run"), "train")) {
    rates.push_back(ValueOf(line, "learning_rate"));
  }
  ASSERT_EQ(rates.size(), 3u);
  EXPECT_NEAR(rates[0], 2e-3, 1e-12);
  EXPECT_NEAR(rates[1], 2e-4, 1e-12);
  EXPECT_NEAR(rates[2], 2e-5, 1e-12);
}

TEST_F(BadInput, ALauncherOfSeveralProcesses) {
  const std::vector<std::string> command =
      TrainCommand(SmallRun(folder_, File("run"), {"--check_flags"}));
  ExpectOneLine(testing::RunProgram(command, {{"WORLD_SIZE", "2"}}), 2,
                {"WORLD_SIZE=2", "one process"});
  for (const char* one : {"1", ""}) {
    EXPECT_EQ(testing::RunProgram(command, {{"WORLD_SIZE", one}}).exit_code, 0);
  }
}

TEST_F(BadInput, RequiredFlags) {
  ExpectOneLine(RunTrain({"--ds=mnist", "--arch=convnet4"}), 2,
                {"--nonlin, --lr"});
  ExpectOneLine(RunTrain({"--lr=1"}), 2, {"--arch, --nonlin"});
}

TEST_F(BadInput, NetworksThatDoNotFitTheData) {
  ExpectOneLine(Train({"--arch=convnet8"}), 2, {"--arch=convnet8", "mnist"});
  ExpectOneLine(Train({"--arch=resnet18", "--use-bn"}), 2, {"mnist"});
  ExpectOneLine(Train({"--arch=alexnet_drf", "--use-bn"}), 2,
                {"--arch=alexnet_drf", "224"});
  ExpectOneLine(Train({"--ds=cifar10", "--arch=resnet18"}), 2,
                {"--arch=resnet18", "--use-bn"});
  ExpectOneLine(Train({"--ds=svhn", "--arch=convnet4"}), 2, {"svhn"});
  ExpectOneLine(Train({"--ds=imagenet", "--arch=convnet4"}), 2, {"imagenet"});
}

TEST_F(BadInput, LastMinibatchesOfOneWithBatchNorm) {
  ExpectOneLine(Train({"--use-bn", "--no-val", "--batch=59"}), 2,
                {"--batch=59", "one sample"});
  EXPECT_EQ(Train({"--no-val", "--batch=59", "--max_steps=2"}).exit_code, 0);
  // A run that ends before the sixtieth sample.
  ExpectOneLine(Train({"--use-bn", "--no-val", "--batch=59", "--max_steps=2"}),
                2, {"--batch=59", "one sample"});
  EXPECT_EQ(
      Train({"--use-bn", "--no-val", "--batch=59", "--max_steps=1"}).exit_code,
      0);
  ExpectOneLine(Train({"--use-bn", "--batch=1", "--max_steps=1"}), 2,
                {"--batch=1", "one sample"});
}

TEST_F(BadInput, DataThatAreNotThere) {
  ExpectOneLine(RunTrain({"--ds=cifar10", "--arch=convnet4", "--nonlin=step11",
                          "--lr=1", "--data_root", folder_}),
                1, {folder_});
  ExpectOneLine(RunTrain({"--ds=imagenet", "--arch=resnet18", "--use-bn",
                          "--nonlin=step11", "--lr=1"}),
                2, {"--data-root"});
  ExpectOneLine(
      RunTrain({"--ds=imagenet", "--arch=resnet18", "--use-bn",
                "--nonlin=step11", "--lr=1", "--data_root", File("nowhere")}),
      1, {File("nowhere")});
  ExpectOneLine(RunTrain({"--ds=svhn", "--arch=convnet8", "--nonlin=step11",
                          "--lr=1", "--data_root", folder_}),
                1, {"train_32x32.mat"});
  ExpectOneLine(
      RunTrain({"--ds=stl10", "--arch=convnet4", "--nonlin=step11", "--lr=1"}),
      2, {"--ds=stl10", "cifar10"});
}

// CIFAR-100's own files, not CIFAR-10's.
TEST_F(BadInput, Cifar100IsItself) {
  const ProgramResult result =
      RunTrain({"--ds=cifar100", "--arch=convnet8", "--nonlin=step11", "--lr=1",
                "--data_root=ftprop/testdata/cifar10"});
  ExpectOneLine(result, 1, {"cifar100"});
}

TEST_F(BadInput, ImagesThatDoNotDecode) {
  const std::string images = testing::NewFolder("images");
  WriteImageFolder(images, 2);
  const std::string bad = images + "/train/a/1.png";
  WriteFile(bad, "no image at all");
  const std::vector<std::string> arguments = {
      "--ds=folder",     absl::StrCat("--data_root=", images),
      "--arch=resnet18", "--use-bn",
      "--nonlin=step11", "--lr=0.1",
      "--batch=4",       "--no-val",
      "--epochs=1",      "--layer_statistics=false",
      "--no-save"};
  const ProgramResult result = RunTrain(arguments);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(absl::StrContains(result.err, bad)) << result.err;
  // What cannot be downloaded is not a reason to stop.
  std::vector<std::string> flags = arguments;
  flags.insert(flags.end(), {"--download", "--check_flags"});
  const ProgramResult checked = RunTrain(flags);
  EXPECT_EQ(checked.exit_code, 0) << checked.err;
  EXPECT_TRUE(absl::StrContains(checked.err, "--download: --ds=folder"))
      << checked.err;
  std::vector<std::string> lenient = arguments;
  lenient.push_back("--skip_corrupt=1");
  EXPECT_EQ(RunTrain(lenient).exit_code, 0);
}

TEST_F(BadInput, WeightsThatDoNotFit) {
  const ProgramResult good = Train({"--max_steps=1"});
  ASSERT_EQ(good.exit_code, 0) << good.err;
  const std::string checkpoint = File("run/checkpoint.pt");
  const std::string before = ReadFile(checkpoint);
  ProgramResult result = RunTrain(
      SmallRun(folder_, File("other"),
               {absl::StrCat("--init_from=", checkpoint), "--use-bn"}));
  ExpectOneLine(result, 1, {checkpoint, "batchnorm1"});
  result = RunTrain({"--resume", checkpoint, "--data_root", folder_, "--widths",
                     "3", "5", "12"});
  ExpectOneLine(result, 1, {checkpoint, "conv2.weight"});
  EXPECT_EQ(ReadFile(checkpoint), before);
  ExpectOneLine(RunTrain({"--resume", File("none.pt")}), 1, {File("none.pt")});
  ExpectOneLine(RunEvaluate(SmallRun(folder_, File("other"))), 2,
                {"--test-model"});
  ExpectOneLine(RunTrain({"--resume", checkpoint, "--test-model", checkpoint}),
                2, {"--resume, --test-model"});
}

TEST_F(BadInput, DivergenceKeepsTheLastGoodCheckpoint) {
  const ProgramResult result =
      Train({"--nonlin=relu", "--opt=sgd", "--lr=1e30", "--epochs=5"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(absl::StrContains(result.err, "diverged")) << result.err;
}

}  // namespace
}  // namespace altprop::ftprop
