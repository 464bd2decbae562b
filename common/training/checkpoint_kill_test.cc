// A program that saves all the time is killed at random moments: the file is
// always one that it saved.
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <random>
#include <string>

#include "absl/status/statusor.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "common/training/value.h"

namespace altprop::training {
namespace {

// A step's checkpoint: every element says which step.
Value Checkpoint(int64_t step) {
  return Dict{{"step", step},
              {"model", Dict{{"w", at::full({20'000}, step, at::kDouble)},
                             {"b", at::full({100}, step, at::kLong)}}}};
}

[[noreturn]] void SaveForEver(const std::string& path, int64_t step) {
  while (SaveCheckpoint(path, Checkpoint(++step)).ok()) {
  }
  _exit(1);
}

TEST(CheckpointKillTest, FileIsWholeAfterTwoHundredKills) {
  const std::string path = altprop::testing::NewFolder("kill") + "/x.pt";
  std::mt19937 random(1);
  std::uniform_int_distribution<int> microseconds(0, 12'000);
  ASSERT_TRUE(SaveCheckpoint(path, Checkpoint(0)).ok());
  int64_t step = 0;
  int interrupted = 0;
  for (int kill_number = 0; kill_number < 200; ++kill_number) {
    const pid_t child = fork();
    if (child == 0) SaveForEver(path, step);
    usleep(microseconds(random));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "saving failed";
    interrupted += altprop::testing::Exists(path + ".tmp") ? 1 : 0;

    const absl::StatusOr<Value> loaded = LoadCheckpoint(path);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const absl::StatusOr<int64_t> loaded_step = loaded->GetInt("step");
    ASSERT_TRUE(loaded_step.ok());
    ASSERT_GE(*loaded_step, step);
    step = *loaded_step;
    ASSERT_TRUE(*loaded == Checkpoint(step));
  }
  // The kills came while it worked, many of them in the middle of a file.
  EXPECT_GT(step, 20);
  EXPECT_GT(interrupted, 20);
  RecordProperty("saved", static_cast<int>(step));
  RecordProperty("interrupted", interrupted);
}

}  // namespace
}  // namespace altprop::training
