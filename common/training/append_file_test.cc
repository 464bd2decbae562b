#include "common/training/append_file.h"

#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"

namespace altprop::training {
namespace {

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(AppendFile, AddsToWhatIsThere) {
  const std::string path = testing::TempDir() + "/append.log";
  std::ofstream(path) << "old\n";
  {
    auto file = AppendFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(file->Append("one\n").ok());
    EXPECT_EQ(Contents(path), "old\none\n");  // there before it is closed
    AppendFile moved = *std::move(file);
    ASSERT_TRUE(moved.Append("two\n").ok());
  }
  EXPECT_EQ(Contents(path), "old\none\ntwo\n");
}

TEST(AppendFile, NamesTheFileItCannotOpen) {
  const std::string path = testing::TempDir() + "/no_such_folder/a.log";
  const auto file = AppendFile::Open(path);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().message(),
            path + ": cannot open for writing: No such file or directory");
}

TEST(AppendFile, NamesTheFileWhenTheDiskIsFull) {
  auto file = AppendFile::Open("/dev/full");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->Append("line\n").message(),
            "/dev/full: cannot write: No space left on device");
}

// A limit on the file's size stands for a disk that is full in mid-line.
TEST(AppendFile, LeavesNoTornLine) {
  const std::string path = testing::TempDir() + "/torn.log";
  auto file = AppendFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->Append("one\n").ok());
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small = {6, limit.rlim_max};
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = file->Append("two\n");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::signal(SIGXFSZ, previous);
  EXPECT_EQ(status.message(), path + ": cannot write: File too large");
  EXPECT_EQ(Contents(path), "one\n");
  ASSERT_TRUE(file->Append("three\n").ok());  // there is room again
  EXPECT_EQ(Contents(path), "one\nthree\n");
}

}  // namespace
}  // namespace altprop::training
