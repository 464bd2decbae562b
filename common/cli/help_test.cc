#include "common/cli/help.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/cli/lists.h"
#include "common/cli/program.h"

ABSL_FLAG(int64_t, T1, 20, "time steps of the free phase [steps]");
ABSL_FLAG(altprop::cli::FloatList, betas,
          (altprop::cli::FloatList{{0.0, 0.01}}),
          "nudging strengths of the two phases, of which the first is that of "
          "the free phase");
ABSL_FLAG(std::optional<double>, scale, std::nullopt, "gain");
ABSL_FLAG(std::string, a_flag_with_a_long_name, "", "long");
ABSL_FLAG(bool, save, false, "keep the run");
ABSL_FLAG(bool, shuffle, true, "new order each epoch");
ABSL_FLAG(std::vector<std::string>, names, (std::vector<std::string>{"a", "b"}),
          "names");
ABSL_FLAG(std::string, data_root, "data", "folder");
ABSL_FLAG(std::string, hidden, "", "not this program's");

namespace altprop::cli {
namespace {

Program Example() {
  return {.name = "//eqprop:train",
          .summary = "Equilibrium propagation.",
          .groups = {{"Dynamics", {"T1", "betas", "scale"}},
                     {"Run",
                      {"a_flag_with_a_long_name", "save", "shuffle", "names",
                       "data_root"}}},
          .aliases = {{"data-dir", "data_root"}, {"d", "data_root"}},
          .positionals = 1,
          .positional_usage = "FILE"};
}

TEST(HelpText, ShowsGroupsDefaultsAndUnits) {
  EXPECT_EQ(HelpText(Example()), R"(//eqprop:train: Equilibrium propagation.

Usage: tools/bazel run //eqprop:train -- [FLAGS] FILE

Dynamics:
  --T1 N                  time steps of the free phase (default: 20 steps)
  --betas X ...           nudging strengths of the two phases, of which the
                          first is that of the free phase (default: 0,0.01)
  --scale X               gain (default: none)

Run:
  --a_flag_with_a_long_name TEXT
                          long (default: none)
  --save                  keep the run (default: off)
  --[no_]shuffle          new order each epoch (default: on)
  --names TEXT ...        names (default: a,b)
  --data_root TEXT        folder (default: data; also --data-dir; also -d)

Help:
  --flagfile FILE         read flags from FILE, one --NAME=VALUE a line; flags
                          after it override them
  --help                  show this and exit

Dashes and underscores are the same, an unambiguous beginning of a name is
enough, and the last of two settings wins. --no_NAME turns a switch off. Lists
are written as 1 2 or 1,2 or [1,2].
)");
}

TEST(HelpText, FitsInEightyColumns) {
  for (const absl::string_view line :
       absl::StrSplit(HelpText(Example()), '\n')) {
    EXPECT_LE(line.size(), 80) << line;
  }
}

TEST(HelpText, ShowsDefaultsWhateverHasBeenSet) {
  const absl::FlagSaver saver;
  const std::string before = HelpText(Example());
  absl::SetFlag(&FLAGS_T1, 5);
  EXPECT_EQ(HelpText(Example()), before);
}

}  // namespace
}  // namespace altprop::cli
