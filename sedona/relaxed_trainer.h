// Trains a whole supernet with the signals that fixed alpha and beta mix
// (--eval_continuous), as pretraining does with alpha = 0.
#ifndef SEDONA_RELAXED_TRAINER_H_
#define SEDONA_RELAXED_TRAINER_H_

#include <string>
#include <vector>

#include "common/training/optimizer.h"
#include "sedona/greedy_trainer.h"
#include "sedona/network.h"
#include "sedona/relaxation.h"
#include "sedona/trainer.h"

namespace altprop::sedona {

class RelaxedTrainer : public Trainer {
 public:
  // `optimizer`: a group per unit. `options`: the loss' smoothing, the rates
  // and the dropout; nothing else.
  RelaxedTrainer(const Network& supernet, training::Optimizer optimizer,
                 Relaxation relaxation, TrainerOptions options);

  std::vector<StepScore> Run(int64_t first, int64_t last, const NextBatch& next,
                             absl::Status& error) override;
  BlockTimes TakeTimes() override;
  training::Dict State() const override;
  absl::Status LoadState(const training::Value& checkpoint,
                         const std::string& file) override;

 private:
  StepScore Step(int64_t t, const Minibatch& batch);

  const Network supernet_;
  training::Optimizer optimizer_;
  Relaxation relaxation_;
  TrainerOptions options_;
  BlockTimes times_;
};

}  // namespace altprop::sedona

#endif  // SEDONA_RELAXED_TRAINER_H_
