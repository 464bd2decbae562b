#include "sedona/pretraining.h"

#include <algorithm>
#include <utility>

#include "ATen/ops/zeros.h"
#include "common/status.h"
#include "common/training/finite.h"
#include "common/training/schedule.h"
#include "sedona/greedy.h"
#include "sedona/setup.h"
#include "sedona/supernet.h"

namespace altprop::sedona {
namespace {

constexpr int64_t kSnapshots = 500;  // offered in all

}  // namespace

Pretraining::Pretraining(const Options& options, Inputs& inputs,
                         const Network& network, training::Optimizer& optimizer,
                         WeightMemory& memory, const training::StopSignal& stop)
    : options_(options),
      inputs_(inputs),
      network_(network),
      optimizer_(optimizer),
      memory_(memory),
      stop_(stop),
      relaxation_(Relax(
          at::zeros(
              {static_cast<int64_t>(network.units.size()) - 1, 2},
              at::TensorOptions(options.dtype()).device(options.run.device)),
          at::Tensor())) {}

// Pretraining always anneals, also where a search that goes by milestones fills
// its memory first.
double PretrainingRate(const Options& options, int64_t t) {
  return training::CosineAnnealing(options.lr, t, options.train_iters,
                                   options.lr_min);
}

absl::StatusOr<PretrainingStep> Pretraining::Step(int64_t t) {
  const int64_t batches = inputs_.train->batches();
  ALTPROP_ASSIGN_OR_RETURN(const Minibatch batch,
                           inputs_.train->Get(t / batches, t % batches));
  at::Generator generator = DropoutGenerator(options_, t);
  Mode mode;
  mode.training = true;
  mode.differentiable_once = true;
  mode.dropout = options_.dropout;
  mode.generator = &generator;
  const WeightGradient gradient = MixedSignals(
      network_, batch.x, batch.labels, relaxation_, options_.smoothing, mode);
  PretrainingStep step;
  step.composite = gradient.composite.item<double>();
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite(
      "composite loss", step.composite, t / batches + 1, t + 1));
  for (const at::Tensor& loss : gradient.losses) {
    step.losses.push_back(loss.item<double>());
  }
  AddScore(gradient.logits, gradient.logits, batch.labels, options_.smoothing,
           step.head);
  SetLearningRate(PretrainingRate(options_, t), optimizer_);
  optimizer_.Step(gradient.gradients);
  // A snapshot holds the next iteration's rate.
  SetLearningRate(PretrainingRate(options_, t + 1), optimizer_);
  if (t % std::max<int64_t>(1, options_.train_iters / kSnapshots) == 0) {
    ALTPROP_ASSIGN_OR_RETURN(
        step.valid, ScoreFeed(options_, network_, *inputs_.valid, stop_,
                              /*ensemble=*/1, /*batches=*/1));
    step.snapshot = true;
    memory_.Insert({t, DeepCopy(training::ModelDict(State(network_))),
                    DeepCopy(optimizer_.State()), 1 - step.valid.accuracy()});
  }
  return step;
}

}  // namespace altprop::sedona
