#include "common/training/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"

namespace altprop::training {
namespace {

using altprop::testing::Exists;
using altprop::testing::NewFolder;
using altprop::testing::ReadFile;
using altprop::testing::WriteFile;

// What a child process that runs `body` exits with, -1 if by a signal.
int InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(AtomicFileTest, ReplacesTheContents) {
  const std::string path = NewFolder("atomic") + "/a";
  ASSERT_TRUE(WriteFileAtomically(path, "one").ok());
  ASSERT_TRUE(WriteFileAtomically(path, "second").ok());
  EXPECT_EQ(ReadFile(path), "second");
  EXPECT_FALSE(Exists(path + ".tmp"));
}

TEST(AtomicFileTest, JoinsSmallAndLargePiecesInOrder) {
  const std::string path = NewFolder("atomic") + "/a";
  absl::StatusOr<AtomicFile> file = AtomicFile::Create(path);
  ASSERT_TRUE(file.ok()) << file.status();
  std::string expected;
  for (const size_t size : {1, 0, 100'000, 3, 65'536, 65'535, 1'000'000, 7}) {
    const std::string piece(size,
                            static_cast<char>('a' + expected.size() % 26));
    expected += piece;
    EXPECT_TRUE(file->Append(piece).ok());
  }
  EXPECT_FALSE(Exists(path));
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_TRUE(ReadFile(path) == expected);
}

TEST(AtomicFileTest, LeavesTheOldFileWithoutCommit) {
  const std::string path = NewFolder("atomic") + "/a";
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  {
    absl::StatusOr<AtomicFile> file = AtomicFile::Create(path);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Append("new").ok());
    EXPECT_TRUE(Exists(path + ".tmp"));
  }
  EXPECT_EQ(ReadFile(path), "old");
  EXPECT_FALSE(Exists(path + ".tmp"));
}

TEST(AtomicFileTest, KeepsASymbolicLink) {
  const std::string folder = NewFolder("atomic");
  WriteFile(folder + "/real", "old");
  ASSERT_EQ(symlink("real", (folder + "/link").c_str()), 0);
  ASSERT_TRUE(WriteFileAtomically(folder + "/link", "new").ok());
  EXPECT_EQ(ReadFile(folder + "/real"), "new");
  struct stat info;
  ASSERT_EQ(lstat((folder + "/link").c_str(), &info), 0);
  EXPECT_TRUE(S_ISLNK(info.st_mode));
}

TEST(AtomicFileTest, NamesAFolderThatIsNotThere) {
  EXPECT_EQ(WriteFileAtomically("/nowhere/a", "x").message(),
            "/nowhere/a: No such file or directory (while creating it)");
}

TEST(AtomicFileTest, DoesNotReplaceAFolderOrADevice) {
  const std::string folder = NewFolder("atomic");
  EXPECT_EQ(WriteFileAtomically(folder, "x").message(),
            folder + ": is a directory, expected a file");
  EXPECT_EQ(WriteFileAtomically("/dev/full", "x").message(),
            "/dev/full: is not a regular file");
}

TEST(AtomicFileTest, RefusesASecondWriter) {
  const std::string path = NewFolder("atomic") + "/a";
  absl::StatusOr<AtomicFile> first = AtomicFile::Create(path);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(WriteFileAtomically(path, "second").message(),
            path + ": another process is writing it");
  ASSERT_TRUE(first->Append("first").ok());
  ASSERT_TRUE(first->Commit().ok());
  EXPECT_EQ(ReadFile(path), "first");
}

TEST(AtomicFileTest, TakesOverWhatAKilledWriterLeft) {
  const std::string path = NewFolder("atomic") + "/a";
  WriteFile(path + ".tmp", "half of a longer file");
  ASSERT_TRUE(WriteFileAtomically(path, "new").ok());
  EXPECT_EQ(ReadFile(path), "new");
  EXPECT_FALSE(Exists(path + ".tmp"));
}

// Whether writing to `path` fails as it should where there is no room: the old
// contents stay, nothing is left beside them, and `reason` is told.
int FailsCleanly(const std::string& path, const std::string& reason) {
  const absl::Status status =
      WriteFileAtomically(path, std::string(10 << 20, 'x'));
  const std::string line(status.message());
  if (line.rfind(path + ": " + reason + " (while writing, after ", 0) != 0) {
    return 2;
  }
  if (Exists(path + ".tmp")) return 3;
  return ReadFile(path) == "old" ? 0 : 4;
}

TEST(AtomicFileTest, LeavesTheOldFileWhenItMayNotGrow) {
  const std::string path = NewFolder("atomic") + "/a";
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  EXPECT_EQ(InChild([&] {
              signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{1 << 20, 1 << 20};
              if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
              return FailsCleanly(path, "File too large");
            }),
            0);
}

// Mounts a file system of 1 MiB on `folder`, in this process's own view: as
// root, or as anyone where user namespaces are allowed.
bool MountSmall(const std::string& folder) {
  return (unshare(CLONE_NEWNS) == 0 ||
          unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=1m") == 0;
}

TEST(AtomicFileTest, LeavesTheOldFileWhenTheDiskIsFull) {
  constexpr int kMayNotMount = 77;
  const std::string folder = NewFolder("full");
  const int result = InChild([&] {
    if (!MountSmall(folder)) return kMayNotMount;
    const std::string path = folder + "/a";
    if (!WriteFileAtomically(path, "old").ok()) return 1;
    return FailsCleanly(path, "No space left on device");
  });
  if (result == kMayNotMount) GTEST_SKIP() << "may not mount a small disk here";
  EXPECT_EQ(result, 0);
}

}  // namespace
}  // namespace altprop::training
