// A run that was stopped and continued ends with the bytes of one that never
// was; and what else a run leaves behind.

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "ftprop/program_test_util.h"
#include "gtest/gtest.h"

namespace altprop::ftprop {
namespace {

using testing::Exists;
using testing::NewFolder;
using testing::ProgramResult;
using testing::ReadFile;

// 50 to train on: 5 minibatches an epoch, 3 epochs.
constexpr int kTrain = 60, kTest = 20, kSteps = 15;

std::string MetricsWithoutTime(const std::string& run_dir) {
  std::string text = ReadFile(run_dir + "/metrics.jsonl");
  for (size_t at; (at = text.find("\"wall_time\":")) != std::string::npos;) {
    text.erase(at, text.find(',', at) + 1 - at);
  }
  return text;
}

class Resume : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = NewFolder("resume");
    testing::WriteMnist(folder_, kTrain, kTest);
    const ProgramResult result = RunTrain(SmallRun(folder_, Dir("whole")));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    whole_ = ReadFile(Checkpoint("whole"));
  }

  std::string Dir(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }
  std::string Checkpoint(const std::string& name) const {
    return absl::StrCat(Dir(name), "/checkpoint.pt");
  }

  // Stops after `steps`, then continues with nothing but --resume.
  void ExpectSameBytesWhenStoppedAfter(int steps) {
    const std::string name = absl::StrCat("stop", steps);
    ProgramResult result = RunTrain(
        SmallRun(folder_, Dir(name), {absl::StrCat("--max_steps=", steps)}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    if (steps < kSteps) {
      EXPECT_NE(ReadFile(Checkpoint(name)), whole_);
    }
    result = RunTrain({"--resume", Checkpoint(name), "--threads=1",
                       absl::StrCat("--data_root=", folder_)});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(ReadFile(Checkpoint(name)), whole_);
    EXPECT_EQ(ReadFile(Dir(name) + "/best.pt"),
              ReadFile(Dir("whole") + "/best.pt"));
    EXPECT_EQ(MetricsWithoutTime(Dir(name)), MetricsWithoutTime(Dir("whole")));
  }

  std::string folder_, whole_;
};

TEST_F(Resume, AfterTheFirstStep) { ExpectSameBytesWhenStoppedAfter(1); }
TEST_F(Resume, InTheMiddleOfAnEpoch) { ExpectSameBytesWhenStoppedAfter(7); }
TEST_F(Resume, AtTheEndOfAnEpoch) { ExpectSameBytesWhenStoppedAfter(10); }
TEST_F(Resume, BeforeTheLastStep) { ExpectSameBytesWhenStoppedAfter(14); }
TEST_F(Resume, AfterTheLastStep) { ExpectSameBytesWhenStoppedAfter(15); }

TEST_F(Resume, AnotherSeedEndsElsewhere) {
  ASSERT_EQ(RunTrain(SmallRun(folder_, Dir("again"))).exit_code, 0);
  EXPECT_EQ(ReadFile(Checkpoint("again")), whole_);
  ASSERT_EQ(RunTrain(SmallRun(folder_, Dir("other"), {"--seed=1"})).exit_code,
            0);
  EXPECT_NE(ReadFile(Checkpoint("other")), whole_);
}

// A run long enough to be hit: many epochs, stopped by a signal once it trains.
class Signalled : public ::testing::TestWithParam<int> {};

TEST_P(Signalled, RunContinuesToTheSameBytes) {
  const std::string folder = NewFolder("signal");
  testing::WriteMnist(folder, kTrain, 600);
  const std::string whole = folder + "/whole", hit = folder + "/hit";
  const std::vector<std::string> longer = {"--epochs=30"};
  ASSERT_EQ(RunTrain(SmallRun(folder, whole, longer)).exit_code, 0);

  testing::Subprocess process(TrainCommand(SmallRun(folder, hit, longer)));
  ASSERT_TRUE(testing::WaitForFile(hit + "/checkpoint.pt", absl::Seconds(60)));
  process.Signal(GetParam());
  const ProgramResult stopped = process.Wait();
  ASSERT_EQ(stopped.exit_code, 128 + GetParam()) << stopped.err;
  EXPECT_TRUE(absl::StrContains(stopped.err, "--resume=")) << stopped.err;
  EXPECT_NE(ReadFile(hit + "/checkpoint.pt"),
            ReadFile(whole + "/checkpoint.pt"));

  const ProgramResult result =
      RunTrain({"--resume", hit, "--threads=1", "--data_root", folder});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(ReadFile(hit + "/checkpoint.pt"),
            ReadFile(whole + "/checkpoint.pt"));
}

INSTANTIATE_TEST_SUITE_P(Signals, Signalled,
                         ::testing::Values(SIGINT, SIGTERM));

// Other networks, optimizers and what they draw.
const std::vector<std::string> kKinds[] = {
    {"--opt=sgd", "--lr=0.05", "--nonlin=staircase3", "--tp-rule=SSTE",
     "--lr-decay-epochs", "2", "3", "--use-bn"},
    {"--opt=rmsprop", "--lr=1e-3", "--no-tp-grad-scale", "--no-val"},
    {"--opt=adam", "--precision=bf16", "--nonlin=staircase3"},
    {"--opt=adam", "--legacy_adam", "--nonlin", "relu", "staircase:4", "step01",
     "--loss=hinge", "--precision=fp64"},
};

class ResumeKind : public ::testing::TestWithParam<int> {};

TEST_P(ResumeKind, ContinuesToTheSameBytes) {
  const std::string folder = NewFolder("kind");
  testing::WriteMnist(folder, kTrain, kTest);
  const std::string whole = folder + "/whole", part = folder + "/part";
  std::vector<std::string> more = kKinds[GetParam()];
  ProgramResult result = RunTrain(SmallRun(folder, whole, more));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  more.push_back("--max_steps=7");
  result = RunTrain(SmallRun(folder, part, more));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  result = RunTrain({"--resume", part, "--threads=1", "--data_root", folder});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(ReadFile(part + "/checkpoint.pt"),
            ReadFile(whole + "/checkpoint.pt"));
}

INSTANTIATE_TEST_SUITE_P(, ResumeKind,
                         ::testing::Range<int>(0, std::size(kKinds)));

// CIFAR-10 with augmentation and convnet8 with dropout; folders.
TEST(ResumeWithDraws, ContinuesToTheSameBytes) {
  const std::string images = NewFolder("images");
  WriteImageFolder(images, 3);
  const std::vector<std::vector<std::string>> runs = {
      {"--ds=cifar10", "--data_root=ftprop/testdata/cifar10", "--arch=convnet8",
       "--use-bn", "--nonlin=staircase3", "--opt=adam", "--lr=1e-3",
       "--batch=16", "--limit_train=40", "--epochs=2", "--threads=1"},
      {"--ds=folder", absl::StrCat("--data_root=", images), "--arch=resnet18",
       "--use-bn", "--nonlin=step11", "--lr=0.1", "--batch=2", "--epochs=2",
       "--no-val", "--layer_statistics=false", "--threads=1"}};
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string folder = NewFolder(absl::StrCat("draws", i));
    const std::string whole = folder + "/whole", part = folder + "/part";
    std::vector<std::string> arguments = runs[i];
    arguments.push_back(absl::StrCat("--run_dir=", whole));
    ProgramResult result = RunTrain(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    arguments.back() = absl::StrCat("--run_dir=", part);
    arguments.push_back("--max_steps=1");
    ASSERT_EQ(RunTrain(arguments).exit_code, 0);
    result = RunTrain({"--resume", part, "--threads=1", runs[i][1]});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(ReadFile(part + "/checkpoint.pt"),
              ReadFile(whole + "/checkpoint.pt"))
        << i;
  }
}

// ---- What the evaluation flags do ----

TEST_F(Resume, EvaluateGivesTheAccuracyOfTraining) {
  const auto test = MetricsOf(Dir("whole"), "test");
  ASSERT_EQ(test.size(), 3u);
  const std::string text =
      absl::StrCat("test accuracy ", ValueOf(test.back(), "accuracy"), " (");
  for (const ProgramResult& result :
       {RunEvaluate({"--test-model", Checkpoint("whole"), "--data_root",
                     folder_, "--threads=1"}),
        RunTrain({"--test-model", Checkpoint("whole"), "--data_root", folder_,
                  "--threads=1"}),
        RunEvaluate({"--resume", Dir("whole"), "--data_root", folder_,
                     "--threads=1"})}) {
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(absl::StrContains(result.out, text)) << result.out;
  }
}

TEST_F(Resume, ExportedWeightsAreTheLast) {
  const std::string file = folder_ + "/weights.safetensors";
  ASSERT_EQ(RunTrain(SmallRun(folder_, Dir("export"),
                              {absl::StrCat("--export=", file)}))
                .exit_code,
            0);
  // --lr is for learning alone.
  const std::vector<std::string> network = {
      "--ds=mnist",      "--data_root", folder_,   "--arch=convnet4",
      "--widths",        "3",           "4",       "12",
      "--nonlin=step11", "--threads=1", "--seed=5"};
  const auto with = [&](const std::string& weights) {
    std::vector<std::string> arguments = network;
    arguments.push_back(weights);
    return arguments;
  };
  const std::string text = absl::StrCat(
      "test accuracy ",
      ValueOf(MetricsOf(Dir("export"), "test").back(), "accuracy"), " (");
  for (const ProgramResult& result :
       {RunEvaluate(SmallRun(folder_, Dir("unused"),
                             {absl::StrCat("--init_from=", file), "--seed=5"})),
        RunEvaluate(with(absl::StrCat("--init_from=", file))),
        RunEvaluate(with(absl::StrCat("--test-model=", file))),
        RunTrain(with(absl::StrCat("--test-model=", file)))}) {
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(absl::StrContains(result.out, text)) << result.out;
  }
  EXPECT_EQ(RunTrain(with(absl::StrCat("--init_from=", file))).exit_code, 2);
  EXPECT_FALSE(Exists(Dir("unused")));
}

TEST_F(Resume, TestFinalModelTakesTheBest) {
  const ProgramResult result = RunTrain(
      SmallRun(folder_, Dir("final"), {"--test-final-model", "--epochs=4"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto validation = MetricsOf(Dir("final"), "val");
  size_t best = 0;
  for (size_t e = 0; e < validation.size(); ++e) {
    if (ValueOf(validation[e], "accuracy") >
        ValueOf(validation[best], "accuracy")) {
      best = e;
    }
  }
  const auto final_test = MetricsOf(Dir("final"), "final_test");
  ASSERT_EQ(final_test.size(), 1u);
  EXPECT_EQ(ValueOf(final_test[0], "loss"),
            ValueOf(MetricsOf(Dir("final"), "test")[best], "loss"));
  EXPECT_TRUE(absl::StrContains(
      result.out, absl::StrCat("final model (best, of epoch ", best + 1, ")")))
      << result.out;
}

// Nothing is left to train, so the best model is one of the folder before.
TEST_F(Resume, InAnotherFolderTheBestModelComesAlong) {
  std::vector<std::string> arguments = {
      "--resume",    Checkpoint("whole"), "--data_root",   folder_,
      "--threads=1", "--run_dir",         Dir("elsewhere")};
  ASSERT_EQ(RunTrain(arguments).exit_code, 0);
  EXPECT_EQ(ReadFile(Dir("elsewhere") + "/best.pt"),
            ReadFile(Dir("whole") + "/best.pt"));
  EXPECT_EQ(ReadFile(Checkpoint("elsewhere")), whole_);

  // Two of three epochs, the last of them in a folder that is gone after.
  ASSERT_EQ(
      RunTrain(SmallRun(folder_, Dir("part"), {"--max_steps=10"})).exit_code,
      0);
  arguments = {"--resume", Checkpoint("part"), "--data_root",
               folder_,    "--threads=1",      "--test-final-model"};
  const ProgramResult expected =
      RunTrain({"--resume", Checkpoint("whole"), "--data_root", folder_,
                "--threads=1", "--test-final-model"});
  ASSERT_EQ(expected.exit_code, 0) << expected.err;
  const auto final_model = [](const std::string& out) {
    const size_t at = out.find("final model");
    EXPECT_NE(at, std::string::npos) << out;
    return at == std::string::npos ? ""
                                   : out.substr(at, out.find('\n', at) - at);
  };
  for (const std::string& where :
       {std::string("--no-save"), "--save=" + Dir("saved")}) {
    std::vector<std::string> there = arguments;
    there.push_back(where);
    const ProgramResult result = RunTrain(there);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(final_model(result.out), final_model(expected.out));
  }
}

TEST_F(Resume, AMissingBestModelIsToldBeforeTraining) {
  ASSERT_EQ(std::system(absl::StrCat("rm ", Dir("whole"), "/best.pt").c_str()),
            0);
  const std::vector<std::string> arguments = {
      "--resume",    Checkpoint("whole"), "--data_root", folder_,
      "--threads=1", "--epochs=4",        "--run_dir",   Dir("new")};
  std::vector<std::string> final_too = arguments;
  final_too.push_back("--test-final-model");
  const ProgramResult result = RunTrain(final_too);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(absl::StrContains(result.err, Dir("whole") + "/best.pt"))
      << result.err;
  EXPECT_FALSE(Exists(Dir("new")));
  EXPECT_EQ(RunTrain(arguments).exit_code, 0);
}

TEST_F(Resume, WithoutValidationThereIsNoBestModel) {
  const ProgramResult result = RunTrain(
      SmallRun(folder_, Dir("noval"), {"--no-val", "--test-final-model"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_FALSE(Exists(Dir("noval") + "/best.pt"));
  EXPECT_TRUE(absl::StrContains(result.out, "final model (last)"));
  EXPECT_TRUE(MetricsOf(Dir("noval"), "val").empty());
  EXPECT_EQ(ValueOf(MetricsOf(Dir("noval"), "final_test")[0], "loss"),
            ValueOf(MetricsOf(Dir("noval"), "test").back(), "loss"));
  // 60 samples now: 6 minibatches.
  EXPECT_EQ(MetricsOf(Dir("noval"), "train").back().step, 18);
}

TEST_F(Resume, WithoutPlotTestTheTestSetIsLeftAlone) {
  ASSERT_EQ(RunTrain(SmallRun(folder_, Dir("plain"), {"--plot-test=false"}))
                .exit_code,
            0);
  EXPECT_TRUE(MetricsOf(Dir("plain"), "test").empty());
  EXPECT_EQ(MetricsOf(Dir("plain"), "val").size(), 3u);
}

TEST_F(Resume, NoSaveLeavesNothing) {
  const std::string temporary = NewFolder("temporary");
  std::vector<std::string> arguments = SmallRun(folder_, "");
  arguments.resize(arguments.size() - 2);  // --run_dir
  arguments.push_back("--no-save");
  arguments.push_back("--test-final-model");
  const ProgramResult result =
      testing::RunProgram(TrainCommand(arguments), {{"TMPDIR", temporary}});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "final model (best"));
  EXPECT_EQ(
      std::system(absl::StrCat("test -z \"$(ls -A ", temporary, ")\"").c_str()),
      0);
}

TEST_F(Resume, NoTbLogLeavesNoEventFiles) {
  ASSERT_EQ(RunTrain(SmallRun(folder_, Dir("notb"), {"--no-tb-log"})).exit_code,
            0);
  EXPECT_NE(
      std::system(
          absl::StrCat("ls ", Dir("notb"), "/events* 2>/dev/null").c_str()),
      0);
  EXPECT_EQ(ReadFile(Checkpoint("notb")), whole_);
}

TEST_F(Resume, SaveAndLogInfoNameTheFolder) {
  std::vector<std::string> arguments = SmallRun(folder_, "");
  arguments.resize(arguments.size() - 2);
  arguments.push_back(absl::StrCat("--save=", Dir("named")));
  arguments.push_back("--log-info=mine");
  ASSERT_EQ(RunTrain(arguments).exit_code, 0);
  EXPECT_EQ(ReadFile(Checkpoint("named.mine")), whole_);
  // Again: the first run is moved, not deleted.
  ASSERT_EQ(RunTrain(arguments).exit_code, 0);
  EXPECT_EQ(std::system(absl::StrCat("ls ", Dir("named.mine"),
                                     "/earlier-*/checkpoint.pt >/dev/null")
                            .c_str()),
            0);
}

TEST_F(Resume, DiagnosticsGoIntoTheReport) {
  ASSERT_EQ(RunTrain(SmallRun(folder_, Dir("diagnostics"),
                              {"--diagnostics", "--tb-drop-pct=0",
                               "--tb-sample-pct=0.5"}))
                .exit_code,
            0);
  const std::string report = ReadFile(Dir("diagnostics") + "/report.html");
  EXPECT_TRUE(absl::StrContains(report, "test/step_input/block1"));
  EXPECT_TRUE(absl::StrContains(report, "val/step_output/block3"));
  EXPECT_EQ(ReadFile(Checkpoint("diagnostics")), whole_);
}

// The authors' own checkpoints hold their weights under other names.
TEST_F(Resume, TestModelReadsTheAuthorsFiles) {
  const auto ours = training::LoadCheckpoint(Checkpoint("whole"));
  ASSERT_TRUE(ours.ok()) << ours.status();
  training::Dict weights;
  for (const auto& [name, value] : **ours->GetDict("model")) {
    weights.emplace_back("module." + name, value);
  }
  const std::string file = folder_ + "/model_best_top1.pth.tar";
  ASSERT_TRUE(training::SaveCheckpoint(
                  file, training::Dict{{"epoch", 3}, {"model_state", weights}})
                  .ok());
  const ProgramResult result = RunTrain(
      {"--test-model", file, "--arch=convnet4", "--widths", "3", "4", "12",
       "--nonlin=step11", "--ds=mnist", "--data_root", folder_, "--threads=1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(
      result.out,
      absl::StrCat("test accuracy ",
                   ValueOf(MetricsOf(Dir("whole"), "test").back(), "accuracy"),
                   " (")))
      << result.out;
}

}  // namespace
}  // namespace altprop::ftprop
