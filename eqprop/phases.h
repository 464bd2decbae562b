// The phases of a training step: what a training loop calls.
//
//   const Clamped input = Clamp(network, x);
//   const State free = FreePhase(network, input, T1, dynamics, path);
//   const State nudged =
//       NudgedPhase(network, input, free, T2, NudgeTowards(target, beta), ...);
//   optimizer.Step(ContrastGradient(input, free, 0, nudged, beta));

#ifndef EQPROP_PHASES_H_
#define EQPROP_PHASES_H_

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "eqprop/equilibrium.h"
#include "eqprop/network.h"
#include "eqprop/relax_conv.h"

namespace altprop::eqprop {

// kPlain: equilibrium.h's Relax, a few ATen calls a step. kFused: one operator
// for all steps (relax_op.h, and relax_conv.h for convolutional networks);
// where it has no advantage it is the plain one. Results differ by rounding
// only.
// kBf16: plain steps whose products have operands in bfloat16, the nudged
// phases as deviations from s* (deviation.h).
enum class Path { kFused, kPlain, kBf16 };

// T1 steps from zero without a nudge: s*. `nudge` is for a beta_1 that is not
// 0. The fused path of convolutional networks alone heeds `options`.
State FreePhase(const Network& network, const Clamped& input, int64_t steps,
                const Dynamics& dynamics, Path path, const Nudge& nudge = {},
                const RelaxOptions& options = {});

// T2 steps from s*: s_beta.
State NudgedPhase(const Network& network, const Clamped& input,
                  const State& free, int64_t steps, const Nudge& nudge,
                  const Dynamics& dynamics, Path path);

// The second and the third phase of the symmetric estimator: T2 steps at +beta
// and T2 steps at -beta, both from s*. They do not depend on each other and run
// as one batch of 2B samples, each with its own sign.
struct NudgedPair {
  State plus;   // s_beta
  State minus;  // s_-beta
};
NudgedPair NudgedPhases(const Network& network, const Clamped& input,
                        const State& free, int64_t steps,
                        const at::Tensor& target, double beta,
                        const Dynamics& dynamics, Path path);

// The fair coin of the random-sign estimator: +1 or -1, a function of the seed
// and of the minibatch's number since the start of training alone.
double RandomSign(uint64_t seed, int64_t step);

}  // namespace altprop::eqprop

#endif  // EQPROP_PHASES_H_
