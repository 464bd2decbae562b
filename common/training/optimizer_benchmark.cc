// One optimizer step on the parameters of the MLP 784-512-10, one group per
// edge: 407,050 numbers. Arguments: bytes of a number, threads.

#include <cstdint>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/ops/full.h"
#include "ATen/ops/full_like.h"
#include "benchmark/benchmark.h"
#include "common/training/optimizer.h"

namespace altprop::training {
namespace {

std::vector<ParameterGroup> Groups(at::ScalarType type) {
  const auto edge = [&](int64_t from, int64_t to) {
    return ParameterGroup{{{"weight", at::full({to, from}, 0.01, type)},
                           {"bias", at::full({to}, 0.01, type)}},
                          5e-4,
                          0};
  };
  return {edge(784, 512), edge(512, 10)};
}

void Run(benchmark::State& state, Optimizer optimizer) {
  at::set_num_threads(static_cast<int>(state.range(1)));
  std::vector<at::Tensor> gradients;
  int64_t numbers = 0;
  for (const ParameterGroup& group : optimizer.groups()) {
    for (const auto& [name, parameter] : group.parameters) {
      gradients.push_back(at::full_like(parameter, 1e-3));
      numbers += parameter.numel();
    }
  }
  for (auto _ : state) optimizer.Step(gradients);
  state.SetItemsProcessed(state.iterations() * numbers);
}

at::ScalarType Type(const benchmark::State& state) {
  return state.range(0) == 8 ? at::kDouble : at::kFloat;
}

void BM_Adam(benchmark::State& state) {
  Run(state, Optimizer::Adam(Groups(Type(state))));
}

void BM_SgdWithMomentum(benchmark::State& state) {
  Run(state, Optimizer::Sgd(Groups(Type(state)), 0.9));
}

BENCHMARK(BM_Adam)->ArgsProduct({{4, 8}, {1, 2}})->UseRealTime();
BENCHMARK(BM_SgdWithMomentum)->ArgsProduct({{4, 8}, {1, 2}})->UseRealTime();

}  // namespace
}  // namespace altprop::training
