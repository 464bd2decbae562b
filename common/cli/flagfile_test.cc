#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/cli/lists.h"
#include "common/cli/parse.h"
#include "common/status.h"

ABSL_FLAG(int64_t, T1, 20, "");
ABSL_FLAG(int64_t, T2, 4, "");
ABSL_FLAG(altprop::cli::FloatList, lrs, {}, "");
ABSL_FLAG(std::string, name, "", "");
ABSL_FLAG(bool, save, false, "");

namespace altprop::cli {
namespace {

class FlagfileTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = absl::StrCat(testing::TempDir(), "flagfile_", test->name());
    mkdir(folder_.c_str(), 0755);
    setenv("BUILD_WORKING_DIRECTORY", folder_.c_str(), 1);
  }

  void Write(const std::string& file, const std::string& text) {
    std::ofstream(folder_ + "/" + file, std::ios::binary) << text;
  }

  absl::StatusOr<ParsedArguments> Parse(const std::vector<std::string>& args) {
    return ParseCommandLine(args, program_);
  }

  std::string Error(const std::vector<std::string>& args) {
    const absl::Status status = Parse(args).status();
    EXPECT_EQ(ExitCode(status), 2) << status;
    std::string message(status.message());
    for (size_t at; (at = message.find(folder_ + "/")) != std::string::npos;) {
      message.erase(at, folder_.size() + 1);
    }
    return message;
  }

  const Program program_ = {
      .name = "//x:y",
      .summary = "",
      .groups = {{"A", {"T1", "T2", "lrs", "name", "save"}}}};
  std::string folder_;

 private:
  absl::FlagSaver saver_;
};

TEST_F(FlagfileTest, SetsFlags) {
  Write("x.flags",
        "# A comment, then a blank line.\n\n  --T1=250  \n--lr 0.25 0.15\r\n"
        "\t# indented\n--save\n--name = a = b # not a comment");
  const auto parsed = Parse({"--flagfile=x.flags"});
  ASSERT_EQ(parsed.status(), absl::OkStatus());
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), 250);
  EXPECT_EQ(absl::GetFlag(FLAGS_lrs).values, (std::vector<double>{0.25, 0.15}));
  EXPECT_TRUE(absl::GetFlag(FLAGS_save));
  EXPECT_EQ(absl::GetFlag(FLAGS_name), "= a = b # not a comment");
  EXPECT_TRUE(parsed->Given("T1"));
  EXPECT_EQ(parsed->flagfiles, std::vector<std::string>{folder_ + "/x.flags"});
}

TEST_F(FlagfileTest, IsOverriddenByWhatFollowsAndOverridesWhatPrecedes) {
  Write("x.flags", "--T1=1\n--T2=1\n");
  ASSERT_TRUE(Parse({"--T1=5", "--flagfile", "x.flags", "--T2=5"}).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), 1);
  EXPECT_EQ(absl::GetFlag(FLAGS_T2), 5);
}

TEST_F(FlagfileTest, TakesQuotesOff) {
  Write("x.flags", "--name=\"a\\tb \\\"c\\\"\"\n--lrs='[1, 2]'\n");
  ASSERT_TRUE(Parse({"--flagfile=x.flags"}).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_name), "a\tb \"c\"");
  EXPECT_EQ(absl::GetFlag(FLAGS_lrs).values, (std::vector<double>{1, 2}));
}

TEST_F(FlagfileTest, IsFoundBesideTheFlagFileThatNamesIt) {
  mkdir((folder_ + "/sub").c_str(), 0755);
  Write("sub/outer.flags", "--flagfile=inner.flags\n--T2=7\n");
  Write("sub/inner.flags", "--T1=9\n--T2=9\n");
  ASSERT_EQ(Parse({"--flagfile=sub/outer.flags"}).status(), absl::OkStatus());
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), 9);
  EXPECT_EQ(absl::GetFlag(FLAGS_T2), 7);
}

TEST_F(FlagfileTest, NamesFileAndLineOfAnError) {
  Write("x.flags", "# one\n--T1=abc\n");
  EXPECT_EQ(Error({"--flagfile=x.flags"}),
            "x.flags:2: --T1=abc: expected a whole number");
  Write("x.flags", "--T3=1\n");
  EXPECT_EQ(Error({"--flagfile=x.flags"}),
            "x.flags:1: --T3: unknown flag; the nearest is --T1 (see --help)");
  Write("x.flags", "T1=1\n");
  EXPECT_EQ(Error({"--flagfile=x.flags"}),
            "x.flags:1: \"T1=1\": expected --flag=value");
  Write("x.flags", "--T1\n--T2=3\n");
  EXPECT_EQ(Error({"--flagfile=x.flags"}),
            "x.flags:1: --T1: expected a whole number after it");
  Write("x.flags", "--name=\"a\\q\"\n");
  EXPECT_EQ(Error({"--flagfile=x.flags"}),
            "x.flags:1: \"a\\q\": not a text with C escapes in quotes");
  Write("y.flags", "--flagfile=x.flags\n");
  Write("x.flags", "--T1=x\n");
  EXPECT_EQ(Error({"--flagfile=y.flags"}),
            "y.flags:1: x.flags:1: --T1=x: expected a whole number");
}

TEST_F(FlagfileTest, SaysWhyAFileCannotBeRead) {
  EXPECT_EQ(Error({"--flagfile=none.flags"}),
            "--flagfile=none.flags: No such file or directory");
  EXPECT_EQ(Error({"--flagfile=" + folder_ + "/."}),
            "--flagfile=.: Is a directory");
  EXPECT_EQ(Error({"--flagfile="}), "--flagfile=: No such file or directory");
  Write("big.flags", std::string((1 << 20) + 1, '\n'));
  EXPECT_EQ(Error({"--flagfile=big.flags"}),
            "--flagfile=big.flags: larger than 1 MiB, not a flag file");
}

TEST_F(FlagfileTest, RefusesToIncludeItselfForEver) {
  Write("x.flags", "--flagfile=x.flags\n");
  const std::string error = Error({"--flagfile=x.flags"});
  EXPECT_NE(error.find("flag files more than 8 deep"), std::string::npos)
      << error;
}

TEST_F(FlagfileTest, GivesBackWhatFlagfileTextWrote) {
  for (const char* value :
       {"", "plain", "two words", " spaces ", "tab\tnewline\nend", "\"quoted\"",
        "'single'", "a \\ b", "# hash", "\u03b2=0.5", "\x01\x7f", "\"half",
        "=x", "-x"}) {
    Write("x.flags", FlagfileText({{"T1", "3"}, {"name", value}}));
    absl::SetFlag(&FLAGS_name, "before");
    ASSERT_EQ(Parse({"--flagfile=x.flags"}).status(), absl::OkStatus())
        << value;
    EXPECT_EQ(absl::GetFlag(FLAGS_name), value);
  }
  EXPECT_EQ(FlagfileText({{"T1", "3"}, {"name", "a b"}}),
            "--T1=3\n--name=a b\n");
}

}  // namespace
}  // namespace altprop::cli
