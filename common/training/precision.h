#ifndef COMMON_TRAINING_PRECISION_H_
#define COMMON_TRAINING_PRECISION_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "c10/core/ScalarType.h"

namespace altprop::training {

// What a run computes in.
//   kFp64  everything in double
//   kFp32  everything in float; TF32 is off on CUDA
//   kTf32  float, with matrix products in TF32 where the device has it (on a
//   CPU
//          this is kFp32)
//   kBf16  parameters and states in float, operands of products in bfloat16
//          where a method's mathematics allows it
enum class Precision { kFp64, kFp32, kTf32, kBf16 };

// `text`: fp64, fp32, tf32 or bf16, any case; a UsageError naming --precision.
absl::StatusOr<Precision> ParsePrecision(absl::string_view text);

// "fp64", "fp32", "tf32" or "bf16".
absl::string_view PrecisionName(Precision precision);

// The type of parameters, states and normalised images: kDouble or kFloat.
c10::ScalarType DtypeOf(Precision precision);

// The type of a product's operands: as DtypeOf, but kBFloat16 for kBf16.
c10::ScalarType OperandDtypeOf(Precision precision);

// Switches TF32 on or off for the process, as `precision` says.
void ApplyPrecision(Precision precision);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_PRECISION_H_
