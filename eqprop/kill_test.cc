// kill -9 at random moments of a run that writes checkpoints all the time: the
// file always loads, and the run goes on from it.

#include <csignal>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "eqprop/program_test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

constexpr int kKills = 200;

TEST(Kill, LeavesACheckpointThatLoadsAndContinues) {
  const std::string folder = testing::NewFolder("kill");
  testing::WriteMnist(folder, 60, 20);
  const std::string run = folder + "/run", path = run + "/checkpoint.pt";
  const std::vector<std::string> endless = {
      "--epochs=1000000", "--checkpoint_every=1", "--T1=2", "--T2=1"};
  std::mt19937 random(0);
  int64_t step = 0, advanced = 0;
  for (int kill = 0; kill < kKills; ++kill) {
    const bool first = !testing::Exists(path);
    testing::Subprocess process(
        first ? TrainCommand(SmallRun(folder, run, endless))
              : TrainCommand({"--resume", path, "--checkpoint_every=1",
                              absl::StrCat("--data_root=", folder)}));
    if (first) {
      ASSERT_TRUE(testing::WaitForFile(path, absl::Seconds(60)));
    }
    // Up to about the time that loading the libraries takes, and then some
    // tens of checkpoints.
    absl::SleepFor(absl::Milliseconds(300 + random() % 700));
    ASSERT_TRUE(process.Running()) << process.Wait().err;
    process.Signal(SIGKILL);
    process.Wait();

    const auto checkpoint = training::LoadCheckpoint(path);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    const int64_t now = *checkpoint->GetInt("step");
    EXPECT_GE(now, step);
    advanced += now > step;
    step = now;
  }
  // Not all of them died before they began.
  EXPECT_GT(advanced, kKills / 10);
  const auto result =
      RunTrain({"--resume", path, absl::StrCat("--data_root=", folder),
                absl::StrCat("--max_steps=", step + 3)});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

}  // namespace
}  // namespace altprop::eqprop
