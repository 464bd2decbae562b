#include "common/training/finite.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace altprop::training {

absl::Status CheckFinite(absl::string_view what, double value, int64_t epoch,
                         int64_t step) {
  if (std::isfinite(value)) return absl::OkStatus();
  const char* text = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  return absl::InternalError(absl::StrCat(
      what, " is ", text, " at step ", step, " (epoch ", epoch,
      "): training diverged; the checkpoint of the last good step is kept"));
}

}  // namespace altprop::training
