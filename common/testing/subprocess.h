// Runs a program the way its user does: arguments in, exit code and text out.

#ifndef COMMON_TESTING_SUBPROCESS_H_
#define COMMON_TESTING_SUBPROCESS_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace altprop::testing {

struct ProgramResult {
  int exit_code = 0;  // 128 + signal when a signal ended it
  std::string out, err;
};

// A started program. Its standard input is empty, its output is collected in
// temporary files, so that it never waits for a reader.
class Subprocess {
 public:
  // `args`: the program's path, then its arguments. `environment`: variables to
  // set beside the inherited ones. `file_size_limit`: bytes that a file it
  // writes may have (RLIMIT_FSIZE, with the signal ignored), 0: no limit.
  explicit Subprocess(
      const std::vector<std::string>& args,
      const std::vector<std::pair<std::string, std::string>>& environment = {},
      int64_t file_size_limit = 0);
  ~Subprocess();  // kills it if it still runs
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  void Signal(int signal);
  // What it has written to standard error so far.
  std::string ErrSoFar() const;
  bool Running();
  ProgramResult Wait();

 private:
  pid_t pid_ = -1;
  bool done_ = false;
  int status_ = 0;
  std::string out_file_, err_file_;
};

ProgramResult RunProgram(
    const std::vector<std::string>& args,
    const std::vector<std::pair<std::string, std::string>>& environment = {},
    int64_t file_size_limit = 0);

// Waits until `path` exists; false after `timeout`.
bool WaitForFile(const std::string& path, absl::Duration timeout);

}  // namespace altprop::testing

#endif  // COMMON_TESTING_SUBPROCESS_H_
