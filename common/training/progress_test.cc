#include "common/training/progress.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(FormatDuration, ShowsHoursMinutesSeconds) {
  EXPECT_EQ(FormatDuration(0), "0:00:00");
  EXPECT_EQ(FormatDuration(71.6), "0:01:12");
  EXPECT_EQ(FormatDuration(26 * 3600 + 3), "26:00:03");
  EXPECT_EQ(FormatDuration(-1), "0:00:00");
}

TEST(ProgressText, SaysWhereTheRunIs) {
  const ProgressState state{3, 10, 1250, 5000, 62500, 0.03451, 0.96714};
  EXPECT_EQ(ProgressText(state, 0, 5),
            "epoch 3/10  step 1250/5000  12.5k samples/s  loss 0.03451  "
            "accuracy 96.71 %  ETA 0:00:15");
}

TEST(ProgressText, CountsAResumedRunsOwnStepsForTheEta) {
  // 250 steps of this process took 5 s; 3750 are left.
  const ProgressState state{3, 10, 1250, 5000, 12500, {}, {}};
  EXPECT_THAT(ProgressText(state, 1000, 5), EndsWith("ETA 0:01:15"));
}

TEST(ProgressText, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(ProgressText({0, 0, 7, 0, 0, {}, {}}, 7, 0), "step 7");
  EXPECT_EQ(ProgressText({1, 2, 4, 4, 0, {}, {}}, 0, 2), "epoch 1/2  step 4/4");
}

std::string Contents(std::FILE* file) {
  std::string text(static_cast<size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  return text;
}

TEST(Progress, IsPlainLinesInAFile) {
  std::FILE* file = std::tmpfile();
  {
    Progress progress(0, file);
    EXPECT_FALSE(progress.Due());  // the first after ten seconds
    progress.Update({1, 2, 3, 4, 5, {}, {}});
    progress.EndLine("epoch 1 done");
  }
  EXPECT_EQ(Contents(file), "epoch 1 done\n");
  std::fclose(file);
}

// The master side of a pseudo-terminal whose slave side is a FILE.
class Terminal {
 public:
  Terminal() : master_(posix_openpt(O_RDWR | O_NOCTTY)) {
    EXPECT_EQ(grantpt(master_), 0);
    EXPECT_EQ(unlockpt(master_), 0);
    slave_ = std::fopen(ptsname(master_), "w");
  }
  ~Terminal() {
    std::fclose(slave_);
    close(master_);
  }
  std::FILE* slave() const { return slave_; }
  std::string Read() {
    char buffer[4096];
    const ssize_t size = read(master_, buffer, sizeof(buffer));
    return std::string(buffer, size > 0 ? static_cast<size_t>(size) : 0);
  }

 private:
  int master_;
  std::FILE* slave_;
};

TEST(Progress, IsRedrawnInPlaceOnATerminal) {
  Terminal terminal;
  Progress progress(0, terminal.slave());
  std::this_thread::sleep_for(std::chrono::milliseconds(120));
  EXPECT_TRUE(progress.Due());
  progress.Update({1, 2, 3, 4, 5, {}, {}});
  EXPECT_FALSE(progress.Due());
  const std::string drawn = terminal.Read();
  EXPECT_THAT(drawn, StartsWith("\repoch 1/2  step 3/4"));
  EXPECT_THAT(drawn, EndsWith("\x1b[K\r"));
  EXPECT_THAT(drawn, Not(HasSubstr("\n")));
  progress.EndLine("epoch 1 done");
  EXPECT_EQ(terminal.Read(), "\r\x1b[Kepoch 1 done\r\n");
}

}  // namespace
}  // namespace altprop::training
