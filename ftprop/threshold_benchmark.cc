// altprop::threshold against the same written out with ATen's operators, on the
// activations of convnet4's first layer.
#include <string>

#include "ATen/Context.h"
#include "ATen/Parallel.h"
#include "ATen/ops/allclose.h"
#include "ATen/ops/randn.h"
#include "benchmark/benchmark.h"
#include "ftprop/nonlinearity.h"
#include "ftprop/threshold.h"
#include "ftprop/threshold_reference.h"

namespace altprop::ftprop {
namespace {

const char* const kNonlinearities[] = {"step11", "staircase3"};
const char* const kRules[] = {"SoftHinge", "SSTE"};

struct Inputs {
  Threshold threshold;
  at::Tensor x, g;
};

// Arguments: non-linearity, rule, threads.
Inputs MakeInputs(const benchmark::State& state) {
  at::manual_seed(1);
  at::set_num_threads(static_cast<int>(state.range(2)));
  return {{*ParseNonlinearity(kNonlinearities[state.range(0)]),
           *ParseRule(kRules[state.range(1)])},
          at::randn({64, 32, 17, 17}),
          at::randn({64, 32, 17, 17})};
}

void Report(benchmark::State& state, const Inputs& in) {
  state.SetItemsProcessed(state.iterations() * in.x.numel());
}

void Forward(benchmark::State& state) {
  const Inputs in = MakeInputs(state);
  if (!Apply(in.threshold, in.x)
           .equal(ApplyReference(in.threshold.nonlinearity, in.x))) {
    state.SkipWithError("differs from the reference");
  }
  for (auto _ : state) benchmark::DoNotOptimize(Apply(in.threshold, in.x));
  Report(state, in);
}

void Backward(benchmark::State& state) {
  const Inputs in = MakeInputs(state);
  if (!at::allclose(ThresholdBackward(in.threshold, in.g, in.x),
                    BackwardReference(in.threshold, in.g, in.x), 0, 1e-5)) {
    state.SkipWithError("differs from the reference");
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(ThresholdBackward(in.threshold, in.g, in.x));
  }
  Report(state, in);
}

void BackwardByAten(benchmark::State& state) {
  const Inputs in = MakeInputs(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(BackwardReference(in.threshold, in.g, in.x));
  }
  Report(state, in);
}

void Arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgsProduct({{0, 1}, {0, 1}, {1, 2}});
  benchmark->ArgNames({"nonlin", "rule", "threads"})->UseRealTime();
}

BENCHMARK(Forward)->Apply(Arguments);
BENCHMARK(Backward)->Apply(Arguments);
BENCHMARK(BackwardByAten)->Apply(Arguments);

}  // namespace
}  // namespace altprop::ftprop
