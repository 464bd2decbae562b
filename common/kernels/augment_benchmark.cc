// altprop::augment against the same by ATen's operators, and the copy that it
// could at best be: bytes in, floats out.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>

#include <vector>

#include "benchmark/benchmark.h"
#include "common/kernels/augment.h"
#include "common/kernels/augment_reference.h"

namespace altprop::kernels {
namespace {

constexpr int64_t kPad = 4;

struct Inputs {
  at::Tensor images, draws;
  std::vector<double> mean, std;
};

Inputs MakeInputs(int64_t count, int64_t channels, int64_t side) {
  at::manual_seed(1);
  return {at::randint(256, {count, channels, side, side}, at::kByte),
          at::cat({at::randint(2 * kPad + 1, {count, 2}, at::kInt),
                   at::randint(2, {count, 1}, at::kInt)},
                  1),
          std::vector<double>(channels, 0.5),
          std::vector<double>(channels, 0.25)};
}

void Report(benchmark::State& state, const Inputs& inputs) {
  const int64_t values = inputs.images.numel();
  state.SetItemsProcessed(state.iterations() * inputs.images.size(0));
  state.SetBytesProcessed(state.iterations() * values *
                          static_cast<int64_t>(1 + sizeof(float)));
}

// Arguments: images, channels, side, threads.
void Augmented(benchmark::State& state) {
  const Inputs in = MakeInputs(state.range(0), state.range(1), state.range(2));
  at::set_num_threads(static_cast<int>(state.range(3)));
  const auto run = [&] {
    return Augment(in.images, in.draws, kPad, true, in.mean, in.std,
                   at::kFloat);
  };
  if (!at::equal(run(), AugmentReference(in.images, in.draws, kPad, true,
                                         in.mean, in.std, at::kFloat))) {
    state.SkipWithError("differs from the reference");
  }
  for (auto _ : state) benchmark::DoNotOptimize(run());
  Report(state, in);
}

void Normalized(benchmark::State& state) {
  const Inputs in = MakeInputs(state.range(0), state.range(1), state.range(2));
  at::set_num_threads(static_cast<int>(state.range(3)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(Normalize(in.images, in.mean, in.std, at::kFloat));
  }
  Report(state, in);
}

void ByAten(benchmark::State& state) {
  const Inputs in = MakeInputs(state.range(0), state.range(1), state.range(2));
  at::set_num_threads(static_cast<int>(state.range(3)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(AugmentReference(in.images, in.draws, kPad, true,
                                              in.mean, in.std, at::kFloat));
  }
  Report(state, in);
}

// The limit: one conversion from byte to float.
void Copied(benchmark::State& state) {
  const Inputs in = MakeInputs(state.range(0), state.range(1), state.range(2));
  at::set_num_threads(static_cast<int>(state.range(3)));
  for (auto _ : state) benchmark::DoNotOptimize(in.images.to(at::kFloat));
  Report(state, in);
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  for (const int64_t threads : {1, 2}) {
    benchmark->Args({50, 1, 28, threads})->Args({128, 3, 32, threads});
  }
  benchmark->UseRealTime();
}

BENCHMARK(Augmented)->Apply(Sizes);
BENCHMARK(Normalized)->Apply(Sizes);
BENCHMARK(Copied)->Apply(Sizes);
BENCHMARK(ByAten)->Apply(Sizes);

}  // namespace
}  // namespace altprop::kernels
