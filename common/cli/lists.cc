#include "common/cli/lists.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace altprop::cli {
namespace {

// Takes one `open` and one `close` off the two ends, if both are there.
bool Unwrap(absl::string_view& text, char open, char close) {
  if (text.size() < 2 || text.front() != open || text.back() != close) {
    return false;
  }
  text = absl::StripAsciiWhitespace(text.substr(1, text.size() - 2));
  return true;
}

// The elements of a list as written. Two commas in a row leave an empty
// element, which is no number.
std::vector<absl::string_view> Elements(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (!Unwrap(text, '"', '"')) Unwrap(text, '\'', '\'');
  if (!Unwrap(text, '[', ']')) Unwrap(text, '(', ')');
  if (text.size() > 1) absl::ConsumeSuffix(&text, ",");  // Python's (1,)
  std::vector<absl::string_view> elements;
  if (text.empty()) return elements;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const auto words = std::vector<absl::string_view>(
        absl::StrSplit(part, absl::ByAnyChar(" \t\n\r"), absl::SkipEmpty()));
    if (words.empty()) elements.emplace_back();
    elements.insert(elements.end(), words.begin(), words.end());
  }
  return elements;
}

template <typename T>
bool ParseList(absl::string_view text, bool (*parse)(absl::string_view, T*),
               absl::string_view expected, std::vector<T>* values,
               std::string* error) {
  std::vector<T> parsed;
  for (const absl::string_view element : Elements(text)) {
    if (!parse(element, &parsed.emplace_back())) {
      *error = absl::StrCat("\"", element, "\" is not ", expected);
      return false;
    }
  }
  *values = parsed;
  return true;
}

bool ParseInt(absl::string_view text, int64_t* value) {
  return absl::SimpleAtoi(text, value);
}

bool ParseDouble(absl::string_view text, double* value) {
  return absl::SimpleAtod(text, value);
}

void AppendShortest(std::string* out, double value) {
  std::string text;
  for (int digits = 15; digits <= 17; ++digits) {
    text = absl::StrFormat("%.*g", digits, value);
    double again = 0;
    if (ParseDouble(text, &again) && again == value) break;
  }
  out->append(text);
}

}  // namespace

bool AbslParseFlag(absl::string_view text, IntList* list, std::string* error) {
  return ParseList(text, ParseInt, "a whole number", &list->values, error);
}

bool AbslParseFlag(absl::string_view text, FloatList* list,
                   std::string* error) {
  return ParseList(text, ParseDouble, "a number", &list->values, error);
}

std::string AbslUnparseFlag(const IntList& list) {
  return absl::StrJoin(list.values, ",");
}

std::string AbslUnparseFlag(const FloatList& list) {
  return absl::StrJoin(list.values, ",", AppendShortest);
}

}  // namespace altprop::cli
