#include "common/training/report_format.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/logging.h"

namespace altprop::training {

std::vector<double> Ticks(double low, double high, int count) {
  CHECK_LT(low, high);
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double ratio = rough / power;
  const double step = power * (ratio < 1.5   ? 1
                               : ratio < 3.5 ? 2
                               : ratio < 7.5 ? 5
                                             : 10);
  std::vector<double> ticks;
  const double slack = 1e-9 * (high - low);
  const double first = std::ceil((low - slack) / step);
  for (int i = 0; i <= 4 * count; ++i) {  // ends where doubles are too coarse
    const double tick = (first + i) * step;
    if (!(tick <= high + slack)) break;
    ticks.push_back(tick == 0 ? 0 : tick);  // no -0
  }
  return ticks;
}

std::string FormatValue(double value, bool percent) {
  if (!std::isfinite(value)) return "n/a";
  if (percent) return absl::StrFormat("%.2f %%", 100 * value);
  return absl::StrFormat("%.4g", value);
}

std::string FormatCount(int64_t count) {
  const std::string digits = absl::StrCat(count);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    const bool first = i == 0 || digits[i - 1] == '-';
    if (!first && (digits.size() - i) % 3 == 0) text.push_back(',');
    text.push_back(digits[i]);
  }
  return text;
}

std::string EscapeHtml(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"},
                                    {"<", "&lt;"},
                                    {">", "&gt;"},
                                    {"\"", "&quot;"},
                                    {"'", "&#39;"}});
}

std::string TickLabel(double value, bool percent) {
  if (percent) return absl::StrFormat("%.4g %%", 100 * value);
  const double size = std::abs(value);
  if (size >= 1e6 && size < 1e9) return absl::StrFormat("%.4gM", value / 1e6);
  if (size >= 1e4 && size < 1e6) return absl::StrFormat("%.4gk", value / 1e3);
  if (size >= 1e-3 && size < 1e4) return absl::StrFormat("%.4g", value);
  if (size == 0) return "0";
  const int exponent = static_cast<int>(std::floor(std::log10(size) + 1e-9));
  return absl::StrFormat("%.3ge%d", value / std::pow(10.0, exponent), exponent);
}

}  // namespace altprop::training
