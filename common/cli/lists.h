// Flag types for lists of numbers, the papers' `nargs='+'` arguments.
//
//   ABSL_FLAG(altprop::cli::FloatList, betas,
//             (altprop::cli::FloatList{{0.0, 0.01}}), "nudging strengths");
//
// A list is read from "1,2", "1 2", "[1, 2]" or "(1, 2)", in quotes or not; ""
// and "[]" are the empty list. It is written as "1,2", numbers with the fewest
// digits that read back as the same value. A list of strings is
// std::vector<std::string>, absl's own.

#ifndef COMMON_CLI_LISTS_H_
#define COMMON_CLI_LISTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace altprop::cli {

struct IntList {
  std::vector<int64_t> values;

  friend bool operator==(const IntList&, const IntList&) = default;
};

struct FloatList {
  std::vector<double> values;

  friend bool operator==(const FloatList&, const FloatList&) = default;
};

// For absl flags. `error` names the element that is not a number.
bool AbslParseFlag(absl::string_view text, IntList* list, std::string* error);
bool AbslParseFlag(absl::string_view text, FloatList* list, std::string* error);
std::string AbslUnparseFlag(const IntList& list);
std::string AbslUnparseFlag(const FloatList& list);

}  // namespace altprop::cli

#endif  // COMMON_CLI_LISTS_H_
