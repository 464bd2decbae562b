#include "common/testing/subprocess.h"

#include <csignal>

#include "gtest/gtest.h"

namespace altprop::testing {
namespace {

TEST(Subprocess, GivesTextAndExitCode) {
  const ProgramResult result = RunProgram(
      {"/bin/sh", "-c", "echo $WORD; echo no >&2; exit 3"}, {{"WORD", "yes"}});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.out, "yes\n");
  EXPECT_EQ(result.err, "no\n");
}

TEST(Subprocess, TellsTheSignalThatEndedIt) {
  Subprocess process({"/bin/sh", "-c", "sleep 60"});
  EXPECT_TRUE(process.Running());
  process.Signal(SIGKILL);
  EXPECT_EQ(process.Wait().exit_code, 128 + SIGKILL);
  EXPECT_FALSE(process.Running());
}

TEST(Subprocess, LimitsTheSizeOfFiles) {
  const ProgramResult result =
      RunProgram({"/bin/sh", "-c", "head -c 5000 /dev/zero"}, {},
                 /*file_size_limit=*/1000);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_EQ(result.out.size(), 1000u);
}

}  // namespace
}  // namespace altprop::testing
