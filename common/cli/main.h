// The one main(): from arguments to an exit code.
#ifndef COMMON_CLI_MAIN_H_
#define COMMON_CLI_MAIN_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"

namespace altprop::cli {

// Sets up logging to stderr, parses the arguments into the flags and calls
// `run`; with --help prints the help to stdout instead. Returns the exit code:
// 0, 1 for an error, 2 for a usage error, 130 and 143 after SIGINT and SIGTERM
// (InterruptedError). An error is one line on stderr, whether it came as a
// Status or as an exception (c10::Error without its backtrace, std::bad_alloc).
//
// A reader of stdout or stderr that goes away (`| head -1`) ends nothing:
// SIGPIPE is ignored from here on.
int Main(int argc, char** argv, const Program& program,
         absl::FunctionRef<absl::Status(const ParsedArguments&)> run);

}  // namespace altprop::cli

#endif  // COMMON_CLI_MAIN_H_
