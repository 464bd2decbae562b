// The time loop of equilibrium.h's Relax as one operator, altprop::relax.
//
// On the CPU, in float32 and float64, samples are independent given the
// weights, so a thread takes a few of them through all time steps with states,
// weights and drives in its first-level cache: no synchronisation between
// steps, one parallel region a phase. AVX-512, AVX2 or plain code is chosen
// when the program starts, as LibTorch chooses (ATEN_CPU_CAPABILITY). Elsewhere
// (other devices, large matrices between hidden layers where a matrix library
// is faster) the operator is Relax itself.
//
// The result of a sample does not depend on the number of threads or on the
// other samples of the batch; it differs from Relax's by rounding. exp is
// accurate to one unit in the last place, NaN stays NaN.

#ifndef EQPROP_RELAX_OP_H_
#define EQPROP_RELAX_OP_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "eqprop/equilibrium.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

// As Relax in equilibrium.h.
State RelaxFused(const Network& network, const Clamped& input,
                 const State& state, int64_t steps, const Nudge& nudge,
                 const Dynamics& dynamics);

// What the CPU kernel uses: "AVX512", "AVX2" or "DEFAULT".
absl::string_view FusedInstructionSet();

// Whether the CPU kernel takes layers n_1 .. n_S, or leaves them to Relax.
bool FusedKernelTakes(const std::vector<int64_t>& sizes);

}  // namespace altprop::eqprop

#endif  // EQPROP_RELAX_OP_H_
