// What a user of a program sees: exit codes and text.

#include "common/cli/main.h"

#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/Exception.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"

ABSL_FLAG(int64_t, T1, 20, "time steps");

namespace altprop::cli {
namespace {

using Ending = std::function<absl::Status()>;

absl::Status Ok() { return absl::OkStatus(); }

// The exit code of a program that is given `args` and whose run prints
// "running" and then ends as `end` does.
int RunMain(std::vector<std::string> args, const Ending& end) {
  const Program program = {.name = "//common/cli:example",
                           .summary = "An example.",
                           .groups = {{"Dynamics", {"T1"}}}};
  args.insert(args.begin(), "example");
  std::vector<char*> argv;
  argv.reserve(args.size() + 1);
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  return Main(static_cast<int>(args.size()), argv.data(), program,
              [&end](const ParsedArguments&) {
                std::printf("running\n");
                return end();
              });
}

struct Result {
  int exit_code;
  std::string out, err;
};

Result Captured(const std::vector<std::string>& args, const Ending& end = Ok) {
  const absl::FlagSaver saver;  // outlives the capture, because it logs
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int exit_code = RunMain(args, end);
  return {exit_code, ::testing::internal::GetCapturedStdout(),
          ::testing::internal::GetCapturedStderr()};
}

struct EndingCase {
  std::string name;
  Ending end;
  int exit_code;
  std::string line;
};

class MainEnding : public ::testing::TestWithParam<EndingCase> {};

TEST_P(MainEnding, IsOneLineAndAnExitCode) {
  const Result result = Captured({}, GetParam().end);
  EXPECT_EQ(result.exit_code, GetParam().exit_code);
  EXPECT_EQ(result.out, "running\n");
  EXPECT_EQ(result.err, absl::StrCat("error: ", GetParam().line, "\n"));
}

absl::Status FailTorchCheck() { TORCH_CHECK(false, "shapes differ\nand more"); }

absl::Status AllocateAnExabyte() {
  c10::free_cpu(c10::alloc_cpu(size_t{1} << 60));
  return absl::OkStatus();
}

INSTANTIATE_TEST_SUITE_P(
    Main, MainEnding,
    ::testing::Values(
        EndingCase{"Error",
                   [] { return absl::NotFoundError("x.bin: no such file"); }, 1,
                   "x.bin: no such file"},
        EndingCase{"ErrorOfTwoLines",
                   [] { return absl::InternalError("first\nsecond"); }, 1,
                   "first\\nsecond"},
        EndingCase{"UsageError", [] { return UsageError("--T1=5: too small"); },
                   2, "--T1=5: too small"},
        EndingCase{"Interrupt", [] { return InterruptedError(SIGINT); }, 130,
                   "interrupted by SIGINT"},
        EndingCase{"Terminate",
                   [] { return InterruptedError(SIGTERM, "at step 3"); }, 143,
                   "interrupted by SIGTERM: at step 3"},
        EndingCase{"TorchError", FailTorchCheck, 1, "shapes differ"},
        EndingCase{"TorchOutOfMemory", AllocateAnExabyte, 1,
                   "out of memory: can't allocate memory: you tried to "
                   "allocate 1152921504606846976 bytes. Error code 12 (Cannot "
                   "allocate memory)"},
        EndingCase{"OutOfMemory",
                   []() -> absl::Status { throw std::bad_alloc(); }, 1,
                   "out of memory"},
        EndingCase{
            "Exception",
            []() -> absl::Status { throw std::runtime_error("first\nsecond"); },
            1, "first"},
        EndingCase{"UnknownException",
                   // NOLINTNEXTLINE(hicpp-exception-baseclass)
                   []() -> absl::Status { throw 5; }, 1,
                   "an exception of an unknown type"}),
    [](const auto& info) { return info.param.name; });

TEST(Main, ExitsWithZeroAndSilentlyAfterSuccess) {
  const Result result = Captured({"--T1=3"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "running\n");
  EXPECT_EQ(result.err, "");
}

TEST(Main, SetsTheFlagsBeforeTheRun) {
  int64_t seen = 0;
  Captured({"--T1=3"}, [&seen] {
    seen = absl::GetFlag(FLAGS_T1);
    return absl::OkStatus();
  });
  EXPECT_EQ(seen, 3);
}

TEST(Main, TellsAMistakeOnTheCommandLineInOneLineAndDoesNotRun) {
  const Result result = Captured({"--T1=many"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "error: --T1=many: expected a whole number\n");
}

TEST(Main, ShowsHelpOnStdoutAndDoesNotRun) {
  for (const char* help : {"--help", "-h", "--hel"}) {
    const Result result = Captured({help, "--T3"});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_TRUE(absl::StartsWith(result.out, "//common/cli:example: "));
    EXPECT_FALSE(absl::StrContains(result.out, "running"));
    EXPECT_EQ(result.err, "");
  }
}

TEST(Main, FindsAFlagFileFromWhereTheUserStands) {
  const std::string folder = ::testing::TempDir();
  std::ofstream(folder + "/main_test.flags") << "--T1=many\n";
  setenv("BUILD_WORKING_DIRECTORY", folder.c_str(), 1);
  EXPECT_TRUE(absl::StrContains(Captured({"--flagfile=main_test.flags"}).err,
                                "main_test.flags:1: --T1=many: "));
  unsetenv("BUILD_WORKING_DIRECTORY");
}

TEST(Main, BearsAnEmptyArgumentVector) {
  char* argv[] = {nullptr};
  const Program program = {.name = "//x:y", .summary = "", .groups = {}};
  EXPECT_EQ(Main(0, argv, program, [](const ParsedArguments&) { return Ok(); }),
            0);
}

// The exit code in a process with stdin, stdout and stderr as `prepare` leaves
// them.
int ExitCodeAfter(void (*prepare)(), const std::string& arg,
                  const Ending& end = Ok) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    prepare();
    _exit(RunMain({arg}, end));
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(Main, SurvivesAReaderThatWentAway) {
  const auto no_reader = [] {
    int ends[2];
    if (pipe(ends) != 0) _exit(126);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    std::signal(SIGPIPE, SIG_DFL);
  };
  EXPECT_EQ(ExitCodeAfter(no_reader, "--help"), 0);
  EXPECT_EQ(ExitCodeAfter(no_reader, "--T1=3"), 0);
  EXPECT_EQ(ExitCodeAfter(no_reader, "--T1=many"), 2);
}

TEST(Main, FailsWhereHelpCannotBeWritten) {
  const auto full_disk = [] {
    dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO);
  };
  EXPECT_EQ(ExitCodeAfter(full_disk, "--help"), 1);
}

TEST(Main, GivesNoFileTheNumberOfAClosedStandardFile) {
  const auto close_all = [] {
    for (const int fd : {0, 1, 2}) close(fd);
  };
  const auto opens_the_third = [] {
    const int fd = open("/dev/null", O_RDONLY);
    return fd > 2 ? absl::OkStatus() : absl::InternalError("a standard file");
  };
  EXPECT_EQ(ExitCodeAfter(close_all, "--T1=3", opens_the_third), 0);
  EXPECT_EQ(ExitCodeAfter(close_all, "--help"), 0);
  EXPECT_EQ(ExitCodeAfter(close_all, "--T1=many"), 2);
}

}  // namespace
}  // namespace altprop::cli
