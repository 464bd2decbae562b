#ifndef COMMON_TRAINING_REPORT_FORMAT_H_
#define COMMON_TRAINING_REPORT_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace altprop::training {

// Numbers and text as report.html shows them.

// Round values (1, 2 or 5 times a power of ten apart) inside [low, high], about
// `count` of them.
std::vector<double> Ticks(double low, double high, int count);

// "96.83 %", or four significant digits; "n/a" for what is not finite.
std::string FormatValue(double value, bool percent);

// 1234567 -> "1,234,567".
std::string FormatCount(int64_t count);

// For element contents and attribute values.
std::string EscapeHtml(absl::string_view text);

// The label of a tick: "0.05", "2.5e-4", "12.5k", "1.5M", "95 %"; few
// characters, since a phone has few pixels.
std::string TickLabel(double value, bool percent);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_REPORT_FORMAT_H_
