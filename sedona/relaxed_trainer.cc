#include "sedona/relaxed_trainer.h"

#include <chrono>
#include <optional>
#include <utility>

#include "ATen/core/Generator.h"
#include "common/status.h"
#include "sedona/greedy.h"
#include "sedona/supernet.h"

namespace altprop::sedona {

RelaxedTrainer::RelaxedTrainer(const Network& supernet,
                               training::Optimizer optimizer,
                               Relaxation relaxation, TrainerOptions options)
    : supernet_(supernet),
      optimizer_(std::move(optimizer)),
      relaxation_(std::move(relaxation)),
      options_(std::move(options)) {}

StepScore RelaxedTrainer::Step(int64_t t, const Minibatch& batch) {
  at::Generator generator = options_.dropout_generator(t);
  Mode mode;
  mode.training = true;
  mode.differentiable_once = true;
  mode.dropout = options_.dropout;
  mode.generator = &generator;
  const WeightGradient gradient =
      MixedSignals(supernet_, batch.x, batch.labels, relaxation_,
                   options_.loss.smoothing, mode);
  for (size_t g = 0; g < optimizer_.groups().size(); ++g) {
    optimizer_.set_learning_rate(g, options_.learning_rate(t));
  }
  optimizer_.Step(gradient.gradients);
  StepScore score;
  for (const at::Tensor& loss : gradient.losses) {
    score.losses.push_back(loss.item<double>());
  }
  AddScore(gradient.logits, gradient.logits, batch.labels,
           options_.loss.smoothing, score.score);
  return score;
}

std::vector<StepScore> RelaxedTrainer::Run(int64_t first, int64_t last,
                                           const NextBatch& next,
                                           absl::Status& error) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<StepScore> scores;
  for (int64_t t = first; t < last; ++t) {
    const absl::StatusOr<Minibatch> batch = next(t);
    if (!batch.ok()) {
      error = batch.status();
      break;
    }
    scores.push_back(Step(t, *batch));
  }
  times_.wall +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return scores;
}

BlockTimes RelaxedTrainer::TakeTimes() {
  return std::exchange(times_, BlockTimes());
}

training::Dict RelaxedTrainer::State() const {
  return {{"optimizer", optimizer_.State()}};
}

absl::Status RelaxedTrainer::LoadState(const training::Value& checkpoint,
                                       const std::string& file) {
  const auto state = checkpoint.GetDict("optimizer");
  if (!state.ok()) return Annotate(state.status(), file);
  return optimizer_.LoadState(*checkpoint.Find("optimizer"), file);
}

}  // namespace altprop::sedona
