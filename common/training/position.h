// Where training stands between two minibatches, and what it has scored.
#ifndef COMMON_TRAINING_POSITION_H_
#define COMMON_TRAINING_POSITION_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/training/value.h"

namespace altprop::training {

// A count over samples.
struct Score {
  double loss_sum = 0;
  int64_t correct = 0;   // the label has the largest output
  int64_t correct5 = 0;  // one of the five largest; 0 where nobody counts
  int64_t samples = 0;

  Score& operator+=(const Score& other);
  double loss() const { return Mean(loss_sum); }
  double accuracy() const { return Mean(static_cast<double>(correct)); }
  double accuracy5() const { return Mean(static_cast<double>(correct5)); }

 private:
  double Mean(double sum) const {
    return samples == 0 ? 0 : sum / static_cast<double>(samples);
  }
};

struct Position {
  int64_t epoch = 0;  // epochs finished
  int64_t batch = 0;  // minibatches done of the next one
  int64_t step = 0;   // updates since training began
  Score running;      // this epoch so far, each minibatch before its update
  int64_t best_correct = -1;  // of the evaluation that decides, over all epochs
  int64_t best_epoch = 0;     // 1-based; 0: none yet

  // After an epoch: the next one's beginning.
  void NextEpoch();
  // Whether `evaluated` is the best so far; then it is remembered, for the
  // epochs that are finished.
  bool IsBest(const Score& evaluated);
};

// The entries of a checkpoint that hold a position: epoch, step, loader,
// running, best.
Dict PositionEntries(const Position& position);

// The reverse. The caller adds the file's name.
absl::StatusOr<Position> ReadPosition(const Value& checkpoint);

// Whether the position fits epochs of `batches` minibatches. `file`: the
// checkpoint; `batch_flag`: how the batch size was given, "--mbs=20".
absl::Status CheckPosition(const std::string& file, const Position& at,
                           absl::string_view batch_flag, int64_t batches);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_POSITION_H_
