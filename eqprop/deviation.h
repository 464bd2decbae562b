// The dynamics with products in a narrower type (--precision=bf16).
//
// Rounding operands to bfloat16 costs a relative 2^-9 of what is rounded. A
// nudged state of a deep network differs from s* by 1e-5 or less in its lower
// layers, so the nudged phases iterate that difference itself, delta = s - s*,
// from what the free phase left:
//
//   dz_l = A_l(delta_{l-1})
//   dp_l = dz_l where the maximum stays in its place, else the difference of
//          the two maxima
//   dU_l = U(delta_l) there, else the difference of the two scatters
//   du_l = dp_l + A_{l+1}^T dU_{l+1} (+ beta n)
//   delta_l <- sigma(u*_l + du_l) - s*_l, as sigma'(u*) du where sigma is
//              linear between the two
//
// Everything but the operands of the products is float32.

#ifndef EQPROP_DEVIATION_H_
#define EQPROP_DEVIATION_H_

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "eqprop/equilibrium.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

// As Relax from zero or from any state, with operands of `type` but for the
// last 20 steps, which end where exact ones end.
State RelaxRounded(const Network& network, const Clamped& input,
                   const State& state, int64_t steps, const Nudge& nudge,
                   const Dynamics& dynamics, at::ScalarType type);

// As Relax from `free` = s*, by deviations with operands of `type`. Exact for
// any `free`, also one that has not converged.
State RelaxDeviation(const Network& network, const Clamped& input,
                     const State& free, int64_t steps, const Nudge& nudge,
                     const Dynamics& dynamics, at::ScalarType type);

}  // namespace altprop::eqprop

#endif  // EQPROP_DEVIATION_H_
