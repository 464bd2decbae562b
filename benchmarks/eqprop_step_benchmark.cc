// The training step of the authors' MNIST script and its parts. For the same
// step in Python beside it: benchmarks/compare.

#include <cmath>

#include "ATen/Parallel.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/rand.h"
#include "benchmark/benchmark.h"
#include "benchmarks/eqprop_step.h"

namespace altprop::benchmarks {
namespace {

using eqprop::Path;

constexpr Path kPaths[] = {Path::kFused, Path::kPlain};

// Arguments: 0 the fused path, 1 the plain; threads.
StepSetting Setting(const benchmark::State& state) {
  at::set_num_threads(static_cast<int>(state.range(1)));
  StepSetting setting;
  setting.path = kPaths[state.range(0)];
  return setting;
}

void Paths(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"plain", "threads"})
      ->ArgsProduct({{0, 1}, {1, 2}})
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void Step(benchmark::State& state) {
  StepSetting setting = Setting(state);
  EqpropStep step(setting);
  setting.path = Path::kPlain;
  EqpropStep plain(setting);
  for (int i = 0; i < 3; ++i) {
    const double expected = plain.Run().loss;
    if (!(std::abs(step.Run().loss - expected) < 1e-4 * expected)) {
      state.SkipWithError("another loss than the plain path's");
    }
  }
  for (auto _ : state) benchmark::DoNotOptimize(step.Run());
  state.SetItemsProcessed(state.iterations() * setting.batch);
}
BENCHMARK(Step)->Apply(Paths);

void FreePhase(benchmark::State& state) {
  const EqpropStep step(Setting(state));
  const eqprop::Clamped input = step.ClampInput();
  for (auto _ : state) benchmark::DoNotOptimize(step.Free(input));
}
BENCHMARK(FreePhase)->Apply(Paths);

void NudgedPhase(benchmark::State& state) {
  const EqpropStep step(Setting(state));
  const eqprop::Clamped input = step.ClampInput();
  const eqprop::State free = step.Free(input);
  for (auto _ : state) benchmark::DoNotOptimize(step.Nudged(input, free));
}
BENCHMARK(NudgedPhase)->Apply(Paths);

void BothNudgedPhases(benchmark::State& state) {
  const StepSetting setting = Setting(state);
  const EqpropStep step(setting);
  const eqprop::Clamped input = step.ClampInput();
  const eqprop::State free = step.Free(input);
  for (auto _ : state) {
    benchmark::DoNotOptimize(eqprop::NudgedPhases(
        step.network(), input, free, setting.nudged_steps, step.target(),
        setting.beta, eqprop::TrainingDynamics(setting.loss), setting.path));
  }
}
BENCHMARK(BothNudgedPhases)->Apply(Paths);

void Threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"threads"})
      ->Arg(1)
      ->Arg(2)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void ClampInput(benchmark::State& state) {
  at::set_num_threads(static_cast<int>(state.range(0)));
  const EqpropStep step;
  for (auto _ : state) benchmark::DoNotOptimize(step.ClampInput());
}
BENCHMARK(ClampInput)->Apply(Threads);

void Gradient(benchmark::State& state) {
  at::set_num_threads(static_cast<int>(state.range(0)));
  const EqpropStep step;
  const eqprop::Clamped input = step.ClampInput();
  const eqprop::State free = step.Free(input);
  const eqprop::State nudged = step.Nudged(input, free);
  for (auto _ : state) {
    benchmark::DoNotOptimize(step.Gradient(input, free, nudged));
  }
}
BENCHMARK(Gradient)->Apply(Threads);

void AdamUpdate(benchmark::State& state) {
  at::set_num_threads(static_cast<int>(state.range(0)));
  EqpropStep step;
  const eqprop::Clamped input = step.ClampInput();
  const eqprop::State free = step.Free(input);
  const auto gradient = step.Gradient(input, free, step.Nudged(input, free));
  for (auto _ : state) step.Update(gradient);
}
BENCHMARK(AdamUpdate)->Apply(Threads);

// The machine's own limit for the products above.
void SquareProduct(benchmark::State& state) {
  at::set_num_threads(static_cast<int>(state.range(0)));
  constexpr int64_t kSide = 1024;
  const at::Tensor a = at::rand({kSide, kSide});
  const at::Tensor b = at::rand({kSide, kSide});
  for (auto _ : state) benchmark::DoNotOptimize(at::mm(a, b));
  state.SetItemsProcessed(state.iterations() * 2 * kSide * kSide * kSide);
}
BENCHMARK(SquareProduct)->Apply(Threads);

}  // namespace
}  // namespace altprop::benchmarks
