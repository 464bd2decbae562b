#include "common/cli/parse.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/cli/lists.h"
#include "common/status.h"

ABSL_FLAG(int64_t, T1, 20, "");
ABSL_FLAG(int32_t, small, 1, "");
ABSL_FLAG(uint64_t, seed, 0, "");
ABSL_FLAG(double, mmt, 0.0, "");
ABSL_FLAG(std::optional<double>, scale, std::nullopt, "");
ABSL_FLAG(std::optional<bool>, maybe, std::nullopt, "");
ABSL_FLAG(altprop::cli::FloatList, betas,
          (altprop::cli::FloatList{{0.0, 0.01}}), "");
ABSL_FLAG(altprop::cli::IntList, milestones, {}, "");
ABSL_FLAG(std::vector<std::string>, names, {}, "");
ABSL_FLAG(std::string, act, "mysig", "");
ABSL_FLAG(bool, save, false, "");
ABSL_FLAG(bool, shuffle, true, "");
ABSL_FLAG(std::string, hidden, "", "");

namespace altprop::cli {
namespace {

using Strings = std::vector<std::string>;
using Doubles = std::vector<double>;
using Ints = std::vector<int64_t>;

class ParseTest : public testing::Test {
 protected:
  ParsedArguments Parse(const Strings& args) {
    absl::StatusOr<ParsedArguments> parsed = ParseCommandLine(args, program_);
    EXPECT_EQ(parsed.status(), absl::OkStatus());
    return parsed.value_or(ParsedArguments());
  }

  // The message of a usage error.
  std::string Error(const Strings& args) {
    const absl::Status status = ParseCommandLine(args, program_).status();
    EXPECT_EQ(ExitCode(status), 2) << status;
    return std::string(status.message());
  }

  Program program_ = {
      .name = "//x:y",
      .summary = "",
      .groups = {
          {"A", {"T1", "small", "seed", "mmt", "scale", "maybe"}},
          {"B", {"betas", "milestones", "names", "act", "save", "shuffle"}}}};

 private:
  absl::FlagSaver saver_;
};

TEST_F(ParseTest, LeavesDefaultsWithoutArguments) {
  const ParsedArguments parsed = Parse({});
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), 20);
  EXPECT_TRUE(parsed.given.empty());
  EXPECT_FALSE(parsed.help_requested);
}

TEST_F(ParseTest, TakesAValueAfterSpaceOrEquals) {
  Parse({"--T1", "5", "--act=tanh"});
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), 5);
  EXPECT_EQ(absl::GetFlag(FLAGS_act), "tanh");
}

TEST_F(ParseTest, TellsWhichFlagsWereGiven) {
  const ParsedArguments parsed = Parse({"--T1", "5", "--no-save"});
  EXPECT_EQ(parsed.given, (std::set<std::string, std::less<>>{"T1", "save"}));
  EXPECT_TRUE(parsed.Given("T1"));
  EXPECT_FALSE(parsed.Given("act"));
}

TEST_F(ParseTest, EndsAListAtTheNextFlag) {
  Parse({"--betas", "0.0", "0.5", "--milestones", "200", "250", "--save"});
  EXPECT_EQ(absl::GetFlag(FLAGS_betas).values, (Doubles{0, 0.5}));
  EXPECT_EQ(absl::GetFlag(FLAGS_milestones).values, (Ints{200, 250}));
  EXPECT_TRUE(absl::GetFlag(FLAGS_save));
}

TEST_F(ParseTest, TakesNegativeNumbersAsValues) {
  Parse({"--betas", "0.0", "-0.5", "-5e-4", "-.5", "-inf", "--T1", "-3"});
  const Doubles betas = absl::GetFlag(FLAGS_betas).values;
  ASSERT_EQ(betas.size(), 5);
  EXPECT_EQ(betas[1], -0.5);
  EXPECT_EQ(betas[2], -5e-4);
  EXPECT_EQ(betas[3], -0.5);
  EXPECT_LT(betas[4], -1e308);
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), -3);
  Parse({"--betas", "-1,0.5", "--scale", "-1e-3"});
  EXPECT_EQ(absl::GetFlag(FLAGS_betas).values, (Doubles{-1, 0.5}));
  EXPECT_EQ(absl::GetFlag(FLAGS_scale), -1e-3);
}

TEST_F(ParseTest, TakesBracketedLists) {
  for (const Strings& args :
       {Strings{"--milestones", "[42,57]"}, Strings{"--milestones=[42,57]"},
        Strings{"--milestones", "[42,", "57]"}, Strings{"--milestones=42,57"},
        Strings{"--milestones", "42,57"}, Strings{"--milestones", "42 57"},
        Strings{"--milestones", "\"[42,57]\""}}) {
    Parse({"--milestones="});
    Parse(args);
    EXPECT_EQ(absl::GetFlag(FLAGS_milestones).values, (Ints{42, 57}))
        << args[0];
  }
}

