// One training step of each network, all layers binary: forward, backward,
// update. Argument 1 of the perceptrons: written out (1) or by autograd (0); of
// the others: channels last (1) or not (0).
//
//   tools/bazel run -c opt //iterbin:step_benchmark

#include <string>

#include "ATen/TensorOperators.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randint.h"
#include "benchmark/benchmark.h"
#include "common/models/init.h"
#include "common/training/optimizer.h"
#include "iterbin/network.h"
#include "iterbin/perceptron.h"

namespace altprop::iterbin {
namespace {

void Step(benchmark::State& state, const std::string& name, int64_t batch) {
  Network network = MakeNamed(name, models::SeededGenerator(0));
  const bool fast = state.range(0) == 1;
  const bool perceptron = IsPerceptron(network);
  network.channels_last = fast;
  auto optimizer =
      name == "resnet20"
          ? training::Optimizer::Sgd({{network.parameters(), 0.1, 1e-4}}, 0.9)
          : training::Optimizer::Adam({{network.parameters(), 0.01, 0}});
  at::Generator generator = models::SeededGenerator(1);
  const int64_t size = perceptron ? 28 : 32;
  const at::Tensor x =
      at::rand({batch, perceptron ? 1 : 3, size, size}, generator, at::kFloat);
  const at::Tensor labels = at::randint(0, 10, {batch}, generator, at::kLong);
  const Flags binary(network.layers.size(), true);
  for (auto _ : state) {
    const Gradients g =
        perceptron && fast
            ? PerceptronGradients(network, binary, x, labels)
            : LossGradients(network, binary, x, labels, at::kFloat);
    optimizer.Step(g.gradients);
  }
  state.SetItemsProcessed(state.iterations() * batch);
}

BENCHMARK_CAPTURE(Step, mlp300, "300", 100)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(Step, mlp784, "784", 100)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(Step, vgg5, "vgg5", 100)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(Step, vgg9, "vgg9", 100)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(Step, resnet20, "resnet20", 128)
    ->Arg(0)
    ->Arg(1)
    ->UseRealTime();

}  // namespace
}  // namespace altprop::iterbin
