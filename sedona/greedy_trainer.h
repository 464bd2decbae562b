// Trains the blocks of a decoupled network, one after the other or all at the
// same time.
#ifndef SEDONA_GREEDY_TRAINER_H_
#define SEDONA_GREEDY_TRAINER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/training/optimizer.h"
#include "common/training/position.h"
#include "sedona/greedy.h"
#include "sedona/loss_scaler.h"
#include "sedona/minibatch.h"
#include "sedona/network.h"
#include "sedona/trainer.h"

namespace altprop::sedona {

struct TrainerOptions {
  LossOptions loss;
  // The rate of iteration t, and the dropout masks' generator.
  std::function<double(int64_t)> learning_rate;
  std::function<at::Generator(int64_t)> dropout_generator;
  double dropout = 0;
  // The type of products under autocast; none: the parameters' own.
  std::optional<at::ScalarType> autocast;
  bool scale_loss = false;
  bool threads = false;  // a thread per block, and a scaler for each
  int64_t queue_size = 50;
};

class GreedyTrainer : public Trainer {
 public:
  // `optimizers`: one per block, of BlockParameters(). Shares the network.
  GreedyTrainer(const Network& network,
                std::vector<training::Optimizer> optimizers,
                TrainerOptions options);

  const std::vector<Block>& blocks() const { return blocks_; }
  std::vector<training::Optimizer>& optimizers() { return optimizers_; }

  // Every block's update t is made from what the blocks below
  // it computed before their update t, in whatever order or at whatever time
  // the blocks run: the result is the same. When this returns all blocks have
  // done the same iterations.
  std::vector<StepScore> Run(int64_t first, int64_t last, const NextBatch& next,
                             absl::Status& error) override;

  // One block's update with these gradients of the scaled loss; skipped where
  // they are not finite and losses are scaled. For Run and its test.
  void Update(size_t block, int64_t t, std::vector<at::Tensor> gradients);
  void EndScaledStep(size_t block);

  BlockTimes TakeTimes() override;
  double loss_scale(size_t block) const {
    return scalers_[Scaler(block)].scale();
  }

  // For a checkpoint: a list of the optimizers' states, and of the scalers'.
  training::Dict State() const override;
  absl::Status LoadState(const training::Value& checkpoint,
                         const std::string& file) override;

 private:
  size_t Scaler(size_t block) const { return scalers_.size() == 1 ? 0 : block; }
  // Forward, backward and update of one block.
  BlockStep Step(size_t block, int64_t t, const at::Tensor& x,
                 const at::Tensor& labels, const PassOn& pass_on);
  std::vector<StepScore> RunSequential(int64_t first, int64_t last,
                                       const NextBatch& next,
                                       absl::Status& error);
  std::vector<StepScore> RunThreads(int64_t first, int64_t last,
                                    const NextBatch& next, absl::Status& error);

  const Network network_;
  std::vector<training::Optimizer> optimizers_;
  TrainerOptions options_;
  std::vector<Block> blocks_;
  std::vector<std::vector<at::Tensor>> parameters_;  // of each block
  std::vector<LossScaler> scalers_;
  BlockTimes times_;
};

}  // namespace altprop::sedona

#endif  // SEDONA_GREEDY_TRAINER_H_
