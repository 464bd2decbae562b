// Whole steps: greedy ones of the published decouplings beside backpropagation
// through the same network, a step of a supernet, a meta-iteration. Batch 128
// of CIFAR-10's size, float32, two threads.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randint.h"
#include "ATen/ops/zeros.h"
#include "benchmark/benchmark.h"
#include "common/logging.h"
#include "common/training/memory.h"
#include "common/training/optimizer.h"
#include "sedona/decoupling.h"
#include "sedona/greedy.h"
#include "sedona/greedy_trainer.h"
#include "sedona/meta.h"
#include "sedona/relaxation.h"
#include "sedona/supernet.h"
#include "sedona/variables.h"

namespace altprop::sedona {
namespace {

constexpr int kThreads = 2;
constexpr double kRate = 0.01;

Minibatch Random(int64_t n) {
  return {at::rand({n, 3, 32, 32}), at::randint(10, {n}, at::kLong)};
}

Network Prepared(Network network) {
  training::KeepFreedMemory();  // as the programs do
  at::set_num_threads(kThreads);
  Initialise(network, 0);
  RequireGradients(network);
  return network;
}

Network Published(const std::string& name, int64_t k) {
  Architecture architecture;
  architecture.name = name;
  const auto variables = ReadVariables("sedona_outputs/" + name);
  CHECK(variables.ok()) << variables.status();
  auto network = MakeNetwork(
      architecture,
      ChooseAux(architecture, Decode(variables->alpha, variables->beta, k),
                AuxKind::kMlpSr));
  CHECK(network.ok()) << network.status();
  return Prepared(*std::move(network));
}

Network Supernet(const std::string& name) {
  Architecture architecture;
  architecture.name = name;
  auto network = MakeNetwork(architecture, SupernetAux(architecture, false));
  CHECK(network.ok()) << network.status();
  return Prepared(*std::move(network));
}

training::Optimizer Momentum(const training::NamedTensors& parameters) {
  training::ParameterGroup group;
  group.parameters = Detached(parameters);
  group.learning_rate = kRate;
  group.weight_decay = 1e-4;
  return training::Optimizer::Sgd({std::move(group)}, 0.9);
}

// range(0): K, 1 for backpropagation. range(1): a thread per block.
void GreedyStep(benchmark::State& state, const std::string& name) {
  const Network network = Published(name, state.range(0));
  std::vector<training::Optimizer> optimizers;
  for (const Block& block : Blocks(network)) {
    optimizers.push_back(Momentum(BlockParameters(network, block)));
  }
  TrainerOptions options;
  options.learning_rate = [](int64_t) { return kRate; };
  options.threads = state.range(1) != 0;
  GreedyTrainer trainer(network, std::move(optimizers), options);
  const Minibatch batch = Random(128);
  constexpr int64_t kSteps = 4;  // a pipeline fills and empties
  absl::Status error;
  for (auto _ : state) {
    trainer.Run(
        0, kSteps, [&](int64_t) { return batch; }, error);
  }
  CHECK(error.ok()) << error;
  const BlockTimes times = trainer.TakeTimes();
  for (size_t j = 0; j < times.busy.size(); ++j) {
    state.counters["busy_" + std::to_string(j + 1)] =
        times.busy[j] / times.wall;
  }
  state.SetItemsProcessed(state.iterations() * kSteps * 128);
}
BENCHMARK_CAPTURE(GreedyStep, vgg19, "vgg19")
    ->Args({1, 0})
    ->Args({4, 0})
    ->Args({4, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(GreedyStep, resnet50, "resnet50")
    ->Args({1, 0})
    ->Args({4, 0})
    ->Args({4, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void PretrainingStep(benchmark::State& state) {
  const Network network = Supernet("vgg19");
  training::Optimizer optimizer = Momentum(Parameters(network));
  const Relaxation relaxation = Relax(at::zeros({15, 2}), at::Tensor());
  const Minibatch batch = Random(128);
  Mode mode;
  mode.training = true;
  mode.differentiable_once = true;
  for (auto _ : state) {
    optimizer.Step(
        MixedSignals(network, batch.x, batch.labels, relaxation, 0.1, mode)
            .gradients);
  }
}
BENCHMARK(PretrainingStep)->Unit(benchmark::kMillisecond)->UseRealTime();

// T = 2, batches of 32, 128 validation images.
void MetaIteration(benchmark::State& state) {
  const Network network = Supernet("vgg19");
  const training::Optimizer optimizer = Momentum(Parameters(network));
  const at::Tensor alpha = at::zeros({15, 2}).set_requires_grad(true);
  const at::Tensor beta = at::zeros({15, 4}).set_requires_grad(true);
  MetaOptions options;
  options.objective = static_cast<MetaObjective>(state.range(0));
  options.inner.learning_rate = kRate;
  options.inner.momentum = 0.9;
  options.mode.training = true;
  for (auto _ : state) {
    benchmark::DoNotOptimize(MetaGradient(network, optimizer.State(), alpha,
                                          beta, {Random(32), Random(32)},
                                          Random(128), options));
  }
}
BENCHMARK(MetaIteration)
    ->Arg(static_cast<int>(MetaObjective::kValid))
    ->Arg(static_cast<int>(MetaObjective::kLastInner))
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace altprop::sedona
