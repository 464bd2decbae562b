#include "eqprop/phases.h"

#include "ATen/ops/cat.h"
#include "ATen/ops/full.h"
#include "common/random.h"
#include "eqprop/deviation.h"
#include "eqprop/relax_op.h"

namespace altprop::eqprop {
namespace {

constexpr at::ScalarType kNarrow = at::kBFloat16;

State RelaxBy(Path path, const Network& network, const Clamped& input,
              const State& state, int64_t steps, const Nudge& nudge,
              const Dynamics& dynamics, const RelaxOptions& options = {}) {
  if (path == Path::kFused && IsConvolutional(network.model)) {
    return RelaxConvolutional(network, input, state, steps, nudge, dynamics,
                              options);
  }
  const bool fused = path == Path::kFused && network.model == Model::kMlp &&
                     input.dropout.keep.empty();
  return fused ? RelaxFused(network, input, state, steps, nudge, dynamics)
               : Relax(network, input, state, steps, nudge, dynamics);
}

at::Tensor Twice(const at::Tensor& rows) { return at::cat({rows, rows}); }

}  // namespace

State FreePhase(const Network& network, const Clamped& input, int64_t steps,
                const Dynamics& dynamics, Path path, const Nudge& nudge,
                const RelaxOptions& options) {
  const State zero = ZeroState(network, input);
  return path == Path::kBf16 ? RelaxRounded(network, input, zero, steps, nudge,
                                            dynamics, kNarrow)
                             : RelaxBy(path, network, input, zero, steps, nudge,
                                       dynamics, options);
}

State NudgedPhase(const Network& network, const Clamped& input,
                  const State& free, int64_t steps, const Nudge& nudge,
                  const Dynamics& dynamics, Path path) {
  return path == Path::kBf16
             ? RelaxDeviation(network, input, free, steps, nudge, dynamics,
                              kNarrow)
             : RelaxBy(path, network, input, free, steps, nudge, dynamics);
}

NudgedPair NudgedPhases(const Network& network, const Clamped& input,
                        const State& free, int64_t steps,
                        const at::Tensor& target, double beta,
                        const Dynamics& dynamics, Path path) {
  const int64_t batch = target.size(0);
  // The time loop uses the input through its drive alone.
  Clamped both_input{
      at::Tensor(), {Twice(input.bottom.p), {}, {}}, {{}, input.dropout.keep}};
  for (const at::Tensor& mask : input.dropout.masks) {
    both_input.dropout.masks.push_back(Twice(mask));
  }
  State both;
  for (const at::Tensor& layer : free) both.push_back(Twice(layer));
  const at::Tensor strength = at::full({batch, 1}, beta, target.options());
  const Nudge nudge{at::cat({strength, strength.neg()}), Twice(target)};
  both = NudgedPhase(network, both_input, both, steps, nudge, dynamics, path);
  NudgedPair pair;
  for (const at::Tensor& layer : both) {
    pair.plus.push_back(layer.narrow(0, 0, batch));
    pair.minus.push_back(layer.narrow(0, batch, batch));
  }
  return pair;
}

double RandomSign(uint64_t seed, int64_t step) {
  CounterRandom random(seed, RandomStream("random_sign"), 0,
                       static_cast<uint64_t>(step));
  return random.Below(2) == 0 ? 1.0 : -1.0;
}

}  // namespace altprop::eqprop
