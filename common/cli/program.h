// What a program says about its command line: its name, and which of the absl
// flags linked into it are its own, in the groups in which --help shows them.
#ifndef COMMON_CLI_PROGRAM_H_
#define COMMON_CLI_PROGRAM_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::cli {

struct FlagGroup {
  std::string title;               // "Dynamics"
  std::vector<std::string> flags;  // absl flag names: {"T1", "T2", "betas"}
};

struct Program {
  std::string name;     // "//eqprop:train"
  std::string summary;  // one or two lines: the paper, the method
  // A flag that is linked in but not listed is unknown to the user.
  std::vector<FlagGroup> groups;
  // Other names of listed flags, mostly the originals': {"data-dir",
  // "data_root"}. One letter, {"j", "workers"}, is taken as -j.
  std::vector<std::pair<std::string, std::string>> aliases = {};
  int positionals = 0;                // at most so many
  std::string positional_usage = {};  // "DATA LOGDIR"
};

// What a user's flag turned out to be.
struct FlagMatch {
  std::string flag;      // an absl flag, or kHelp or kFlagfile
  bool negated = false;  // --no-save, --nosave, --no_save
};

inline constexpr absl::string_view kHelp = "help";
inline constexpr absl::string_view kFlagfile = "flagfile";

// Finds the flag that the user means by `written`, "--lr-decay" or "-j". Dashes
// equal underscores. In this order: the exact name or alias; "no" before a
// switch; after two dashes, an unambiguous prefix of names and aliases, as
// argparse takes it, or else of --flagfile or of a negated switch. Usage
// errors: an ambiguous prefix (names the candidates), an unknown name (names
// the nearest one).
absl::StatusOr<FlagMatch> FindFlag(absl::string_view written,
                                   const Program& program);

// OK if every listed flag is linked in and listed once, and every alias leads
// to a listed flag and hides none. For a program's own test.
absl::Status CheckProgram(const Program& program);

// Every listed flag, in the order of the groups.
std::vector<std::string> FlagNames(const Program& program);

}  // namespace altprop::cli

#endif  // COMMON_CLI_PROGRAM_H_
