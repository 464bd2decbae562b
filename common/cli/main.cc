#include "common/cli/main.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/cli/help.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/logging.h"
#include "common/status.h"

namespace altprop::cli {
namespace {

constexpr size_t kLongestError = 4096;  // bytes: names and shapes may be listed

// A program started without stdin, stdout or stderr would give the number of
// the missing one to the first file it opens, and then print into that file.
void OpenStandardFiles() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest free number is `fd`.
    if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd) return;
  }
}

void StartLogging(const char* program) {
  if (google::IsGoogleLoggingInitialized()) return;
  FLAGS_logtostderr = true;
  FLAGS_colorlogtostderr = true;  // on a terminal
  google::InitGoogleLogging(program);
}

// stdout without a reader is fine, stdout on a full disk is not.
absl::Status PrintToStdout(absl::string_view text) {
  errno = 0;
  const size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) == 0 && written == text.size()) {
    return absl::OkStatus();
  }
  if (errno == EPIPE) return absl::OkStatus();
  return absl::UnavailableError(
      // NOLINTNEXTLINE(concurrency-mt-unsafe)
      absl::StrCat("standard output: ", std::strerror(errno)));
}

// The first line of an exception's text, without where in LibTorch it arose.
absl::Status FromException(absl::string_view what) {
  what = what.substr(0, what.find('\n'));
  const size_t allocator = what.find("DefaultCPUAllocator: ");
  if (allocator != absl::string_view::npos) what.remove_prefix(allocator);
  absl::ConsumePrefix(&what, "DefaultCPUAllocator: ");
  const bool out_of_memory = absl::StrContains(what, "allocate memory") &&
                             !absl::StrContains(what, "out of memory");
  return absl::InternalError(
      absl::StrCat(out_of_memory ? "out of memory: " : "", what));
}

absl::Status Run(const std::vector<std::string>& args, const Program& program,
                 absl::FunctionRef<absl::Status(const ParsedArguments&)> run) {
  try {
    ALTPROP_ASSIGN_OR_RETURN(const ParsedArguments parsed,
                             ParseCommandLine(args, program));
    if (parsed.help_requested) return PrintToStdout(HelpText(program));
    return run(parsed);
  } catch (const c10::Error& error) {
    return FromException(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const std::exception& error) {
    return FromException(error.what());
  } catch (...) {
    return absl::UnknownError("an exception of an unknown type");
  }
}

}  // namespace

int Main(int argc, char** argv, const Program& program,
         absl::FunctionRef<absl::Status(const ParsedArguments&)> run) {
  OpenStandardFiles();
  std::signal(SIGPIPE, SIG_IGN);
  StartLogging(argc > 0 ? argv[0] : "altprop");
  const std::vector<std::string> args(argc > 0 ? argv + 1 : argv, argv + argc);
  const absl::Status status = Run(args, program, run);
  std::fflush(stdout);
  if (!status.ok()) {
    std::fprintf(stderr, "error: %s\n",
                 Printable(status.message(), kLongestError).c_str());
  }
  return ExitCode(status);
}

}  // namespace altprop::cli
