#include "sedona/greedy_trainer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status.h"
#include "sedona/autocast.h"
#include "sedona/bounded_queue.h"

namespace altprop::sedona {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Work {
  int64_t t = 0;
  at::Tensor x, labels;
};

}  // namespace

GreedyTrainer::GreedyTrainer(const Network& network,
                             std::vector<training::Optimizer> optimizers,
                             TrainerOptions options)
    : network_(network),
      optimizers_(std::move(optimizers)),
      options_(std::move(options)),
      blocks_(Blocks(network)),
      scalers_(options_.threads ? blocks_.size() : 1) {
  CHECK_EQ(optimizers_.size(), blocks_.size());
  TakeTimes();
  for (const Block& block : blocks_) {
    parameters_.push_back(TensorsOf(BlockParameters(network, block)));
  }
}

std::vector<StepScore> GreedyTrainer::Run(int64_t first, int64_t last,
                                          const NextBatch& next,
                                          absl::Status& error) {
  const Clock::time_point start = Clock::now();
  std::vector<StepScore> scores = options_.threads
                                      ? RunThreads(first, last, next, error)
                                      : RunSequential(first, last, next, error);
  times_.wall += SecondsSince(start);
  return scores;
}

BlockTimes GreedyTrainer::TakeTimes() {
  return std::exchange(times_, {0, std::vector<double>(blocks_.size(), 0)});
}

void GreedyTrainer::Update(size_t block, int64_t t,
                           std::vector<at::Tensor> gradients) {
  if (options_.scale_loss && !scalers_[Scaler(block)].Unscale(gradients)) {
    return;
  }
  training::Optimizer& optimizer = optimizers_[block];
  for (size_t g = 0; g < optimizer.groups().size(); ++g) {
    optimizer.set_learning_rate(g, options_.learning_rate(t));
  }
  optimizer.Step(gradients);
}

void GreedyTrainer::EndScaledStep(size_t block) {
  // A scaler that blocks share is done after the last of them.
  const bool last = scalers_.size() > 1 || block + 1 == blocks_.size();
  if (options_.scale_loss && last) scalers_[Scaler(block)].Update();
}

BlockStep GreedyTrainer::Step(size_t block, int64_t t, const at::Tensor& x,
                              const at::Tensor& labels, const PassOn& pass_on) {
  const Clock::time_point start = Clock::now();
  Mode mode;
  mode.training = true;
  mode.differentiable_once = true;
  std::optional<at::Generator> generator;
  // Only a head drops out.
  if (options_.dropout > 0 && block + 1 == blocks_.size()) {
    generator = options_.dropout_generator(t);
    mode.dropout = options_.dropout;
    mode.generator = &*generator;
  }
  BlockStep step;
  {
    const Autocast autocast(options_.autocast, x.device().type());
    step = ForwardBackward(
        network_, blocks_[block], Arrange(x, mode), labels, parameters_[block],
        options_.loss, mode,
        options_.scale_loss ? scalers_[Scaler(block)].scale() : 1, pass_on);
  }
  Update(block, t, std::move(step.gradients));
  EndScaledStep(block);
  times_.busy[block] += SecondsSince(start);
  return step;
}

std::vector<StepScore> GreedyTrainer::RunSequential(int64_t first, int64_t last,
                                                    const NextBatch& next,
                                                    absl::Status& error) {
  std::vector<StepScore> scores;
  for (int64_t t = first; t < last; ++t) {
    absl::StatusOr<Minibatch> batch = next(t);
    if (!batch.ok()) {
      error = batch.status();
      break;
    }
    StepScore& score = scores.emplace_back();
    at::Tensor x = std::move(batch->x);
    for (size_t j = 0; j < blocks_.size(); ++j) {
      BlockStep step = Step(j, t, x, batch->labels, {});
      x = std::move(step.passed_on);
      score.losses.push_back(step.loss.item<double>());
      if (j + 1 == blocks_.size()) {
        AddScore(step.logits, step.logits, batch->labels,
                 options_.loss.smoothing, score.score);
      }
    }
  }
  return scores;
}

