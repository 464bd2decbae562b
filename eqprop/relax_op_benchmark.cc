// altprop::relax against equilibrium.h's Relax, by shape. The crossover between
// two hidden layers is what FusedKernelTakes() is set by.

#include <cstdint>
#include <optional>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/allclose.h"
#include "ATen/ops/rand.h"
#include "benchmark/benchmark.h"
#include "common/models/init.h"
#include "eqprop/equilibrium.h"
#include "eqprop/network.h"
#include "eqprop/relax_op.h"

namespace altprop::eqprop {
namespace {

constexpr int64_t kSteps = 20;

using Relaxer = State (*)(const Network&, const Clamped&, const State&, int64_t,
                          const Nudge&, const Dynamics&);

State RelaxPlainly(const Network& network, const Clamped& input,
                   const State& state, int64_t steps, const Nudge& nudge,
                   const Dynamics& dynamics) {
  return Relax(network, input, state, steps, nudge, dynamics);
}

// Arguments: hidden layers, their width, samples, threads. Ten classes.
template <Relaxer kRelax>
void Free(benchmark::State& state) {
  at::set_num_threads(static_cast<int>(state.range(3)));
  std::vector<int64_t> sizes(state.range(0) + 1, state.range(1));
  sizes.push_back(10);
  const Network network = MakeMlp(sizes, Activation::kMysig, std::nullopt,
                                  models::SeededGenerator(0));
  const Clamped input = Clamp(network, at::rand({state.range(2), sizes[0]}));
  const State zero = ZeroState(network, input);
  const Dynamics dynamics = TrainingDynamics(Loss::kMse);
  const auto run = [&] {
    return kRelax(network, input, zero, kSteps, {}, dynamics);
  };
  const State plain = RelaxPlainly(network, input, zero, kSteps, {}, dynamics);
  if (!at::allclose(run().back(), plain.back(), 1e-5, 1e-5)) {
    state.SkipWithError("differs from Relax");
  }
  for (auto _ : state) benchmark::DoNotOptimize(run());
  state.SetItemsProcessed(state.iterations() * kSteps * state.range(2));
}

void Shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"hidden", "width", "batch", "threads"})
      ->ArgsProduct({{1}, {64, 512, 2048}, {1, 50, 200}, {1, 2}})
      ->ArgsProduct({{2}, {64, 128, 256, 512}, {50, 200}, {1, 2}})
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}
BENCHMARK(Free<RelaxFused>)->Apply(Shapes);
BENCHMARK(Free<RelaxPlainly>)->Apply(Shapes);

}  // namespace
}  // namespace altprop::eqprop