TEST_F(ParseTest, EndsAListAtItsClosingBracket) {
  program_.positionals = 1;
  for (const Strings& args : {Strings{"--milestones", "[42,57]", "DIR"},
                              Strings{"--milestones", "[42,", "57]", "DIR"}}) {
    EXPECT_EQ(Parse(args).positionals, (Strings{"DIR"}));
    EXPECT_EQ(absl::GetFlag(FLAGS_milestones).values, (Ints{42, 57}));
  }
}

TEST_F(ParseTest, TakesListsOfTexts) {
  Parse({"--names", "a", "b", "--T1=1"});
  EXPECT_EQ(absl::GetFlag(FLAGS_names), (Strings{"a", "b"}));
  Parse({"--names=c,d"});
  EXPECT_EQ(absl::GetFlag(FLAGS_names), (Strings{"c", "d"}));
}

TEST_F(ParseTest, EmptiesAListWithAnEmptyValue) {
  Parse({"--betas="});
  EXPECT_TRUE(absl::GetFlag(FLAGS_betas).values.empty());
}

TEST_F(ParseTest, TakesQuotedTextWithDashesAndSpaces) {
  Parse({"--act", "-a b"});
  EXPECT_EQ(absl::GetFlag(FLAGS_act), "-a b");
  Parse({"--act=--T1=5 c"});
  EXPECT_EQ(absl::GetFlag(FLAGS_act), "--T1=5 c");
  Parse({"--act", ""});
  EXPECT_EQ(absl::GetFlag(FLAGS_act), "");
  Parse({"--act", "-"});
  EXPECT_EQ(absl::GetFlag(FLAGS_act), "-");
  Parse({"--act=a=b"});
  EXPECT_EQ(absl::GetFlag(FLAGS_act), "a=b");
}

TEST_F(ParseTest, TurnsSwitchesOnAndOff) {
  const std::vector<std::pair<Strings, bool>> cases = {
      {{"--save"}, true},           {{"--save=true"}, true},
      {{"--save", "true"}, true},   {{"--save=TRUE"}, true},
      {{"--save", "True"}, true},   {{"--save=1"}, true},
      {{"--save=yes"}, true},       {{"--save=false"}, false},
      {{"--save=0"}, false},        {{"--save", "false"}, false},
      {{"--save", "FALSE"}, false}, {{"--no-save"}, false},
      {{"--no_save"}, false},       {{"--nosave"}, false}};
  for (const auto& [args, expected] : cases) {
    absl::SetFlag(&FLAGS_save, !expected);
    Parse(args);
    EXPECT_EQ(absl::GetFlag(FLAGS_save), expected)
        << args[0] << (args.size() > 1 ? " " + args[1] : "");
  }
  Parse({"--no-shuffle", "--maybe"});
  EXPECT_FALSE(absl::GetFlag(FLAGS_shuffle));
  EXPECT_EQ(absl::GetFlag(FLAGS_maybe), true);
}

TEST_F(ParseTest, LetsTheLastOccurrenceWin) {
  Parse({"--T1", "5", "--betas", "1", "2", "--save", "--T1=6", "--betas", "3",
         "--no-save"});
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), 6);
  EXPECT_EQ(absl::GetFlag(FLAGS_betas).values, Doubles{3});
  EXPECT_FALSE(absl::GetFlag(FLAGS_save));
}

TEST_F(ParseTest, TakesPrefixes) {
  Parse({"--mil", "1", "--mm=0.9"});
  EXPECT_EQ(absl::GetFlag(FLAGS_milestones).values, Ints{1});
  EXPECT_EQ(absl::GetFlag(FLAGS_mmt), 0.9);
}

TEST_F(ParseTest, StopsAtHelp) {
  EXPECT_TRUE(Parse({"--T1=3", "--help", "--wrong"}).help_requested);
  EXPECT_TRUE(Parse({"-h"}).help_requested);
  EXPECT_EQ(Error({"--help=all"}), "--help=all: --help takes no value");
}