std::vector<StepScore> GreedyTrainer::RunThreads(int64_t first, int64_t last,
                                                 const NextBatch& next,
                                                 absl::Status& error) {
  const size_t k = blocks_.size();
  std::vector<std::unique_ptr<BoundedQueue<Work>>> queues;
  for (size_t j = 0; j < k; ++j) {
    queues.push_back(std::make_unique<BoundedQueue<Work>>(
        static_cast<size_t>(options_.queue_size)));
  }
  const int all = at::get_num_threads();
  const int share = std::max(1, all / std::max(1, static_cast<int>(k)));
  // A row per block: its thread alone writes it.
  std::vector<std::vector<double>> losses(k);
  std::vector<training::Score> heads;
  std::atomic<bool> failed = false;
  std::vector<std::string> failures(k);
  const auto compute = [&](size_t j, const Work& item) {
    const BlockStep step =
        Step(j, item.t, item.x, item.labels, [&](const at::Tensor& h) {
          if (j + 1 < k) queues[j + 1]->Put({item.t, h, item.labels});
        });
    losses[j].push_back(step.loss.item<double>());
    if (j + 1 == k) {
      AddScore(step.logits, step.logits, item.labels, options_.loss.smoothing,
               heads.emplace_back());
    }
  };
  // LibTorch throws (out of memory, say). Then the others stop working, but go
  // on taking, so that nobody waits for a queue.
  const auto work = [&](size_t j, const Work& item) {
    if (failed) return;
    try {
      compute(j, item);
    } catch (const std::exception& exception) {
      failures[j] = exception.what();
      failed = true;
    }
  };
  std::vector<std::thread> threads;
  for (size_t j = 1; j < k; ++j) {
    threads.emplace_back([&, j] {
      at::set_num_threads(share);
      while (const std::optional<Work> item = queues[j]->Take()) work(j, *item);
      if (j + 1 < k) queues[j + 1]->Close();
    });
  }
  at::set_num_threads(share);
  for (int64_t t = first; t < last && !failed; ++t) {
    absl::StatusOr<Minibatch> batch = next(t);
    if (!batch.ok()) {
      error = batch.status();
      break;
    }
    work(0, {t, std::move(batch->x), std::move(batch->labels)});
  }
  if (k > 1) queues[1]->Close();
  for (std::thread& thread : threads) thread.join();
  at::set_num_threads(all);
  for (size_t j = 0; j < k; ++j) {
    if (failures[j].empty()) continue;
    error = absl::InternalError(absl::StrCat(
        "block ", j + 1, ": ",
        std::string(failures[j].substr(0, failures[j].find('\n')))));
    return {};
  }

  std::vector<StepScore> scores(heads.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    scores[i].score = heads[i];
    for (size_t j = 0; j < k; ++j) scores[i].losses.push_back(losses[j][i]);
  }
  return scores;
}

training::Dict GreedyTrainer::State() const {
  training::List states, scalers;
  for (const training::Optimizer& optimizer : optimizers_) {
    states.push_back(optimizer.State());
  }
  training::Dict state = {{"optimizer", std::move(states)}};
  if (!options_.scale_loss) return state;
  for (const LossScaler& scaler : scalers_) scalers.push_back(scaler.ToValue());
  state.emplace_back("scaler", std::move(scalers));
  return state;
}

absl::Status GreedyTrainer::LoadState(const training::Value& checkpoint,
                                      const std::string& file) {
  const auto states = checkpoint.GetList("optimizer");
  if (!states.ok()) return Annotate(states.status(), file);
  if ((*states)->size() != optimizers_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": has the optimizers of ", (*states)->size(),
                     " blocks, expected ", optimizers_.size()));
  }
  for (size_t j = 0; j < optimizers_.size(); ++j) {
    ALTPROP_RETURN_IF_ERROR(optimizers_[j].LoadState((**states)[j], file));
  }
  if (!options_.scale_loss) return absl::OkStatus();
  const auto scalers = checkpoint.GetList("scaler");
  if (!scalers.ok()) return Annotate(scalers.status(), file);
  for (size_t j = 0; j < scalers_.size() && j < (*scalers)->size(); ++j) {
    const absl::Status loaded = scalers_[j].FromValue((**scalers)[j]);
    if (!loaded.ok()) return Annotate(loaded, file);
  }
  return absl::OkStatus();
}

}  // namespace altprop::sedona
