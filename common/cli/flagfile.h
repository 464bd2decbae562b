// Reads flag files; see ParseCommandLine() for what they hold. Internal to this
// package.

#ifndef COMMON_CLI_FLAGFILE_H_
#define COMMON_CLI_FLAGFILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace altprop::cli {

struct FlagfileLine {
  int number;            // 1 is the first
  std::string argument;  // "--name" or "--name=value", quotes taken off
};

// The flags of the file at `path`, in order. Usage errors name the file and,
// where there is one, the line.
absl::StatusOr<std::vector<FlagfileLine>> ReadFlagfile(const std::string& path);

}  // namespace altprop::cli

#endif  // COMMON_CLI_FLAGFILE_H_
