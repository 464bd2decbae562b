// A run that was stopped and continued ends with the bytes of one that never
// was.

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "eqprop/program_test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

using testing::NewFolder;
using testing::ProgramResult;
using testing::ReadFile;

// 6 minibatches an epoch, 3 epochs.
constexpr int kTrain = 60, kTest = 20;

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
    if (steps < 18) {
      EXPECT_NE(ReadFile(Checkpoint(name)), whole_);
    }
    Continue(name);
  }

  void Continue(const std::string& name) {
    const ProgramResult result =
        RunTrain({"--resume", Checkpoint(name), "--threads=1",
                  absl::StrCat("--data_root=", folder_)});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(ReadFile(Checkpoint(name)), whole_);
    EXPECT_EQ(MetricsWithoutTime(name), MetricsWithoutTime("whole"));
  }

  std::string MetricsWithoutTime(const std::string& name) const {
    std::string text = ReadFile(Dir(name) + "/metrics.jsonl");
    for (size_t at; (at = text.find("\"wall_time\":")) != std::string::npos;) {
      text.erase(at, text.find(',', at) + 1 - at);
    }
    return text;
  }

  std::string folder_, whole_;
};

TEST_F(Resume, AfterTheFirstStep) { ExpectSameBytesWhenStoppedAfter(1); }
TEST_F(Resume, InTheMiddleOfAnEpoch) { ExpectSameBytesWhenStoppedAfter(9); }
TEST_F(Resume, AtTheEndOfAnEpoch) { ExpectSameBytesWhenStoppedAfter(12); }
TEST_F(Resume, BeforeTheLastStep) { ExpectSameBytesWhenStoppedAfter(17); }
TEST_F(Resume, AfterTheLastStep) { ExpectSameBytesWhenStoppedAfter(18); }

// A run long enough to be hit: many epochs, stopped by a signal once it trains.
class Signalled : public ::testing::TestWithParam<int> {};

TEST_P(Signalled, RunContinuesToTheSameBytes) {
  const std::string folder = NewFolder("signal");
  testing::WriteMnist(folder, kTrain, 600);
  const std::string whole = folder + "/whole", hit = folder + "/hit";
  const std::vector<std::string> longer = {"--epochs=40", "--T1=60"};
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

// One epoch of one minibatch and a test set that takes long: the signal falls
// into the evaluation.
TEST(Evaluation, InterruptedRunContinuesToTheSameBytes) {
  const std::string folder = NewFolder("evaluation");
  testing::WriteMnist(folder, 10, 6000);
  const std::string whole = folder + "/whole", hit = folder + "/hit";
  const std::vector<std::string> slow = {"--epochs=1", "--T1=400",
                                         "--fused=false"};
  ASSERT_EQ(RunTrain(SmallRun(folder, whole, slow)).exit_code, 0);

  testing::Subprocess process(TrainCommand(SmallRun(
      folder, hit,
      {"--epochs=1", "--T1=400", "--fused=false", "--checkpoint_every=1"})));
  // Written after the only minibatch, before the evaluation.
  ASSERT_TRUE(testing::WaitForFile(hit + "/checkpoint.pt", absl::Seconds(60)));
  process.Signal(SIGTERM);
  const ProgramResult stopped = process.Wait();
  ASSERT_EQ(stopped.exit_code, 128 + SIGTERM) << stopped.err;
  EXPECT_FALSE(testing::Exists(hit + "/best.pt"));

  ASSERT_EQ(RunTrain({"--resume", hit, "--threads=1", "--data_root", folder})
                .exit_code,
            0);
  EXPECT_EQ(ReadFile(hit + "/checkpoint.pt"),
            ReadFile(whole + "/checkpoint.pt"));
}

TEST_F(Resume, AnotherSeedEndsElsewhere) {
  ASSERT_EQ(RunTrain(SmallRun(folder_, Dir("again"))).exit_code, 0);
  EXPECT_EQ(ReadFile(Checkpoint("again")), whole_);
  ASSERT_EQ(RunTrain(SmallRun(folder_, Dir("other"), {"--seed=1"})).exit_code,
            0);
  EXPECT_NE(ReadFile(Checkpoint("other")), whole_);
}

// Other models and algorithms, with the draws that they make.
const std::vector<std::string> kKinds[] = {
    {"--model=CNN", "--channels", "3", "4", "--lrs", "0.05", "0.02", "0.01",
     "--optim=sgd", "--mmt=0.9", "--random_sign", "--dropouts", "0.9", "0.8",
     "1", "0.7", "--lr_decay"},
    {"--model=VFCNN", "--channels", "3", "4", "--lrs", "1e-3", "1e-3", "1e-3",
     "--loss=cel", "--softmax", "--same_update", "--thirdphase"},
    {"--model=CNN", "--channels", "3", "4", "--lrs", "1e-3", "1e-3", "1e-3",
     "--alg=BPTT"},
    {"--model=VFMLP", "--thirdphase"},
    {"--alg=CEP", "--optim=sgd", "--lrs", "0.02", "0.01", "--wds", "1e-3",
     "1e-3", "--thirdphase"},
};

class ResumeKind : public ::testing::TestWithParam<int> {};

TEST_P(ResumeKind, ContinuesToTheSameBytes) {
  const std::string folder = NewFolder("kind");
  testing::WriteMnist(folder, kTrain, kTest);
  const std::string whole = folder + "/whole", part = folder + "/part";
  std::vector<std::string> more = kKinds[GetParam()];
  ProgramResult result = RunTrain(SmallRun(folder, whole, more));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  more.push_back("--max_steps=9");
  result = RunTrain(SmallRun(folder, part, more));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  result = RunTrain({"--resume", part, "--threads=1", "--data_root", folder});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(ReadFile(part + "/checkpoint.pt"),
            ReadFile(whole + "/checkpoint.pt"));
  result = RunEvaluate({"--load_path", part, "--data_root", folder});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

INSTANTIATE_TEST_SUITE_P(, ResumeKind,
                         ::testing::Range<int>(0, std::size(kKinds)));

TEST_F(Resume, GivesTheTestAccuracyThatEvaluateGives) {
  const ProgramResult result = RunEvaluate(
      {"--load_path", Dir("whole"), "--data_root", folder_, "--threads=1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "test accuracy ")) << result.out;
}

}  // namespace
}  // namespace altprop::eqprop
