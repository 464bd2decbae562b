// What the type of an absl flag means on a command line. Internal to this
// package.

#ifndef COMMON_CLI_FLAG_KIND_H_
#define COMMON_CLI_FLAG_KIND_H_

#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/strings/string_view.h"

namespace altprop::cli {

struct FlagKind {
  absl::string_view placeholder;     // in --help: "N", "X ..."; "" for a switch
  absl::string_view expected;        // "a whole number"
  absl::string_view range = {};      // "from -2147483648 to 2147483647"
  absl::string_view separator = {};  // a list: joins its arguments

  bool IsSwitch() const { return placeholder.empty(); }
  bool IsList() const { return !separator.empty(); }
};

// The kind of `flag`; std::optional<T> is as T. A type unknown here takes one
// argument.
FlagKind KindOf(const absl::CommandLineFlag& flag);

// What `flag` would have taken instead of `text`: "expected a whole number".
// `error` is ParseFrom()'s.
std::string Expectation(const absl::CommandLineFlag& flag,
                        absl::string_view text, absl::string_view error);

}  // namespace altprop::cli

#endif  // COMMON_CLI_FLAG_KIND_H_
