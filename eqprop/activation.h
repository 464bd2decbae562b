// The six activations of the method, applied element-wise to the drive
// u = dPhi/ds of a layer: s <- sigma(u).
//
//   name           sigma(u)                          equals
//   mysig          1 / (1 + exp(-4 (u - 0.5)))       logistic(4u - 2)
//   sigmoid        logistic(u)
//   tanh           tanh(u)
//   hard_sigmoid   (1 + hardtanh(2u - 1)) / 2        clamp(u, 0, 1)
//   my_hard_sig    (1 + hardtanh(u - 1)) / 2         clamp(u/2, 0, 1)
//   ctrd_hard_sig  hardtanh(2u) / 2                  clamp(u, -1/2, 1/2)
//
// Formulas are evaluated in the order of the authors' program, so that float32
// results agree with it. NaN stays NaN.

#ifndef EQPROP_ACTIVATION_H_
#define EQPROP_ACTIVATION_H_

#include <array>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::eqprop {

enum class Activation {
  kMysig,
  kSigmoid,
  kTanh,
  kHardSigmoid,
  kMyHardSig,
  kCtrdHardSig,
};

inline constexpr std::array<Activation, 6> kActivations = {
    Activation::kMysig,       Activation::kSigmoid,   Activation::kTanh,
    Activation::kHardSigmoid, Activation::kMyHardSig, Activation::kCtrdHardSig,
};

// The name on the command line, as in the table above, and back. An unknown
// name is an error that lists the known ones.
absl::string_view ActivationName(Activation activation);
absl::StatusOr<Activation> ParseActivation(absl::string_view name);

// sigma(u). `u`: any shape, floating point.
at::Tensor Activate(Activation activation, const at::Tensor& u);

// u <- sigma(u).
void ActivateInPlace(Activation activation, at::Tensor& u);

// sigma'(u). At the kinks of the clamps the derivative is 0 (strict
// inequalities), as in the authors' program.
at::Tensor Derivative(Activation activation, const at::Tensor& u);

// sigma^-1(s) for s strictly inside the range of sigma.
at::Tensor Inverse(Activation activation, const at::Tensor& s);

// rho(s) with rho' = sigma^-1: the leak that makes fixed points stationary
// points of E = sum rho(s) - Phi(s). At the ends of the range 0 ln 0 = 0.
at::Tensor Potential(Activation activation, const at::Tensor& s);

}  // namespace altprop::eqprop

#endif  // EQPROP_ACTIVATION_H_
