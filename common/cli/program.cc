#include "common/cli/program.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/cli/flag_kind.h"
#include "common/status.h"

namespace altprop::cli {
namespace {

// What may be written after the dashes -> what it means.
using Names = std::vector<std::pair<std::string, FlagMatch>>;

std::string Underscored(absl::string_view name) {
  return absl::StrReplaceAll(name, {{"-", "_"}});
}

// Flags and aliases, in the order of the program, and --help.
Names PositiveNames(const Program& program) {
  Names names;
  for (const std::string& flag : FlagNames(program)) {
    names.push_back({flag, {flag}});
  }
  for (const auto& [alias, flag] : program.aliases) {
    names.push_back({Underscored(alias), {flag}});
  }
  names.push_back({std::string(kHelp), {std::string(kHelp)}});
  return names;
}

bool IsSwitch(absl::string_view flag) {
  const absl::CommandLineFlag* found = absl::FindCommandLineFlag(flag);
  return found != nullptr && KindOf(*found).IsSwitch();
}

// "no_save" (and "nosave", where `prefix` is "no") for every switch "save".
Names NegatedNames(const Names& names, absl::string_view prefix) {
  Names negated;
  for (const auto& [name, match] : names) {
    if (IsSwitch(match.flag)) {
      negated.push_back({absl::StrCat(prefix, name), {match.flag, true}});
    }
  }
  return negated;
}

std::optional<FlagMatch> FindExact(const Names& names, absl::string_view name) {
  for (const auto& [candidate, match] : names) {
    if (candidate == name) return match;
  }
  return std::nullopt;
}

std::string Joined(const std::vector<std::string>& candidates) {
  const auto last = candidates.end() - 1;
  return absl::StrCat(absl::StrJoin(candidates.begin(), last, ", "), " or ",
                      *last);
}

// The one flag whose names start with `name`; none; or an error if there are
// more.
absl::StatusOr<std::optional<FlagMatch>> FindPrefix(const Names& names,
                                                    absl::string_view name) {
  std::map<std::string, FlagMatch> found;  // by flag: an alias adds nothing
  std::vector<std::string> candidates;
  for (const auto& [candidate, match] : names) {
    if (!absl::StartsWith(candidate, name)) continue;
    found.insert({match.flag, match});
    candidates.push_back(absl::StrCat("--", candidate));
  }
  if (found.empty()) return std::nullopt;
  if (found.size() == 1) return found.begin()->second;
  return UsageError(
      absl::StrCat("--", name, ": ambiguous, could be ", Joined(candidates)));
}

// Edits that make one word from the other: insert, delete, replace, swap
// neighbours. A word that continues the other is as near as one edit.
size_t Distance(absl::string_view a, absl::string_view b) {
  if (absl::StartsWith(a, b) || absl::StartsWith(b, a)) return 1;
  std::vector<size_t> before, above(b.size() + 1), row(b.size() + 1);
  std::iota(above.begin(), above.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1,
                         above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = std::exchange(above, row);
  }
  return above[b.size()];
}

std::string Nearest(const Names& names, absl::string_view written) {
  constexpr size_t kLongest = 64;  // no flag is longer; bounds the work
  const std::string lower = absl::AsciiStrToLower(written.substr(0, kLongest));
  const auto distance = [&lower](const auto& name) {
    return Distance(lower, absl::AsciiStrToLower(name.first));
  };
  return std::min_element(names.begin(), names.end(),
                          [&](const auto& a, const auto& b) {
                            return distance(a) < distance(b);
                          })
      ->first;
}

}  // namespace

std::vector<std::string> FlagNames(const Program& program) {
  std::vector<std::string> names;
  for (const FlagGroup& group : program.groups) {
    names.insert(names.end(), group.flags.begin(), group.flags.end());
  }
  return names;
}

absl::StatusOr<FlagMatch> FindFlag(absl::string_view written,
                                   const Program& program) {
  absl::string_view dashless = written;
  const bool is_long = absl::ConsumePrefix(&dashless, "--");
  if (!is_long) absl::ConsumePrefix(&dashless, "-");
  const std::string name = Underscored(dashless);
  if (written == "-h") return FlagMatch{std::string(kHelp)};

  Names names = PositiveNames(program);
  const Names negated = NegatedNames(names, "no_");
  // argparse has no --flagfile: it must make no prefix ambiguous.
  const Names ours = {{std::string(kFlagfile), {std::string(kFlagfile)}}};
  for (const Names& exact : {names, ours, negated, NegatedNames(names, "no")}) {
    if (const auto match = FindExact(exact, name)) return *match;
  }
  if (is_long && !name.empty()) {
    for (const Names& prefixed : {names, ours, negated}) {
      ALTPROP_ASSIGN_OR_RETURN(const std::optional<FlagMatch> match,
                               FindPrefix(prefixed, name));
      if (match.has_value()) return *match;
    }
  }
  names.insert(names.end(), ours.begin(), ours.end());
  names.insert(names.end(), negated.begin(), negated.end());
  return UsageError(absl::StrCat(Printable(written, 80),
                                 ": unknown flag; the nearest is --",
                                 Nearest(names, name), " (see --help)"));
}

absl::Status CheckProgram(const Program& program) {
  std::set<std::string> seen = {std::string(kHelp), std::string(kFlagfile)};
  for (const std::string& flag : FlagNames(program)) {
    if (absl::FindCommandLineFlag(flag) == nullptr) {
      return absl::InternalError(
          absl::StrCat("--", flag, ": listed, but not linked in"));
    }
    if (!seen.insert(flag).second) {
      return absl::InternalError(absl::StrCat("--", flag, ": listed twice"));
    }
  }
  const std::set<std::string> flags = seen;
  for (const auto& [alias, flag] : program.aliases) {
    if (flags.count(flag) == 0) {
      return absl::InternalError(
          absl::StrCat("--", alias, ": alias of the unlisted --", flag));
    }
    if (!seen.insert(Underscored(alias)).second) {
      return absl::InternalError(
          absl::StrCat("--", alias, ": an alias, but already a name"));
    }
  }
  return absl::OkStatus();
}

}  // namespace altprop::cli
