#include "common/cli/parse.h"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "common/cli/flag_kind.h"
#include "common/cli/flagfile.h"
#include "common/cli/path.h"
#include "common/cli/program.h"
#include "common/status.h"

namespace altprop::cli {
namespace {

constexpr absl::string_view kSeparator = "--";
constexpr int kDeepest = 8;     // flag files in flag files
constexpr size_t kShown = 80;   // bytes of an argument in a message
constexpr size_t kPath = 4096;  // bytes of a path: the end names the file

// As argparse decides it: a dash starts a flag, unless it is alone, starts a
// number, or a space stands before any "=" (then it is quoted text).
bool IsFlag(absl::string_view token) {
  if (token.size() < 2 || token[0] != '-' || token == kSeparator) return false;
  if (absl::ascii_isdigit(token[1]) || token[1] == '.') return false;
  const absl::string_view name = token.substr(0, token.find('='));
  double ignored = 0;  // -inf, -nan
  return name.find_first_of(" \t\n") == absl::string_view::npos &&
         !absl::SimpleAtod(name, &ignored);
}

// "a/b" -> "a/"; "./" for a file of the current directory.
std::string Folder(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return "./";
  return std::string(path.substr(0, slash + 1));
}

absl::Status SetFlag(absl::CommandLineFlag& flag, absl::string_view text) {
  std::string error;
  if (flag.ParseFrom(text, &error)) return absl::OkStatus();
  return FlagError(flag.Name(), text, Expectation(flag, text, error));
}

// "--name=value" or "--name".
struct Written {
  absl::string_view name;  // with its dashes
  std::optional<std::string> value;
};

Written Split(absl::string_view token) {
  const size_t equals = token.find('=');
  if (equals == absl::string_view::npos) return {token, std::nullopt};
  return {token.substr(0, equals), std::string(token.substr(equals + 1))};
}

bool IsBracketed(absl::string_view list) {
  return absl::StartsWith(list, "[") && absl::EndsWith(list, "]");
}

// The arguments of a command line, and how far they have been read.
class Arguments {
 public:
  explicit Arguments(const std::vector<std::string>& tokens)
      : tokens_(tokens) {}

  bool Empty() const { return next_ == tokens_.size(); }
  const std::string& Take() { return tokens_[next_++]; }
  bool AtValue() const {
    return !Empty() && !IsFlag(tokens_[next_]) && tokens_[next_] != kSeparator;
  }

  // What a switch without "=" is set to: a "true" or "false" that follows.
  std::string TakeSwitch() {
    const bool literal =
        AtValue() && (absl::EqualsIgnoreCase(tokens_[next_], "true") ||
                      absl::EqualsIgnoreCase(tokens_[next_], "false"));
    return literal ? Take() : "true";
  }

  absl::StatusOr<std::string> TakeOne(absl::string_view flag,
                                      absl::string_view expected) {
    if (AtValue()) return Take();
    return UsageError(absl::StrCat(
        flag, ": expected ", expected, " after it",
        Empty() ? ""
                : absl::StrCat(", not ", Printable(tokens_[next_], kShown))));
  }

  absl::StatusOr<std::string> TakeAll(absl::string_view flag,
                                      const FlagKind& kind) {
    ALTPROP_ASSIGN_OR_RETURN(std::string text, TakeOne(flag, kind.expected));
    // What follows a closing bracket is no part of the list.
    while (AtValue() && !IsBracketed(text)) {
      absl::StrAppend(&text, kind.separator, Take());
    }
    return text;
  }

 private:
  const std::vector<std::string>& tokens_;
  size_t next_ = 0;
};

class Parser {
 public:
  Parser(const Program& program, ParsedArguments* parsed)
      : program_(program), parsed_(*parsed) {}

  absl::Status ParseAll(Arguments arguments) {
    bool flags_may_follow = true;
    while (!arguments.Empty() && !parsed_.help_requested) {
      const std::string& token = arguments.Take();
      if (flags_may_follow && token == kSeparator) {
        flags_may_follow = false;
      } else if (flags_may_follow && IsFlag(token)) {
        ALTPROP_RETURN_IF_ERROR(ParseFlag(token, arguments, /*folder=*/""));
      } else {
        ALTPROP_RETURN_IF_ERROR(AddPositional(token));
      }
    }
    return absl::OkStatus();
  }

 private:
  // `rest` follows the flag. `folder` is that of the flag file it stands in, ""
  // for the command line.
  absl::Status ParseFlag(absl::string_view token, Arguments& rest,
                         absl::string_view folder) {
    const Written written = Split(token);
    ALTPROP_ASSIGN_OR_RETURN(const FlagMatch match,
                             FindFlag(written.name, program_));
    if (written.value.has_value() && (match.negated || match.flag == kHelp)) {
      return UsageError(absl::StrCat(Printable(token, kShown), ": ",
                                     written.name, " takes no value"));
    }
    last_flag_ = Printable(token, kShown);
    if (match.flag == kHelp) {
      parsed_.help_requested = true;
      return absl::OkStatus();
    }
    if (match.flag == kFlagfile) return ParseFlagfile(written, rest, folder);
    return Assign(match, written, rest);
  }

