#include "cbp/levels.h"

#include "absl/status/status.h"

namespace altprop::cbp {

absl::string_view ModeName(Mode mode) {
  switch (mode) {
    case Mode::kBinary:
      return "bin";
    case Mode::kTernary:
      return "ter";
    case Mode::kOneBitShift:
      return "1bit";
    case Mode::kTwoBitShift:
      break;
  }
  return "2bit";
}

const std::vector<Mode>& AllModes() {
  static const auto* const modes = new std::vector<Mode>{
      Mode::kBinary, Mode::kTernary, Mode::kOneBitShift, Mode::kTwoBitShift};
  return *modes;
}

absl::StatusOr<Mode> ParseMode(absl::string_view text) {
  for (const Mode mode : AllModes()) {
    if (text == ModeName(mode)) return mode;
  }
  return absl::InvalidArgumentError("expected bin, ter, 1bit or 2bit");
}

}  // namespace altprop::cbp
