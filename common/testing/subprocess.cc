#include "common/testing/subprocess.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/logging.h"

namespace altprop::testing {
namespace {

std::string TemporaryFile() {
  const char* folder = std::getenv("TEST_TMPDIR");
  std::string path =
      absl::StrCat(folder == nullptr ? "/tmp" : folder, "/output.XXXXXX");
  const int fd = mkstemp(path.data());
  CHECK_GE(fd, 0) << path;
  close(fd);
  return path;
}

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void Redirect(const char* path, int flags, int to) {
  const int fd = open(path, flags);
  if (fd < 0 || dup2(fd, to) < 0) _exit(127);
}

}  // namespace

Subprocess::Subprocess(
    const std::vector<std::string>& args,
    const std::vector<std::pair<std::string, std::string>>& environment,
    int64_t file_size_limit)
    : out_file_(TemporaryFile()), err_file_(TemporaryFile()) {
  std::vector<char*> argv;
  argv.reserve(args.size() + 1);
  for (const std::string& arg : args) {
    argv.push_back(const_cast<char*>(arg.c_str()));
  }
  argv.push_back(nullptr);
  pid_ = fork();
  CHECK_GE(pid_, 0);
  if (pid_ > 0) return;
  Redirect("/dev/null", O_RDONLY, 0);
  Redirect(out_file_.c_str(), O_WRONLY, 1);
  Redirect(err_file_.c_str(), O_WRONLY, 2);
  for (const auto& [name, value] : environment) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  if (file_size_limit > 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {static_cast<rlim_t>(file_size_limit),
                          static_cast<rlim_t>(file_size_limit)};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  execv(argv[0], argv.data());
  _exit(127);
}

Subprocess::~Subprocess() {
  if (!done_) {
    Signal(SIGKILL);
    Wait();
  }
  unlink(out_file_.c_str());
  unlink(err_file_.c_str());
}

void Subprocess::Signal(int signal) {
  if (!done_) kill(pid_, signal);
}

std::string Subprocess::ErrSoFar() const { return Contents(err_file_); }

bool Subprocess::Running() {
  if (!done_) done_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return !done_;
}

ProgramResult Subprocess::Wait() {
  if (!done_) {
    CHECK_EQ(waitpid(pid_, &status_, 0), pid_);
    done_ = true;
  }
  ProgramResult result;
  result.exit_code =
      WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  result.out = Contents(out_file_);
  result.err = Contents(err_file_);
  return result;
}

ProgramResult RunProgram(
    const std::vector<std::string>& args,
    const std::vector<std::pair<std::string, std::string>>& environment,
    int64_t file_size_limit) {
  return Subprocess(args, environment, file_size_limit).Wait();
}

bool WaitForFile(const std::string& path, absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  struct stat info;
  while (stat(path.c_str(), &info) != 0) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

}  // namespace altprop::testing
