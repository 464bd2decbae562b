// The fused updates against the plain form, on as many weights as ResNet-18
// constrains, and against a copy of the same bytes.

#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/allclose.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/zeros_like.h"
#include "benchmark/benchmark.h"
#include "cbp/constraint.h"
#include "cbp/weight_rule.h"

namespace altprop::cbp {
namespace {

constexpr int64_t kWeights = 11157504;
constexpr int64_t kLayers = 19;

at::Tensor Normal(double deviation, uint64_t seed) {
  return at::empty({kWeights})
      .normal_(0, deviation, at::detail::createCPUGenerator(seed));
}

struct Problem {
  at::Tensor w = Normal(0.03, 1), gradient = Normal(0.01, 2),
             lambda = Normal(1e-4, 3).abs_(), v = Normal(0.01, 4),
             q = at::zeros_like(w), m = at::zeros_like(w),
             second = at::zeros_like(w);
  at::Tensor scales = at::full({kLayers}, 0.024);
  std::vector<int64_t> offsets;
  std::vector<at::Tensor> gradients;

  Problem() {
    for (int64_t k = 0; k <= kLayers; ++k) {
      offsets.push_back(kWeights * k / kLayers);
    }
    for (int64_t k = 0; k < kLayers; ++k) {
      gradients.push_back(
          gradient.narrow(0, offsets[k], offsets[k + 1] - offsets[k]));
    }
  }
  FlatLayers layers() const { return {scales, offsets}; }
  at::Tensor Layer(const at::Tensor& buffer, int64_t k) const {
    return buffer.narrow(0, offsets[k], offsets[k + 1] - offsets[k]);
  }
};

const WeightStep kStep = {0.9, 1e-3, 1e-4, 0.9};

void Plain(Problem& p, Mode mode) {
  for (int64_t k = 0; k < kLayers; ++k) {
    at::Tensor w = p.Layer(p.w, k), v = p.Layer(p.v, k), q = p.Layer(p.q, k);
    const at::Tensor lambda = p.Layer(p.lambda, k);
    const at::Tensor s = p.scales.narrow(0, k, 1);
    benchmark::DoNotOptimize(
        (lambda * Constraint(w, s, mode, kStep.u)).sum().item<float>());
    UpdateWeight(w, p.gradients[k], lambda, v, q, s, mode, kStep);
  }
}

void Fused(Problem& p, Mode mode) {
  UpdateWeights(p.w, p.gradients, p.lambda, p.v, p.q, p.layers(), mode, kStep);
}

// Arguments: mode, threads.
template <void (*kUpdate)(Problem&, Mode)>
void Update(benchmark::State& state) {
  at::set_num_threads(static_cast<int>(state.range(1)));
  const auto mode = static_cast<Mode>(state.range(0));
  Problem p, plain;
  Plain(plain, mode);
  kUpdate(p, mode);
  if (!at::allclose(p.w, plain.w) || !at::allclose(p.q, plain.q)) {
    state.SkipWithError("differs from the plain form");
  }
  for (auto _ : state) kUpdate(p, mode);
  state.SetBytesProcessed(state.iterations() * kWeights * 28);
}

template <bool kFused>
void Ascend(benchmark::State& state) {
  at::set_num_threads(static_cast<int>(state.range(1)));
  const auto mode = static_cast<Mode>(state.range(0));
  Problem p;
  int64_t t = 0;
  for (auto _ : state) {
    ++t;
    if (kFused) {
      UpdateMultipliers(p.w, p.lambda, p.m, p.second, p.layers(), mode, 0.9,
                        1e-4, t);
      continue;
    }
    for (int64_t k = 0; k < kLayers; ++k) {
      at::Tensor lambda = p.Layer(p.lambda, k), m = p.Layer(p.m, k),
                 v = p.Layer(p.second, k);
      UpdateMultiplier(p.Layer(p.w, k), p.scales.narrow(0, k, 1), mode, 0.9,
                       1e-4, t, lambda, m, v);
    }
  }
  state.SetBytesProcessed(state.iterations() * kWeights * 28);
}

// Four buffers read, three written, as the update does.
void Copy(benchmark::State& state) {
  at::set_num_threads(static_cast<int>(state.range(1)));
  Problem p;
  constexpr int64_t kStretch = 2048;
  const auto* from = p.gradient.const_data_ptr<float>();
  auto* to = p.q.mutable_data_ptr<float>();
  for (auto _ : state) {
    // 14 bytes each way.
    for (int pass = 0; pass < 7; ++pass) {
      at::parallel_for(
          0, kWeights / 2 / kStretch, 8, [&](int64_t begin, int64_t end) {
            std::memcpy(to + begin * kStretch, from + begin * kStretch,
                        (end - begin) * kStretch * 4);
          });
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * kWeights * 28);
}

void Cases(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"mode", "threads"})
      ->ArgsProduct({{0, 3}, {1, 2}})
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}
BENCHMARK(Copy)->Apply(Cases);
BENCHMARK(Update<Fused>)->Apply(Cases);
BENCHMARK(Update<Plain>)->Apply(Cases);
BENCHMARK(Ascend<true>)->Apply(Cases);
BENCHMARK(Ascend<false>)->Apply(Cases);

}  // namespace
}  // namespace altprop::cbp
