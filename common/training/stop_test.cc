#include "common/training/stop.h"

#include <csignal>

#include "gtest/gtest.h"

namespace altprop::training {
namespace {

TEST(StopSignal, RemembersTheFirstSignal) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const StopSignal stop;
    EXPECT_EQ(stop.Requested(), 0);
    std::raise(signal);
    EXPECT_EQ(stop.Requested(), signal);
  }
}

TEST(StopSignal, ForgetsWithTheNextObject) {
  {
    const StopSignal stop;
    std::raise(SIGINT);
  }
  const StopSignal stop;
  EXPECT_EQ(stop.Requested(), 0);
}

TEST(StopSignalDeathTest, EndsAtTheSecondSignalOfEitherKind) {
  const auto twice = [](int first, int second) {
    const StopSignal stop;
    std::raise(first);
    std::raise(second);
  };
  EXPECT_EXIT(twice(SIGINT, SIGINT), testing::KilledBySignal(SIGINT),
              "a second signal ends at once");
  EXPECT_EXIT(twice(SIGTERM, SIGINT), testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(twice(SIGINT, SIGTERM), testing::KilledBySignal(SIGTERM), "");
}

TEST(StopSignalDeathTest, PutsThePreviousHandlersBack) {
  EXPECT_EXIT(
      {
        { const StopSignal stop; }
        std::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

TEST(StopSignalDeathTest, IsOneAtATime) {
  const StopSignal stop;
  EXPECT_DEATH(StopSignal(), "second StopSignal");
}

}  // namespace
}  // namespace altprop::training