TEST_F(ParseTest, NamesFlagValueAndExpectation) {
  EXPECT_EQ(Error({"--T1", "abc"}), "--T1=abc: expected a whole number");
  EXPECT_EQ(Error({"--T1=5.5"}), "--T1=5.5: expected a whole number");
  EXPECT_EQ(Error({"--T1="}), "--T1=: expected a whole number");
  EXPECT_EQ(Error({"--mmt=x"}), "--mmt=x: expected a number");
  EXPECT_EQ(Error({"--scale=x"}), "--scale=x: expected a number");
  EXPECT_EQ(Error({"--save=maybe"}), "--save=maybe: expected true or false");
  EXPECT_EQ(Error({"--milestones", "200", "25O"}),
            "--milestones=200 25O: \"25O\" is not a whole number");
  EXPECT_EQ(Error({"--betas=0,x"}), "--betas=0,x: \"x\" is not a number");
  EXPECT_EQ(Error({"--no-save=1"}), "--no-save=1: --no-save takes no value");
}

TEST_F(ParseTest, TellsTheRangeOfWholeNumbers) {
  EXPECT_EQ(Error({"--small=99999999999"}),
            "--small=99999999999: expected a whole number from -2147483648 to "
            "2147483647");
  EXPECT_EQ(Error({"--seed=-1"}),
            "--seed=-1: expected a whole number from 0 to "
            "18446744073709551615");
}

TEST_F(ParseTest, NamesWhatIsMissing) {
  EXPECT_EQ(Error({"--T1"}), "--T1: expected a whole number after it");
  EXPECT_EQ(Error({"--T1", "--save"}),
            "--T1: expected a whole number after it, not --save");
  EXPECT_EQ(Error({"--betas", "--save"}),
            "--betas: expected numbers after it, not --save");
  EXPECT_EQ(Error({"--act", "--"}), "--act: expected text after it, not --");
  EXPECT_EQ(Error({"--flagfile"}), "--flagfile: expected a flag file after it");
}

TEST_F(ParseTest, RefusesUnknownFlags) {
  EXPECT_EQ(Error({"--mnt=0.9"}),
            "--mnt: unknown flag; the nearest is --mmt (see --help)");
  EXPECT_EQ(Error({"--hidden=1"}).rfind("--hidden: unknown flag", 0), 0);
  EXPECT_EQ(Error({"--scal\x01=1"}),
            "--scal\\x01: unknown flag; the nearest is --scale (see --help)");
}

TEST_F(ParseTest, RefusesStrayArguments) {
  EXPECT_EQ(Error({"--T1", "20", "30"}),
            "unexpected argument \"30\" after --T1: expected flags only (see "
            "--help)");
  EXPECT_EQ(Error({"train"}),
            "unexpected argument \"train\": expected flags only (see --help)");
  EXPECT_EQ(Error({"--", "--T1"}),
            "unexpected argument \"--T1\": expected flags only (see --help)");
}

TEST_F(ParseTest, CollectsPositionals) {
  program_.positionals = 2;
  program_.positional_usage = "DATA LOGDIR";
  EXPECT_EQ(Parse({"--save", "data", "--T1", "3", "logs"}).positionals,
            (Strings{"data", "logs"}));
  EXPECT_EQ(Parse({"--milestones", "3", "--", "-x", "--T1"}).positionals,
            (Strings{"-x", "--T1"}));
  EXPECT_EQ(Error({"a", "b", "c"}),
            "unexpected argument \"c\": expected DATA LOGDIR (see --help)");
}

TEST_F(ParseTest, LeavesAFlagAloneWhoseValueIsWrong) {
  Error({"--T1=5", "--T1=abc"});
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), 5);
}

TEST_F(ParseTest, SetsAFlagFromText) {
  EXPECT_EQ(SetFlagFromText("T1", "7"), absl::OkStatus());
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), 7);
  EXPECT_EQ(SetFlagFromText("T1", "x").message(),
            "--T1=x: expected a whole number");
  EXPECT_EQ(SetFlagFromText("T3", "1").message(),
            "--T3=1: there is no such flag");
  EXPECT_EQ(ExitCode(SetFlagFromText("T3", "1")), 2);
}

TEST_F(ParseTest, ListsValuesThatReadBack) {
  Parse({"--betas", "0", "0.1", "--names", "a", "b", "--mmt=0.1"});
  const auto values = FlagValues(program_);
  EXPECT_EQ(values.size(), 12);
  EXPECT_EQ(values[0], std::make_pair(std::string("T1"), std::string("20")));
  EXPECT_EQ(values[6],
            std::make_pair(std::string("betas"), std::string("0,0.1")));
  Parse({"--betas=", "--names=", "--mmt=7", "--scale=3", "--T1=1"});
  for (const auto& [name, value] : values) {
    EXPECT_EQ(SetFlagFromText(name, value), absl::OkStatus()) << name;
  }
  EXPECT_EQ(FlagValues(program_), values);
  EXPECT_EQ(absl::GetFlag(FLAGS_scale), std::nullopt);
}

}  // namespace
}  // namespace altprop::cli