  absl::Status Assign(const FlagMatch& match, const Written& written,
                      Arguments& rest) {
    absl::CommandLineFlag* flag = absl::FindCommandLineFlag(match.flag);
    if (flag == nullptr) {
      return absl::InternalError(
          absl::StrCat("--", match.flag, ": listed, but not linked in"));
    }
    ALTPROP_ASSIGN_OR_RETURN(const std::string text,
                             Value(match, written, KindOf(*flag), rest));
    ALTPROP_RETURN_IF_ERROR(SetFlag(*flag, text));
    parsed_.given.insert(match.flag);
    return absl::OkStatus();
  }

  static absl::StatusOr<std::string> Value(const FlagMatch& match,
                                           const Written& written,
                                           const FlagKind& kind,
                                           Arguments& rest) {
    if (match.negated) return "false";
    if (written.value.has_value()) return *written.value;
    if (kind.IsSwitch()) return rest.TakeSwitch();
    if (kind.IsList()) return rest.TakeAll(written.name, kind);
    return rest.TakeOne(written.name, kind.expected);
  }

  absl::Status ParseFlagfile(const Written& written, Arguments& rest,
                             absl::string_view folder) {
    std::string file = written.value.value_or("");
    if (!written.value.has_value()) {
      ALTPROP_ASSIGN_OR_RETURN(file, rest.TakeOne(written.name, "a flag file"));
    }
    if (depth_ == kDeepest) {
      return FlagError(kFlagfile, file,
                       absl::StrCat("flag files more than ", kDeepest,
                                    " deep; does one include itself?"));
    }
    const bool from_folder = !folder.empty() && !absl::StartsWith(file, "/");
    const std::string path =
        from_folder ? absl::StrCat(folder, file) : ResolvePath(file);
    ALTPROP_ASSIGN_OR_RETURN(const std::vector<FlagfileLine> lines,
                             ReadFlagfile(path));
    parsed_.flagfiles.push_back(path);
    ++depth_;
    ALTPROP_RETURN_IF_ERROR(ParseLines(lines, path));
    --depth_;
    return absl::OkStatus();
  }

  absl::Status ParseLines(const std::vector<FlagfileLine>& lines,
                          const std::string& path) {
    const std::vector<std::string> nothing;
    const std::string folder = Folder(path);
    for (const FlagfileLine& line : lines) {
      Arguments rest(nothing);
      ALTPROP_RETURN_IF_ERROR(
          Annotate(ParseFlag(line.argument, rest, folder),
                   absl::StrCat(Printable(path, kPath), ":", line.number)));
    }
    return absl::OkStatus();
  }

  absl::Status AddPositional(const std::string& token) {
    const auto most = static_cast<size_t>(program_.positionals);
    if (parsed_.positionals.size() < most) {
      parsed_.positionals.push_back(token);
      return absl::OkStatus();
    }
    return UsageError(absl::StrCat(
        "unexpected argument \"", Printable(token, kShown), "\"",
        last_flag_.empty() ? "" : " after ", last_flag_, ": expected ",
        most == 0 ? "flags only" : program_.positional_usage, " (see --help)"));
  }

  const Program& program_;
  ParsedArguments& parsed_;
  int depth_ = 0;          // flag files being read
  std::string last_flag_;  // for messages
};

std::string Underscored(absl::string_view name) {
  return absl::StrReplaceAll(name, {{"-", "_"}});
}

}  // namespace

bool ParsedArguments::Given(absl::string_view flag) const {
  return given.count(Underscored(flag)) > 0;
}

absl::StatusOr<ParsedArguments> ParseCommandLine(
    const std::vector<std::string>& args, const Program& program) {
  ParsedArguments parsed;
  ALTPROP_RETURN_IF_ERROR(Parser(program, &parsed).ParseAll(Arguments(args)));
  return parsed;
}

absl::Status SetFlagFromText(absl::string_view name, absl::string_view text) {
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(Underscored(name));
  if (flag == nullptr) {
    return FlagError(Printable(name, kShown), text, "there is no such flag");
  }
  return SetFlag(*flag, text);
}

std::vector<std::pair<std::string, std::string>> FlagValues(
    const Program& program) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const std::string& name : FlagNames(program)) {
    if (const auto* flag = absl::FindCommandLineFlag(name)) {
      values.emplace_back(name, flag->CurrentValue());
    }
  }
  return values;
}

}  // namespace altprop::cli
