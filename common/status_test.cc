#include "common/status.h"

#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace altprop {
namespace {

TEST(ExitCode, IsZeroForOkAndOneForAnyError) {
  EXPECT_EQ(ExitCode(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCode(absl::NotFoundError("x")), 1);
  EXPECT_EQ(ExitCode(absl::InvalidArgumentError("x")), 1);
  EXPECT_EQ(ExitCode(absl::CancelledError("x")), 1);
}

TEST(ExitCode, IsTwoForUsage) {
  EXPECT_EQ(ExitCode(UsageError("--T1: no")), 2);
  EXPECT_EQ(UsageError("--T1: no").message(), "--T1: no");
  EXPECT_EQ(ExitCode(FlagError("T1", "-5", "must be at least 1")), 2);
}

TEST(ExitCode, Is128PlusTheSignalAfterAnInterruption) {
  EXPECT_EQ(ExitCode(InterruptedError(SIGINT)), 130);
  EXPECT_EQ(ExitCode(InterruptedError(SIGTERM)), 143);
}

TEST(InterruptedError, NamesTheSignalAndWhatWasKept) {
  EXPECT_EQ(InterruptedError(SIGINT).message(), "interrupted by SIGINT");
  EXPECT_EQ(InterruptedError(SIGTERM, "at step 3").message(),
            "interrupted by SIGTERM: at step 3");
}

TEST(FlagError, NamesFlagValueAndProblem) {
  EXPECT_EQ(FlagError("T1", "-5", "must be at least 1").message(),
            "--T1=-5: must be at least 1");
}

TEST(FlagError, CutsALongValue) {
  EXPECT_EQ(FlagError("f", std::string(100, 'x'), "too long").message(),
            "--f=" + std::string(80, 'x') + "...: too long");
}

TEST(Annotate, KeepsCodeAndExitCode) {
  const absl::Status status = Annotate(UsageError("--T1: no"), "x.flags:3");
  EXPECT_EQ(status.message(), "x.flags:3: --T1: no");
  EXPECT_EQ(ExitCode(status), 2);
  EXPECT_EQ(Annotate(absl::NotFoundError("a"), "b").code(),
            absl::StatusCode::kNotFound);
}

TEST(Annotate, LeavesOkAlone) {
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
}

TEST(Printable, EscapesControlCharactersAndKeepsUtf8) {
  EXPECT_EQ(Printable("a\nb\tc\rd\x1b[0m\x7f"), "a\\nb\\tc\\rd\\x1b[0m\\x7f");
  EXPECT_EQ(Printable("\u03b2 = 0.5"), "\u03b2 = 0.5");
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(Printable("abc", 3), "abc");
  EXPECT_EQ(Printable("abcd", 3), "abc...");
  EXPECT_EQ(Printable("ab\u03b2", 3), "ab...");
}

absl::StatusOr<std::unique_ptr<int>> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return std::make_unique<int>(value / 2);
}

absl::Status Quarter(int value, int* quarter) {
  ALTPROP_ASSIGN_OR_RETURN(const std::unique_ptr<int> half, Half(value));
  std::unique_ptr<int> result;
  ALTPROP_ASSIGN_OR_RETURN(result, Half(*half));
  *quarter = *result;
  return absl::OkStatus();
}

TEST(AssignOrReturn, AssignsAValueThatOnlyMoves) {
  int quarter = 0;
  EXPECT_TRUE(Quarter(12, &quarter).ok());
  EXPECT_EQ(quarter, 3);
}

TEST(AssignOrReturn, ReturnsTheFirstError) {
  int quarter = 7;
  EXPECT_EQ(Quarter(6, &quarter).message(), "odd");
  EXPECT_EQ(quarter, 7);
}

absl::Status FailThenCount(const absl::Status& status, int* count) {
  ALTPROP_RETURN_IF_ERROR(status);
  ++*count;
  return absl::OkStatus();
}

TEST(ReturnIfError, ReturnsOnlyErrors) {
  int count = 0;
  EXPECT_TRUE(FailThenCount(absl::OkStatus(), &count).ok());
  EXPECT_EQ(count, 1);
  EXPECT_EQ(ExitCode(FailThenCount(UsageError("x"), &count)), 2);
  EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace altprop
