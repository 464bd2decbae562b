#include "common/cli/flag_kind.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/cli/lists.h"

namespace altprop::cli {
namespace {

// Whether the flag is of one of the types, or of an optional one.
template <typename... T>
bool IsAnyOf(const absl::CommandLineFlag& flag) {
  return ((flag.IsOfType<T>() || flag.IsOfType<std::optional<T>>()) || ...);
}

constexpr absl::string_view kInteger = "a whole number";

bool IsWholeNumber(absl::string_view text) {
  double value = 0;
  return absl::SimpleAtod(text, &value) && std::trunc(value) == value;
}

}  // namespace

FlagKind KindOf(const absl::CommandLineFlag& flag) {
  if (IsAnyOf<bool>(flag)) return {"", "true or false"};
  if (IsAnyOf<int32_t>(flag)) {
    return {"N", kInteger, "from -2147483648 to 2147483647"};
  }
  if (IsAnyOf<int64_t, long long>(flag)) {  // NOLINT(google-runtime-int)
    return {"N", kInteger, "from -9223372036854775808 to 9223372036854775807"};
  }
  if (IsAnyOf<uint32_t>(flag)) return {"N", kInteger, "from 0 to 4294967295"};
  // NOLINTNEXTLINE(google-runtime-int)
  if (IsAnyOf<uint64_t, unsigned long long>(flag)) {
    return {"N", kInteger, "from 0 to 18446744073709551615"};
  }
  if (IsAnyOf<float, double>(flag)) return {"X", "a number"};
  if (IsAnyOf<std::string>(flag)) return {"TEXT", "text"};
  if (IsAnyOf<IntList>(flag)) return {"N ...", "whole numbers", "", " "};
  if (IsAnyOf<FloatList>(flag)) return {"X ...", "numbers", "", " "};
  if (IsAnyOf<std::vector<std::string>>(flag)) {
    return {"TEXT ...", "texts", "", ","};
  }
  return {"VALUE", "a value"};
}

std::string Expectation(const absl::CommandLineFlag& flag,
                        absl::string_view text, absl::string_view error) {
  const FlagKind kind = KindOf(flag);
  // absl: "Illegal value '...' specified for flag '...'; <our parser's error>".
  const size_t own = error.rfind("'; ");
  if (own != absl::string_view::npos) return std::string(error.substr(own + 3));
  const bool out_of_range = !kind.range.empty() && IsWholeNumber(text);
  return absl::StrCat("expected ", kind.expected, out_of_range ? " " : "",
                      out_of_range ? kind.range : "");
}

}  // namespace altprop::cli
