// Paths on the command line are relative to where the user stands.
#ifndef COMMON_CLI_PATH_H_
#define COMMON_CLI_PATH_H_

#include <string>

#include "absl/strings/string_view.h"

namespace altprop::cli {

// `path` as the user means it: a relative one starts at BUILD_WORKING_DIRECTORY
// where that is set (`bazel run`), else at the current directory (and is
// returned as it is); a leading "~/", which shells leave alone in --flag=~/x,
// is the home directory. "" stays "".
std::string ResolvePath(absl::string_view path);

}  // namespace altprop::cli

#endif  // COMMON_CLI_PATH_H_
