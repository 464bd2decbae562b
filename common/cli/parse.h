// From argument strings to absl flags, in the style of the papers' argparse
// programs. Nothing here exits, prints or throws.
//
//   --lrs 5e-4 5e-4      a list takes values up to the next flag
//   --lrs=5e-4,5e-4      the same; [5e-4,5e-4] too
//   --betas 0.0 -0.5     a dash before a digit or point starts a number
//   --save               a switch; --save=false, --save false, --no-save,
//   --nosave
//   --lr-decay           dashes are underscores
//   --epo 3              a prefix, where it is unambiguous
//   --T1 5 --T1 6        the last one wins
//   --flagfile=F         the flags in F, in this place
//   --                   only positional arguments follow
#ifndef COMMON_CLI_PARSE_H_
#define COMMON_CLI_PARSE_H_

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/cli/program.h"

namespace altprop::cli {

struct ParsedArguments {
  std::set<std::string, std::less<>> given;  // absl names of the flags set
  std::vector<std::string> positionals;
  std::vector<std::string> flagfiles;  // as resolved, in order of reading
  bool help_requested = false;         // what follows --help was not looked at

  // Whether the user, or a flag file, set this flag. Dashes are underscores.
  bool Given(absl::string_view flag) const;
};

// Sets the flags from `args` (without argv[0]). Every error is a usage error of
// one line that names the flag, the value and what was expected; flags before
// the faulty one have then been set.
//
// A flag file holds one flag a line, "--name=value", "--name value" or
// "--name"; the value goes to the end of the line and may stand in quotes
// ("a\tb" with C escapes, 'a b' as it is). Blank lines and lines that start
// with # are skipped. A relative F is found from where the user stands; in a
// flag file, from that file's folder. Errors name file and line.
absl::StatusOr<ParsedArguments> ParseCommandLine(
    const std::vector<std::string>& args, const Program& program);

// Sets the absl flag `name` (exact, dashes are underscores). Usage error if
// there is no such flag or it does not take `text`; the flag is then unchanged.
absl::Status SetFlagFromText(absl::string_view name, absl::string_view text);

// Every flag of the program and its current value, in the order of the groups.
// SetFlagFromText() takes them back.
std::vector<std::pair<std::string, std::string>> FlagValues(
    const Program& program);

// `values` as the contents of a flag file that sets them: a line each, quoted
// where a bare value would not read back.
std::string FlagfileText(
    const std::vector<std::pair<std::string, std::string>>& values);

}  // namespace altprop::cli

#endif  // COMMON_CLI_PARSE_H_
