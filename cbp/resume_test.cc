// A run that was stopped and continued ends with the bytes of one that never
// was.

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cbp/program_test_util.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::cbp {
namespace {

using testing::NewFolder;
using testing::ProgramResult;
using testing::ReadFile;

// 6 minibatches an epoch; an epoch in full precision, 4 under the constraint.
constexpr int kTrain = 60, kTest = 20;

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
    const ProgramResult result =
        RunCbp("train", SmallRun(folder_, Dir("whole")));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    whole_ = ReadFile(Dir("whole") + "/checkpoint.pt");
  }

  std::string Dir(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }

  // Stops after `steps`, then continues with nothing but --resume.
  void ExpectSameBytesWhenStoppedAfter(int steps) {
    const std::string dir = Dir(absl::StrCat("stop", steps));
    ProgramResult result = RunCbp(
        "train", SmallRun(folder_, dir, {absl::StrCat("--max_steps=", steps)}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(ReadFile(dir + "/checkpoint.pt"), whole_);
    result = RunCbp("train", {"--resume", dir + "/checkpoint.pt", "--threads=1",
                              absl::StrCat("--data_root=", folder_)});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(ReadFile(dir + "/checkpoint.pt"), whole_);
    EXPECT_EQ(MetricsWithoutTime(dir), MetricsWithoutTime(Dir("whole")));
    EXPECT_EQ(ReadFile(dir + "/progress.txt"),
              ReadFile(Dir("whole") + "/progress.txt"));
  }

  std::string folder_, whole_;
};

TEST_F(Resume, InFullPrecision) { ExpectSameBytesWhenStoppedAfter(4); }
TEST_F(Resume, BetweenFullPrecisionAndConstraint) {
  ExpectSameBytesWhenStoppedAfter(6);
}
TEST_F(Resume, AfterTheFirstConstrainedStep) {
  ExpectSameBytesWhenStoppedAfter(7);
}
TEST_F(Resume, InAnEpochBeforeAMultiplierUpdate) {
  ExpectSameBytesWhenStoppedAfter(15);
}
TEST_F(Resume, BetweenTwoMultiplierUpdates) {
  // After the first update by the period, before the second.
  ExpectSameBytesWhenStoppedAfter(21);
}
TEST_F(Resume, AtTheEndOfAnEpoch) { ExpectSameBytesWhenStoppedAfter(24); }

TEST_F(Resume, AnotherSeedEndsElsewhere) {
  ASSERT_EQ(RunCbp("train", SmallRun(folder_, Dir("again"))).exit_code, 0);
  EXPECT_EQ(ReadFile(Dir("again") + "/checkpoint.pt"), whole_);
  ASSERT_EQ(
      RunCbp("train", SmallRun(folder_, Dir("other"), {"--seed=1"})).exit_code,
      0);
  EXPECT_NE(ReadFile(Dir("other") + "/checkpoint.pt"), whole_);
}

// The start of a second run: what the first wrote at the end of full precision.
TEST_F(Resume, ConstraintFromTheFullPrecisionFile) {
  const ProgramResult result =
      RunCbp("train", SmallRun(folder_, Dir("second"),
                               {"--pretrain_epochs=0", "--shuffle=false",
                                absl::StrCat("--init_from=", Dir("whole"),
                                             "/full_precision.pt")}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto first = MetricsOf(Dir("whole"), "start");
  const auto second = MetricsOf(Dir("second"), "start");
  ASSERT_EQ(first.size(), 1u);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(first[0].values, second[0].values);
}

TEST_F(Resume, KeepsTheLastCheckpoints) {
  const ProgramResult result =
      RunCbp("train", SmallRun(folder_, Dir("kept"), {"--keep_checkpoints=2"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto file = [&](int epoch) {
    return absl::StrCat(Dir("kept"), "/mnist_cnn_ter_", epoch, ".pt");
  };
  EXPECT_FALSE(testing::Exists(file(2)));
  EXPECT_TRUE(testing::Exists(file(3)));
  EXPECT_EQ(ReadFile(file(4)), ReadFile(Dir("kept") + "/checkpoint.pt"));
  EXPECT_EQ(ReadFile(file(4)), whole_);
}

class Signalled : public ::testing::TestWithParam<int> {};

TEST_P(Signalled, RunContinuesToTheSameBytes) {
  const std::string folder = NewFolder("signal");
  testing::WriteMnist(folder, kTrain, 600);
  const std::string whole = folder + "/whole", hit = folder + "/hit";
  const std::vector<std::string> longer = {"--epochs=40"};
  ASSERT_EQ(RunCbp("train", SmallRun(folder, whole, longer)).exit_code, 0);
  testing::Subprocess process(
      CbpCommand("train", SmallRun(folder, hit, longer)));
  ASSERT_TRUE(testing::WaitForFile(hit + "/checkpoint.pt", absl::Seconds(60)));
  process.Signal(GetParam());
  const ProgramResult stopped = process.Wait();
  ASSERT_EQ(stopped.exit_code, 128 + GetParam()) << stopped.err;
  EXPECT_TRUE(absl::StrContains(stopped.err, "--resume=")) << stopped.err;
  const ProgramResult result =
      RunCbp("train", {"--resume", hit, "--threads=1", "--data_root", folder});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(ReadFile(hit + "/checkpoint.pt"),
            ReadFile(whole + "/checkpoint.pt"));
}

INSTANTIATE_TEST_SUITE_P(Signals, Signalled,
                         ::testing::Values(SIGINT, SIGTERM));

const std::vector<std::string> kKinds[] = {
    {"--quant=bin", "--ablation=ste"},
    {"--quant=2bit", "--ablation=nowindow", "--period=1"},
    {"--quant=1bit", "--fused=false", "--channels_last=false"},
    {"--quant=none", "--pretrain_epochs=0"},
    {"--quant=bin", "--precision=fp64"},
};

class ResumeKind : public ::testing::TestWithParam<int> {};

TEST_P(ResumeKind, ContinuesToTheSameBytes) {
  const std::string folder = NewFolder("kind");
  testing::WriteMnist(folder, kTrain, kTest);
  const std::string whole = folder + "/whole", part = folder + "/part";
  std::vector<std::string> more = kKinds[GetParam()];
  ProgramResult result = RunCbp("train", SmallRun(folder, whole, more));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  more.push_back("--max_steps=16");
  result = RunCbp("train", SmallRun(folder, part, more));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  result =
      RunCbp("train", {"--resume", part, "--threads=1", "--data_root", folder});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(ReadFile(part + "/checkpoint.pt"),
            ReadFile(whole + "/checkpoint.pt"));
}

INSTANTIATE_TEST_SUITE_P(, ResumeKind,
                         ::testing::Range<int>(0, std::size(kKinds)));

}  // namespace
}  // namespace altprop::cbp
