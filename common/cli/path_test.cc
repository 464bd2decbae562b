#include "common/cli/path.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace altprop::cli {
namespace {

class ResolvePathTest : public testing::Test {
 protected:
  void SetUp() override {
    setenv("HOME", "/home/ada", 1);
    unsetenv("BUILD_WORKING_DIRECTORY");
  }
};

TEST_F(ResolvePathTest, LeavesARelativePathToTheCurrentDirectory) {
  EXPECT_EQ(ResolvePath("runs/x"), "runs/x");
  EXPECT_EQ(ResolvePath("."), ".");
}

TEST_F(ResolvePathTest, StartsWhereTheUserStandsUnderBazelRun) {
  setenv("BUILD_WORKING_DIRECTORY", "/home/ada/work", 1);
  EXPECT_EQ(ResolvePath("runs/x"), "/home/ada/work/runs/x");
  EXPECT_EQ(ResolvePath("../x"), "/home/ada/work/../x");
  setenv("BUILD_WORKING_DIRECTORY", "/", 1);
  EXPECT_EQ(ResolvePath("x"), "/x");
}

TEST_F(ResolvePathTest, LeavesAbsoluteAndEmptyPathsAlone) {
  setenv("BUILD_WORKING_DIRECTORY", "/home/ada/work", 1);
  EXPECT_EQ(ResolvePath("/data"), "/data");
  EXPECT_EQ(ResolvePath(""), "");
}

TEST_F(ResolvePathTest, ExpandsTheHomeDirectory) {
  setenv("BUILD_WORKING_DIRECTORY", "/work", 1);
  EXPECT_EQ(ResolvePath("~/data"), "/home/ada/data");
  EXPECT_EQ(ResolvePath("~"), "/home/ada");
  EXPECT_EQ(ResolvePath("~x"), "/work/~x");
}

}  // namespace
}  // namespace altprop::cli
