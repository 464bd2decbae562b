// What the training loop asks of those who train.
#ifndef SEDONA_TRAINER_H_
#define SEDONA_TRAINER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/training/position.h"
#include "common/training/value.h"
#include "sedona/minibatch.h"

namespace altprop::sedona {

// One iteration: the blocks' losses before their updates, and the head's score.
struct StepScore {
  std::vector<double> losses;
  training::Score score;
};

// What a stretch of iterations cost: its seconds, and those that each block
// computed.
struct BlockTimes {
  double wall = 0;
  std::vector<double> busy;
};

// The minibatch of iteration t.
using NextBatch = std::function<absl::StatusOr<Minibatch>(int64_t t)>;

class Trainer {
 public:
  virtual ~Trainer() = default;

  // Iterations `first` to `last` - 1, or fewer when `next` fails; its error is
  // then in `error`. When this returns all blocks have done the same ones.
  virtual std::vector<StepScore> Run(int64_t first, int64_t last,
                                     const NextBatch& next,
                                     absl::Status& error) = 0;

  // Since the last call.
  virtual BlockTimes TakeTimes() = 0;

  // A checkpoint's entries, and back; errors name `file`.
  virtual training::Dict State() const = 0;
  virtual absl::Status LoadState(const training::Value& checkpoint,
                                 const std::string& file) = 0;
};

}  // namespace altprop::sedona

#endif  // SEDONA_TRAINER_H_
