#include "common/cli/flagfile.h"

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/cli/parse.h"
#include "common/status.h"

namespace altprop::cli {
namespace {

constexpr size_t kLargest = 1 << 20;  // bytes; a larger file is no flag file

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

absl::Status FileError(absl::string_view path, absl::string_view problem) {
  return UsageError(
      absl::StrCat("--flagfile=", Printable(path, 4096), ": ", problem));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<std::FILE, Closer> file(std::fopen(path.c_str(), "rb"));
  // NOLINTBEGIN(concurrency-mt-unsafe)
  if (file == nullptr) return FileError(path, std::strerror(errno));
  std::string contents(kLargest + 1, '\0');
  contents.resize(std::fread(contents.data(), 1, contents.size(), file.get()));
  if (std::ferror(file.get()) != 0) {
    return FileError(path, std::strerror(errno));
  }
  // NOLINTEND(concurrency-mt-unsafe)
  if (contents.size() > kLargest) {
    return FileError(path, "larger than 1 MiB, not a flag file");
  }
  return contents;
}

bool QuotedBy(absl::string_view value, char quote) {
  return value.size() >= 2 && value.front() == quote && value.back() == quote;
}

absl::StatusOr<std::string> Unquoted(absl::string_view value) {
  if (QuotedBy(value, '\'')) {
    return std::string(value.substr(1, value.size() - 2));
  }
  if (!QuotedBy(value, '"')) return std::string(value);
  std::string unescaped;
  if (!absl::CUnescape(value.substr(1, value.size() - 2), &unescaped)) {
    return UsageError(absl::StrCat(Printable(value),
                                   ": not a text with C escapes in quotes"));
  }
  return unescaped;
}

// "--name=value", "--name value" or "--name" -> an argument.
absl::StatusOr<std::string> ToArgument(absl::string_view line) {
  if (!absl::StartsWith(line, "-")) {
    return UsageError(
        absl::StrCat("\"", Printable(line, 80), "\": expected --flag=value"));
  }
  const size_t end = line.find_first_of("= \t");
  if (end == absl::string_view::npos) return std::string(line);
  const absl::string_view value =
      line[end] == '=' ? line.substr(end + 1)
                       : absl::StripLeadingAsciiWhitespace(line.substr(end));
  ALTPROP_ASSIGN_OR_RETURN(const std::string unquoted, Unquoted(value));
  return absl::StrCat(line.substr(0, end), "=", unquoted);
}

// Whether a flag file would give back `value` if it stood there bare.
bool ReadsBack(absl::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) return false;
  }
  const absl::string_view stripped = absl::StripAsciiWhitespace(value);
  return stripped == value && value[0] != '"' && value[0] != '\'';
}

}  // namespace

absl::StatusOr<std::vector<FlagfileLine>> ReadFlagfile(
    const std::string& path) {
  ALTPROP_ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
  std::vector<FlagfileLine> lines;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(contents, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    absl::StatusOr<std::string> argument = ToArgument(line);
    if (!argument.ok()) {
      return Annotate(argument.status(),
                      absl::StrCat(Printable(path, 4096), ":", number));
    }
    lines.push_back({number, *std::move(argument)});
  }
  return lines;
}

std::string FlagfileText(
    const std::vector<std::pair<std::string, std::string>>& values) {
  std::string text;
  for (const auto& [flag, value] : values) {
    absl::StrAppend(&text, "--", flag, "=");
    if (ReadsBack(value)) {
      absl::StrAppend(&text, value, "\n");
    } else {
      absl::StrAppend(&text, "\"", absl::Utf8SafeCEscape(value), "\"\n");
    }
  }
  return text;
}

}  // namespace altprop::cli
