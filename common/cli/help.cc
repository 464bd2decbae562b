#include "common/cli/help.h"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/cli/flag_kind.h"
#include "common/cli/program.h"

namespace altprop::cli {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kColumn = 26;  // where explanations start

constexpr absl::string_view kNotes =
    "Dashes and underscores are the same, an unambiguous beginning of a name "
    "is "
    "enough, and the last of two settings wins. --no_NAME turns a switch off. "
    "Lists are written as 1 2 or 1,2 or [1,2].";

// Appends `text` in lines of up to kWidth columns. The first goes on where
// `out` ends, `indent` columns in; the others are indented.
void AppendWrapped(absl::string_view text, size_t indent, std::string* out) {
  size_t column = indent;
  bool first = true;
  for (const absl::string_view word :
       absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!first && column + 1 + word.size() > kWidth) {
      absl::StrAppend(out, "\n", std::string(indent, ' '));
      column = indent;
      first = true;
    }
    absl::StrAppend(out, first ? "" : " ", word);
    column += word.size() + (first ? 0 : 1);
    first = false;
  }
  out->push_back('\n');
}

// "  --T1 N" and its explanation beside or below it.
void AppendEntry(absl::string_view name, absl::string_view explanation,
                 std::string* out) {
  const std::string left = absl::StrCat("  ", name);
  const bool beside = left.size() + 2 <= kColumn;
  absl::StrAppend(out, left, beside ? "" : "\n",
                  std::string(kColumn - (beside ? left.size() : 0), ' '));
  AppendWrapped(explanation, kColumn, out);
}

// A help text that ends in "[unit]" -> the text and the unit.
std::pair<std::string, std::string> SplitUnit(const std::string& help) {
  const size_t open = help.rfind('[');
  if (open == std::string::npos || help.back() != ']') return {help, ""};
  const absl::string_view text = absl::StripTrailingAsciiWhitespace(
      absl::string_view{help}.substr(0, open));
  return {std::string(text), help.substr(open + 1, help.size() - open - 2)};
}

std::string Default(const absl::CommandLineFlag& flag, absl::string_view unit) {
  const std::string value = flag.DefaultValue();
  if (value.empty()) {
    return unit.empty() ? "none" : absl::StrCat("none, in ", unit);
  }
  if (KindOf(flag).IsSwitch()) return value == "true" ? "on" : "off";
  return absl::StrCat(value, unit.empty() ? "" : " ", unit);
}

std::string Aliases(absl::string_view flag, const Program& program) {
  std::string text;
  for (const auto& [alias, target] : program.aliases) {
    if (target != flag) continue;
    absl::StrAppend(&text, "; also ", alias.size() == 1 ? "-" : "--", alias);
  }
  return text;
}

void AppendFlag(const absl::CommandLineFlag& flag, const Program& program,
                std::string* out) {
  const FlagKind kind = KindOf(flag);
  const bool on = kind.IsSwitch() && flag.DefaultValue() == "true";
  const auto [help, unit] = SplitUnit(flag.Help());
  AppendEntry(absl::StrCat(on ? "--[no_]" : "--", flag.Name(),
                           kind.IsSwitch() ? "" : " ", kind.placeholder),
              absl::StrCat(help, " (default: ", Default(flag, unit),
                           Aliases(flag.Name(), program), ")"),
              out);
}

}  // namespace

std::string HelpText(const Program& program) {
  std::string out;
  AppendWrapped(absl::StrCat(program.name, ": ", program.summary), 0, &out);
  absl::StrAppend(&out, "\nUsage: tools/bazel run ", program.name,
                  " -- [FLAGS]", program.positional_usage.empty() ? "" : " ",
                  program.positional_usage, "\n");
  for (const FlagGroup& group : program.groups) {
    absl::StrAppend(&out, "\n", group.title, ":\n");
    for (const std::string& name : group.flags) {
      if (const auto* flag = absl::FindCommandLineFlag(name)) {
        AppendFlag(*flag, program, &out);
      }
    }
  }
  absl::StrAppend(&out, "\nHelp:\n");
  AppendEntry("--flagfile FILE",
              "read flags from FILE, one --NAME=VALUE a line; flags after it "
              "override them",
              &out);
  AppendEntry("--help", "show this and exit", &out);
  out.push_back('\n');
  AppendWrapped(kNotes, 0, &out);
  return out;
}

}  // namespace altprop::cli
