// What a user can get wrong travels as absl::Status up to main(), which prints
// one line and turns the status into an exit code. A message is one line that
// names the thing (flag or file), its value and what was expected:
//   --T1=-5: must be at least 1
//   t10k-labels-idx1-ubyte: 9999 labels for 10000 images, at byte 4
#ifndef COMMON_STATUS_H_
#define COMMON_STATUS_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop {

// A mistake on the command line: exit code 2. The code is kInvalidArgument; the
// exit code travels as a payload, so an ordinary InvalidArgument exits with 1.
absl::Status UsageError(absl::string_view message);

// The value of one flag is wrong: "--T1=-5: must be at least 1". Exit code 2.
// `problem` follows the colon; a long or unprintable value is cut and escaped.
absl::Status FlagError(absl::string_view flag, absl::string_view value,
                       absl::string_view problem);

// The run was stopped by SIGINT or SIGTERM: exit code 128 + signal. `detail`
// (may be empty) says what was kept: "interrupted by SIGINT: <detail>".
absl::Status InterruptedError(int signal, absl::string_view detail = "");

// 0 for OK, 2 for a usage error, 128 + signal for an interruption, else 1.
int ExitCode(const absl::Status& status);

// `prefix` + ": " + the message, with the same code and the same exit code. OK
// stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view prefix);

// `text` on one line for a person: control characters are escaped and what is
// longer than `limit` bytes is cut and marked with "...".
std::string Printable(absl::string_view text, size_t limit = 160);

}  // namespace altprop

// Returns from the enclosing function unless `expr` (an absl::Status) is OK.
#define ALTPROP_RETURN_IF_ERROR(expr)                                 \
  do {                                                                \
    if (absl::Status altprop_status = (expr); !altprop_status.ok()) { \
      return altprop_status;                                          \
    }                                                                 \
  } while (false)

// Assigns the value of `expr` (an absl::StatusOr) to `lhs`, which may declare a
// variable, or returns its status. More than one statement: braces are needed
// after an `if`.
#define ALTPROP_ASSIGN_OR_RETURN(lhs, expr) \
  ALTPROP_ASSIGN_OR_RETURN_IMPL_(           \
      ALTPROP_STATUS_CONCAT_(altprop_statusor_, __LINE__), lhs, expr)
// NOLINTBEGIN(bugprone-macro-parentheses)
#define ALTPROP_ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr) \
  auto statusor = (expr);                                   \
  if (!statusor.ok()) return std::move(statusor).status();  \
  lhs = *std::move(statusor)
// NOLINTEND(bugprone-macro-parentheses)
#define ALTPROP_STATUS_CONCAT_(a, b) ALTPROP_STATUS_CONCAT_IMPL_(a, b)
#define ALTPROP_STATUS_CONCAT_IMPL_(a, b) a##b

#endif  // COMMON_STATUS_H_
