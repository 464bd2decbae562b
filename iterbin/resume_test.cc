// A run that was stopped and continued ends with the bytes of one that never
// was: between epochs, in their middle, between layers and within them.

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"
#include "iterbin/program_test_util.h"

namespace altprop::iterbin {
namespace {

using testing::ReadFile;

struct Variant {
  const char* name;
  std::vector<std::string> flags;
};

const Variant kVariants[] = {
    {"reference", {}},
    {"corrected", {"--semantics=corrected"}},
    {"two_epochs_per_layer",
     {"--epochs-per-layer=2", "--test-training", "--test-validation",
      "--reverse-layer-binarization"}},
    {"all_binary", {"--model=300_binary"}},
    {"real_valued", {"--model=300"}},
};

class Resume : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    folder_ = testing::NewFolder("resume");
    testing::WriteMnist(folder_, kSmallTrain, kSmallTest);
    const auto result =
        RunTool("main", SmallRun(folder_, Dir("whole"), GetParam().flags));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    whole_ = ReadFile(Checkpoint("whole"));
  }

  std::string Dir(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }
  std::string Checkpoint(const std::string& name) const {
    return absl::StrCat(Dir(name), "/checkpoint.pt");
  }

  void Continue(const std::string& name) {
    const auto result =
        RunTool("main", {"--resume", Checkpoint(name), "--threads=1",
                         absl::StrCat("--data_root=", folder_)});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(ReadFile(Checkpoint(name)) == whole_) << name;
    EXPECT_EQ(MetricsWithoutTime(Dir(name)), MetricsWithoutTime(Dir("whole")));
  }

  std::string folder_, whole_;
};

TEST_P(Resume, EndsWithTheSameBytes) {
  // Epochs end after 5, 10, 15 and 20 steps.
  for (const int steps : {1, 5, 8, 14, 19, 20}) {
    const std::string name = absl::StrCat("stop", steps);
    std::vector<std::string> flags = GetParam().flags;
    flags.push_back(absl::StrCat("--max_steps=", steps));
    const auto result = RunTool("main", SmallRun(folder_, Dir(name), flags));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    if (steps < kSmallSteps) {
      EXPECT_FALSE(ReadFile(Checkpoint(name)) == whole_);
    }
    Continue(name);
  }
}

INSTANTIATE_TEST_SUITE_P(, Resume, ::testing::ValuesIn(kVariants),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

// The checkpoint of a run that a signal met after an epoch's last update,
// before its evaluation, remembers what the evaluation needs.
TEST(ResumeAfterSignal, EndsWithTheSameBytes) {
  const std::string folder = testing::NewFolder("signal");
  testing::WriteMnist(folder, kSmallTrain, kSmallTest);
  const std::vector<std::string> more = {"--epochs=12", "--epochs-per-layer=3"};
  const std::string whole = folder + "/whole", stopped = folder + "/stopped";
  ASSERT_EQ(RunTool("main", SmallRun(folder, whole, more)).exit_code, 0);
  // As often as it takes, wherever the signals meet it.
  int interruptions = 0;
  std::vector<std::string> arguments = SmallRun(folder, stopped, more);
  for (int i = 0; i < 40; ++i) {
    testing::Subprocess process(Command("main", arguments));
    // The log of a run begins after its signal handler.
    testing::WaitForFile(stopped + "/log.txt", absl::Seconds(60));
    process.Signal(SIGTERM);
    const auto result = process.Wait();
    if (result.exit_code == 0) break;
    ASSERT_EQ(result.exit_code, 143) << result.err;
    ++interruptions;
    ASSERT_TRUE(testing::Exists(stopped + "/checkpoint.pt")) << result.err;
    arguments = {"--resume", stopped, "--threads=1",
                 absl::StrCat("--data_root=", folder)};
  }
  const auto rest = RunTool("main", {"--resume", stopped, "--threads=1",
                                     absl::StrCat("--data_root=", folder)});
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_GT(interruptions, 0);
  EXPECT_TRUE(ReadFile(stopped + "/checkpoint.pt") ==
              ReadFile(whole + "/checkpoint.pt"));
}

// A float run's weights and Adam state handed to a layer-wise one, by either
// kind of file.
TEST(LoadLast, TakesOurCheckpointAndTheAuthors) {
  const std::string folder = testing::NewFolder("last");
  testing::WriteMnist(folder, kSmallTrain, kSmallTest);
  const std::string first = folder + "/float";
  ASSERT_EQ(RunTool("main", SmallRun(folder, first,
                                     {"--model=300", "--save-last",
                                      "--epochs=2", "--save-progress"}))
                .exit_code,
            0);
  ASSERT_TRUE(testing::Exists(first + "/last-2.tar"));
  EXPECT_TRUE(testing::Exists(first + "/accuracy_test-1.tar"));
  std::vector<std::string> ends;
  for (const char* file : {"last-2.tar", "checkpoint.pt"}) {
    const std::string run = absl::StrCat(folder, "/from-", file);
    const auto result =
        RunTool("main", SmallRun(folder, run,
                                 {"--load-last", "--load-last-file",
                                  absl::StrCat(first, "/", file)}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    ends.push_back(ReadFile(run + "/checkpoint.pt"));
    const auto end = training::LoadCheckpoint(run + "/checkpoint.pt");
    ASSERT_TRUE(end.ok());
    // Adam counts on: 10 steps there, 20 here.
    const auto* state = end->Find("optimizer")->Find("state");
    EXPECT_EQ(
        state->Find("features.0.weight")->Find("step")->tensor()->item<float>(),
        30);
  }
  EXPECT_TRUE(ends[0] == ends[1]);
}

}  // namespace
}  // namespace altprop::iterbin
