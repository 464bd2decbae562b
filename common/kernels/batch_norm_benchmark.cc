// Forward and backward of batch_norm.h against the ATen calls, on the shapes of
// a residual network for CIFAR-10 at batch 128: channels, image size.

#include "ATen/Parallel.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/zeros.h"
#include "benchmark/benchmark.h"
#include "common/kernels/batch_norm.h"
#include "common/training/memory.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::kernels {
namespace {

template <auto kFunction>
void Step(benchmark::State& state) {
  training::KeepFreedMemory();  // as the programs do
  at::set_num_threads(static_cast<int>(state.range(2)));
  const int64_t channels = state.range(0), size = state.range(1);
  const auto image = [&] {
    return at::randn({128, channels, size, size})
        .contiguous(at::MemoryFormat::ChannelsLast);
  };
  const at::Tensor x = image().set_requires_grad(true);
  const at::Tensor shortcut = image().set_requires_grad(true);
  const at::Tensor dy = image();
  const BatchNormTensors norm = {at::ones({channels}).set_requires_grad(true),
                                 at::zeros({channels}).set_requires_grad(true),
                                 at::zeros({channels}), at::ones({channels})};
  for (auto _ : state) {
    const at::Tensor y = kFunction(x, norm, shortcut, {.relu = true});
    benchmark::DoNotOptimize(torch::autograd::grad(
        {y}, {x, shortcut, norm.weight, norm.bias}, {dy}));
  }
  // The least: x, shortcut and y forward; dy, y, x, dx, dshortcut backward.
  state.SetBytesProcessed(state.iterations() * x.numel() * 8 *
                          static_cast<int64_t>(sizeof(float)));
}

void Shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"channels", "size", "threads"})
      ->ArgsProduct({{16}, {32}, {1, 2}})
      ->ArgsProduct({{64}, {8}, {1, 2}})
      ->ArgsProduct({{256}, {8}, {1, 2}})
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}
BENCHMARK(Step<BatchNormAct>)->Apply(Shapes);
BENCHMARK(Step<BatchNormActPlain>)->Apply(Shapes);

}  // namespace
}  // namespace altprop::kernels
