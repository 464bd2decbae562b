#include "common/training/precision.h"

#include <string>

#include "ATen/Context.h"
#include "absl/strings/ascii.h"
#include "common/status.h"

namespace altprop::training {
namespace {

constexpr Precision kAll[] = {Precision::kFp64, Precision::kFp32,
                              Precision::kTf32, Precision::kBf16};

}  // namespace

absl::StatusOr<Precision> ParsePrecision(absl::string_view text) {
  const std::string name = absl::AsciiStrToLower(text);
  for (const Precision precision : kAll) {
    if (name == PrecisionName(precision)) return precision;
  }
  return FlagError("precision", text, "expected fp64, fp32, tf32 or bf16");
}

absl::string_view PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kFp64:
      return "fp64";
    case Precision::kFp32:
      return "fp32";
    case Precision::kTf32:
      return "tf32";
    case Precision::kBf16:
      return "bf16";
  }
  return "";
}

c10::ScalarType DtypeOf(Precision precision) {
  return precision == Precision::kFp64 ? c10::kDouble : c10::kFloat;
}

c10::ScalarType OperandDtypeOf(Precision precision) {
  return precision == Precision::kBf16 ? c10::kBFloat16 : DtypeOf(precision);
}

void ApplyPrecision(Precision precision) {
  const bool tf32 = precision == Precision::kTf32;
  at::globalContext().setAllowTF32CuBLAS(tf32);
  at::globalContext().setAllowTF32CuDNN(tf32);
}

}  // namespace altprop::training
