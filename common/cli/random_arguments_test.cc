// Random arguments, from pieces that mean something to the parser and from
// noise. Whatever they are, parsing ends with flags that are set or with one
// line.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "common/cli/lists.h"
#include "common/cli/parse.h"
#include "common/status.h"

ABSL_FLAG(int64_t, T1, 20, "");
ABSL_FLAG(uint64_t, seed, 0, "");
ABSL_FLAG(std::optional<double>, scale, std::nullopt, "");
ABSL_FLAG(altprop::cli::FloatList, lrs, {}, "");
ABSL_FLAG(altprop::cli::IntList, archi, {}, "");
ABSL_FLAG(std::vector<std::string>, names, {}, "");
ABSL_FLAG(std::string, run_dir, "", "");
ABSL_FLAG(bool, save, false, "");
ABSL_FLAG(bool, no_val, false, "");

namespace altprop::cli {
namespace {

using Random = std::mt19937_64;

constexpr absl::string_view kPieces[] = {"--",
                                         "-",
                                         "--T1",
                                         "--lrs",
                                         "--ar",
                                         "--names",
                                         "--run-dir",
                                         "-s",
                                         "--sa",
                                         "--no-save",
                                         "--no",
                                         "--scal",
                                         "--seed",
                                         "--flagfile",
                                         "=",
                                         "true",
                                         "False",
                                         "0.5",
                                         "-0.5",
                                         "1e-4",
                                         "-",
                                         ",",
                                         "[42,57]",
                                         "[",
                                         "]",
                                         "\"",
                                         "'",
                                         " ",
                                         "\n",
                                         "\t",
                                         "#",
                                         "-inf",
                                         "nan",
                                         "",
                                         "99999999999999999999",
                                         "\xff",
                                         "\xc3",
                                         "\u03b2",
                                         "--no-no-val",
                                         "--h=",
                                         "%s%n",
                                         "\\"};

size_t Below(Random& random, size_t limit) { return random() % limit; }

std::string Noise(Random& random) {
  std::string text(Below(random, 12), '\0');
  for (char& c : text) c = static_cast<char>(1 + Below(random, 255));
  return text;
}

std::string Token(Random& random) {
  std::string token;
  do {
    if (Below(random, 8) == 0) {
      token += Noise(random);
    } else {
      absl::StrAppend(&token, kPieces[Below(random, std::size(kPieces))]);
    }
  } while (Below(random, 3) == 0);
  return token;
}

std::vector<std::string> Tokens(Random& random) {
  std::vector<std::string> tokens(Below(random, 7));
  for (std::string& token : tokens) token = Token(random);
  return tokens;
}

class RandomArguments : public testing::Test {
 protected:
  // What must hold for any arguments.
  void Check(const std::vector<std::string>& args) {
    const absl::FlagSaver saver;
    const absl::StatusOr<ParsedArguments> parsed =
        ParseCommandLine(args, program_);
    if (parsed.ok()) {
      ++accepted_;
      ExpectValuesReadBack();
      return;
    }
    EXPECT_EQ(ExitCode(parsed.status()), 2) << parsed.status();
    const absl::string_view message = parsed.status().message();
    EXPECT_FALSE(message.empty());
    EXPECT_EQ(message.find('\n'), absl::string_view::npos) << message;
  }

  void ExpectValuesReadBack() const {
    const auto values = FlagValues(program_);
    for (const auto& [name, value] : values) {
      EXPECT_EQ(SetFlagFromText(name, value), absl::OkStatus()) << value;
    }
    EXPECT_EQ(FlagValues(program_), values);
  }

  const Program program_ = {
      .name = "//x:y",
      .summary = "",
      .groups = {{"A",
                  {"T1", "seed", "scale", "lrs", "archi", "names", "run_dir",
                   "save", "no_val"}}},
      .aliases = {{"s", "save"}},
      .positionals = 1,
      .positional_usage = "FILE"};
  int accepted_ = 0;
};

TEST_F(RandomArguments, AreAcceptedOrRefusedInOneLine) {
  // For a longer search: --test_env=ALTPROP_RANDOM_ROUNDS=10000000.
  const char* rounds = std::getenv("ALTPROP_RANDOM_ROUNDS");
  Random random(20211);
  for (int64_t i = rounds == nullptr ? 20000 : std::atoll(rounds); i > 0; --i) {
    const std::vector<std::string> args = Tokens(random);
    Check(args);
    if (HasFailure()) FAIL() << absl::StrJoin(args, "\x1f");
  }
  EXPECT_GT(accepted_, 1000);
}

TEST_F(RandomArguments, AreBorneInFlagFiles) {
  const std::string file = absl::StrCat(testing::TempDir(), "/random.flags");
  Random random(20212);
  for (int i = 0; i < 1000; ++i) {
    const std::string text = absl::StrJoin(Tokens(random), "\n");
    std::ofstream(file, std::ios::binary) << text;
    Check({"--flagfile=" + file});
    if (HasFailure()) FAIL() << text;
  }
}

}  // namespace
}  // namespace altprop::cli
