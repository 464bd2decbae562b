#include "common/cli/program.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/lists.h"
#include "common/status.h"

ABSL_FLAG(int64_t, T1, 20, "");
ABSL_FLAG(altprop::cli::FloatList, lrs, {}, "");
ABSL_FLAG(bool, lr_decay, false, "");
ABSL_FLAG(int64_t, lr_decay_epochs, 100, "");
ABSL_FLAG(std::string, data_root, "", "");
ABSL_FLAG(bool, save, false, "");
ABSL_FLAG(bool, no_val, false, "");
ABSL_FLAG(std::string, nonlin, "", "");
ABSL_FLAG(bool, augment, true, "");
ABSL_FLAG(int64_t, fc, 10, "");
ABSL_FLAG(std::string, unlisted, "", "");

namespace altprop::cli {
namespace {

Program Example() {
  return {
      .name = "//x:y",
      .summary = "",
      .groups = {{"A", {"T1", "lrs", "lr_decay", "lr_decay_epochs"}},
                 {"B",
                  {"data_root", "save", "no_val", "nonlin", "augment", "fc"}}},
      .aliases = {{"data-dir", "data_root"}, {"j", "T1"}}};
}

// "--T1" -> "T1", "--no-save" -> "!save", an error -> its message.
std::string Found(absl::string_view written) {
  const absl::StatusOr<FlagMatch> match = FindFlag(written, Example());
  if (!match.ok()) {
    EXPECT_EQ(ExitCode(match.status()), 2);
    return std::string(match.status().message());
  }
  return (match->negated ? "!" : "") + match->flag;
}

TEST(FindFlag, TakesExactNamesFirst) {
  EXPECT_EQ(Found("--T1"), "T1");
  EXPECT_EQ(Found("--lr_decay"), "lr_decay");  // not ambiguous
  EXPECT_EQ(Found("--no_val"), "no_val");      // a flag, not a negation
}

TEST(FindFlag, TakesDashesAsUnderscores) {
  EXPECT_EQ(Found("--lr-decay-epochs"), "lr_decay_epochs");
  EXPECT_EQ(Found("--lr_decay-epochs"), "lr_decay_epochs");
  EXPECT_EQ(Found("--no-val"), "no_val");
}

TEST(FindFlag, KnowsAliases) {
  EXPECT_EQ(Found("--data-dir"), "data_root");
  EXPECT_EQ(Found("--data_dir"), "data_root");
  EXPECT_EQ(Found("-j"), "T1");
}

TEST(FindFlag, NegatesSwitchesOnly) {
  for (const char* written : {"--no-save", "--no_save", "--nosave"}) {
    EXPECT_EQ(Found(written), "!save") << written;
  }
  EXPECT_EQ(Found("--no-no-val"), "!no_val");
  EXPECT_EQ(Found("--no-T1"),
            "--no-T1: unknown flag; the nearest is --T1 (see --help)");
}

TEST(FindFlag, TakesUnambiguousPrefixes) {
  EXPECT_EQ(Found("--T"), "T1");
  EXPECT_EQ(Found("--sa"), "save");
  EXPECT_EQ(Found("--lr_decay_"), "lr_decay_epochs");
  EXPECT_EQ(Found("--nonl"), "nonlin");
  EXPECT_EQ(Found("--hel"), "help");
  EXPECT_EQ(Found("--flag"), "flagfile");
}

TEST(FindFlag, LetsFlagfileMakeNoPrefixAmbiguous) {
  EXPECT_EQ(Found("--f"), "fc");
}

TEST(FindFlag, TakesAPrefixOfAFlagAndItsAliasAsOne) {
  EXPECT_EQ(Found("--data"), "data_root");
}

TEST(FindFlag, TakesPrefixesOfNegationsAfterThoseOfNames) {
  EXPECT_EQ(Found("--no-aug"), "!augment");
  EXPECT_EQ(Found("--no-v"), "no_val");
}

TEST(FindFlag, NamesTheCandidatesOfAnAmbiguousPrefix) {
  EXPECT_EQ(Found("--lr"),
            "--lr: ambiguous, could be --lrs, --lr_decay or --lr_decay_epochs");
  EXPECT_EQ(Found("--no"), "--no: ambiguous, could be --no_val or --nonlin");
}

TEST(FindFlag, TakesNoPrefixAfterOneDash) {
  EXPECT_EQ(Found("-T1"), "T1");
  EXPECT_EQ(Found("-T"), "-T: unknown flag; the nearest is --T1 (see --help)");
  EXPECT_EQ(Found("-h"), "help");
}

TEST(FindFlag, SuggestsTheNearestName) {
  const auto nearest = [](const std::string& name) {
    return name + ": unknown flag; the nearest is --";
  };
  EXPECT_EQ(Found("--lsr"), nearest("--lsr") + "lrs (see --help)");
  EXPECT_EQ(Found("--t1"), nearest("--t1") + "T1 (see --help)");
  EXPECT_EQ(Found("--lr-decya"),
            nearest("--lr-decya") + "lr_decay (see --help)");
  EXPECT_EQ(Found("--nonlinearity"),
            nearest("--nonlinearity") + "nonlin (see --help)");
  EXPECT_EQ(Found("--no-sve"), nearest("--no-sve") + "no_save (see --help)");
  EXPECT_EQ(Found("--data-directory"),
            nearest("--data-directory") + "data_dir (see --help)");
}

TEST(FindFlag, DoesNotKnowAFlagThatIsNotListed) {
  EXPECT_EQ(Found("--unlisted").rfind("--unlisted: unknown flag", 0), 0);
}

TEST(FindFlag, BearsOddNames) {
  for (const char* written : {"--", "---", "-", "--\n", "--=", "--no_"}) {
    FindFlag(written, Example()).IgnoreError();
  }
  EXPECT_LT(Found("--" + std::string(5000, 'x')).size(), 160);
}

TEST(CheckProgram, AcceptsASoundProgram) {
  EXPECT_EQ(CheckProgram(Example()), absl::OkStatus());
}

TEST(CheckProgram, NamesWhatIsWrong) {
  Program program = Example();
  program.groups[0].flags.push_back("T3");
  EXPECT_EQ(CheckProgram(program).message(), "--T3: listed, but not linked in");
  program = Example();
  program.groups[1].flags.push_back("T1");
  EXPECT_EQ(CheckProgram(program).message(), "--T1: listed twice");
  program = Example();
  program.aliases.push_back({"old", "unlisted"});
  EXPECT_EQ(CheckProgram(program).message(),
            "--old: alias of the unlisted --unlisted");
  program = Example();
  program.aliases.push_back({"lr-decay", "T1"});
  EXPECT_EQ(CheckProgram(program).message(),
            "--lr-decay: an alias, but already a name");
}

}  // namespace
}  // namespace altprop::cli
