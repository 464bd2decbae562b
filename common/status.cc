#include "common/status.h"

#include <csignal>
#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace altprop {
namespace {

constexpr absl::string_view kExitCode = "altprop/exit_code";
constexpr int kUsage = 2;
constexpr size_t kValueLimit = 80;

absl::Status WithExitCode(absl::Status status, int exit_code) {
  status.SetPayload(kExitCode, absl::Cord(absl::StrCat(exit_code)));
  return status;
}

std::string SignalName(int signal) {
  if (signal == SIGINT) return "SIGINT";
  if (signal == SIGTERM) return "SIGTERM";
  return absl::StrCat("signal ", signal);
}

std::string Escaped(char c) {
  if (c == '\n') return "\\n";
  if (c == '\t') return "\\t";
  if (c == '\r') return "\\r";
  return absl::StrFormat("\\x%02x", static_cast<unsigned char>(c));
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

// Where to cut `text` so that at most `limit` bytes and no part of a UTF-8
// character stay.
size_t CutAt(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text.size();
  size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) {
    --end;
  }
  return end;
}

}  // namespace

absl::Status UsageError(absl::string_view message) {
  return WithExitCode(absl::InvalidArgumentError(message), kUsage);
}

absl::Status FlagError(absl::string_view flag, absl::string_view value,
                       absl::string_view problem) {
  return UsageError(absl::StrCat("--", flag, "=", Printable(value, kValueLimit),
                                 ": ", problem));
}

absl::Status InterruptedError(int signal, absl::string_view detail) {
  return WithExitCode(
      absl::CancelledError(absl::StrCat("interrupted by ", SignalName(signal),
                                        detail.empty() ? "" : ": ", detail)),
      128 + signal);
}

int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  const auto payload = status.GetPayload(kExitCode);
  int exit_code = 0;
  if (payload.has_value() &&
      absl::SimpleAtoi(std::string{*payload}, &exit_code)) {
    return exit_code;
  }
  return 1;
}

absl::Status Annotate(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(),
                         absl::StrCat(prefix, ": ", status.message()));
  status.ForEachPayload(
      [&annotated](absl::string_view url, const absl::Cord& payload) {
        annotated.SetPayload(url, payload);
      });
  return annotated;
}

std::string Printable(absl::string_view text, size_t limit) {
  const size_t end = CutAt(text, limit);
  std::string line;
  for (const char c : text.substr(0, end)) {
    if (IsControl(c)) {
      line += Escaped(c);
    } else {
      line += c;
    }
  }
  if (end < text.size()) line += "...";
  return line;
}

}  // namespace altprop
