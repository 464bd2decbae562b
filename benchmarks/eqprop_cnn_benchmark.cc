// Each thing that makes a convolutional network's step fast, with it and
// without: one network of 16-32-64-64 channels on images of CIFAR-10's size,
// batch 128, my_hard_sig, float32, two threads. Whole steps beside PyTorch's:
// benchmarks/compare cnn.

#include <cstdint>
#include <optional>

#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randint.h"
#include "benchmark/benchmark.h"
#include "common/models/init.h"
#include "common/training/memory.h"
#include "eqprop/equilibrium.h"
#include "eqprop/estimate.h"
#include "eqprop/network.h"
#include "eqprop/phases.h"
#include "eqprop/relax_conv.h"

namespace altprop::benchmarks {
namespace {

using eqprop::Path;
using eqprop::RelaxOptions;
using eqprop::State;
using eqprop::Updates;

constexpr double kBeta = 0.5;
constexpr int64_t kNudgedSteps = 8;

eqprop::Architecture Narrow() {
  eqprop::Architecture a;
  a.model = eqprop::Model::kCnn;
  a.activation = eqprop::Activation::kMyHardSig;
  a.input_channels = 3;
  a.input_size = 32;
  a.channels = {16, 32, 64, 64};
  a.kernels = {3, 3, 3, 3};
  a.strides = {1, 1, 1, 1};
  a.paddings = {1, 1, 1, 0};
  a.pools.assign(4, eqprop::Pool::kMax);
  a.fc = {10};
  return a;
}

class Fixture {
 public:
  Fixture() {
    training::KeepFreedMemory();  // as the programs do
    at::set_num_threads(2);
    at::Generator generator = models::SeededGenerator(0);
    network = MakeNetwork(Narrow(), std::nullopt, generator);
    input = Clamp(network, at::rand({128, 3, 32, 32}, generator));
    target = eqprop::OneHot(at::randint(10, {128}, generator, at::kLong), 10,
                            input.x);
  }

  State Free(int64_t steps, Path path, const RelaxOptions& options = {}) const {
    return FreePhase(network, input, steps, dynamics, path, {}, options);
  }
  State Nudged(const State& free, double beta, Path path) const {
    return NudgedPhase(network, input, free, kNudgedSteps,
                       eqprop::NudgeTowards(target, beta), dynamics, path);
  }

  eqprop::Network network;
  eqprop::Clamped input;
  at::Tensor target;
  eqprop::Dynamics dynamics =
      eqprop::TrainingDynamics(eqprop::Loss::kMse, /*softmax=*/false);
};

void FreePhaseOf(benchmark::State& state, int64_t steps, Path path,
                 const RelaxOptions& options) {
  const Fixture f;
  for (auto _ : state) benchmark::DoNotOptimize(f.Free(steps, path, options));
}
BENCHMARK_CAPTURE(FreePhaseOf, plain_60_steps, 60, Path::kPlain, RelaxOptions{})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(FreePhaseOf, fused_60_steps, 60, Path::kFused, RelaxOptions{})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(FreePhaseOf, bf16_60_steps, 60, Path::kBf16, RelaxOptions{})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(FreePhaseOf, alternating_30_steps, 30, Path::kFused,
                  RelaxOptions{.updates = Updates::kAlternating})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(FreePhaseOf, fused_250_steps, 250, Path::kFused,
                  RelaxOptions{})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(FreePhaseOf, tolerance_1e_5_of_250_steps, 250, Path::kFused,
                  RelaxOptions{.tolerance = 1e-5})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// Both nudged phases of the symmetric estimate.
void NudgedPhasesOf(benchmark::State& state, Path path, bool one_batch) {
  const Fixture f;
  const State free = f.Free(20, Path::kFused);
  for (auto _ : state) {
    if (one_batch) {
      benchmark::DoNotOptimize(NudgedPhases(f.network, f.input, free,
                                            kNudgedSteps, f.target, kBeta,
                                            f.dynamics, path));
    } else {
      benchmark::DoNotOptimize(f.Nudged(free, kBeta, path));
      benchmark::DoNotOptimize(f.Nudged(free, -kBeta, path));
    }
  }
}
BENCHMARK_CAPTURE(NudgedPhasesOf, plain, Path::kPlain, false)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(NudgedPhasesOf, fused_apart, Path::kFused, false)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(NudgedPhasesOf, fused_one_batch, Path::kFused, true)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(NudgedPhasesOf, bf16_one_batch, Path::kBf16, true)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// The contrast gradient in the two memory layouts.
void ContrastGradientOf(benchmark::State& state, Path path) {
  const Fixture f;
  const State free = f.Free(20, Path::kFused);
  const eqprop::Contrast contrast =
      eqprop::Between({f.Nudged(free, kBeta, Path::kFused), kBeta},
                      {f.Nudged(free, -kBeta, Path::kFused), -kBeta}, f.target);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        ContrastGradient(f.network, f.input, eqprop::LaidOut(contrast, path)));
  }
}
BENCHMARK_CAPTURE(ContrastGradientOf, as_the_states_lie, Path::kPlain)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ContrastGradientOf, channels_last, Path::kFused)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// The first edge's drive in each of the 60 steps, which is made once.
void FirstEdge(benchmark::State& state) {
  const Fixture f;
  for (auto _ : state) benchmark::DoNotOptimize(Clamp(f.network, f.input.x));
}
BENCHMARK(FirstEdge)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace altprop::benchmarks
