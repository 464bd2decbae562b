#include "iterbin/shared_flags.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"

ABSL_FLAG(std::string, semantics, "",
          "what an evaluation does to the weights: reference, as the authors' "
          "program, or corrected (README); none: reference, on ImageNet "
          "corrected");

namespace altprop::iterbin {

absl::StatusOr<int64_t> AtLeast(absl::string_view flag, int64_t value,
                                int64_t least) {
  if (value >= least) return value;
  return FlagError(flag, absl::StrCat(value),
                   absl::StrCat("must be at least ", least));
}

absl::Status CheckRange(absl::string_view flag, double value, double low,
                        double high) {
  if (std::isfinite(value) && value >= low && value <= high) {
    return absl::OkStatus();
  }
  if (high == std::numeric_limits<double>::infinity()) {
    return FlagError(flag, absl::StrCat(value),
                     absl::StrCat("must be a number of at least ", low));
  }
  return FlagError(flag, absl::StrCat(value),
                   absl::StrCat("must be a number from ", low, " to ", high));
}

absl::Status CheckMilestones(absl::string_view flag,
                             const std::vector<int64_t>& milestones,
                             bool strictly) {
  const std::string text =
      absl::StrCat("[", absl::StrJoin(milestones, ","), "]");
  for (size_t i = 0; i < milestones.size(); ++i) {
    if (milestones[i] < 0) {
      return FlagError(flag, text, "epochs must be at least 0");
    }
    if (i == 0) continue;
    const bool falls = strictly ? milestones[i] <= milestones[i - 1]
                                : milestones[i] < milestones[i - 1];
    if (falls) {
      return FlagError(flag, text,
                       absl::StrCat("epochs must increase, but ", milestones[i],
                                    " follows ", milestones[i - 1]));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOneProcess() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets the environment.
  const char* size = std::getenv("WORLD_SIZE");
  int64_t processes = 0;
  if (size == nullptr || !absl::SimpleAtoi(size, &processes) ||
      processes <= 1) {
    return absl::OkStatus();
  }
  return UsageError(absl::StrCat("WORLD_SIZE=", processes,
                                 " in the environment: this program runs as "
                                 "one process; start it without a launcher"));
}

void SetDefaultSemantics(Semantics semantics) {
  if (absl::GetFlag(FLAGS_semantics).empty()) {
    absl::SetFlag(&FLAGS_semantics, std::string(SemanticsName(semantics)));
  }
}

absl::StatusOr<Semantics> SemanticsFromFlag() {
  const std::string name = absl::GetFlag(FLAGS_semantics);
  if (name == "reference" || name.empty()) return Semantics::kReference;
  if (name == "corrected") return Semantics::kCorrected;
  return FlagError("semantics", name, "expected reference or corrected");
}

absl::string_view SemanticsName(Semantics semantics) {
  return semantics == Semantics::kReference ? "reference" : "corrected";
}

}  // namespace altprop::iterbin
