// Fills a weight memory: trains the supernet with alpha = 0, every candidate
// counting equally, and keeps snapshots on the way.
#ifndef SEDONA_PRETRAINING_H_
#define SEDONA_PRETRAINING_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/training/optimizer.h"
#include "common/training/position.h"
#include "common/training/stop.h"
#include "sedona/flags.h"
#include "sedona/input.h"
#include "sedona/memory.h"
#include "sedona/network.h"
#include "sedona/relaxation.h"

namespace altprop::sedona {

struct PretrainingStep {
  std::vector<double> losses;  // of the units, before the update
  double composite = 0;
  training::Score head;
  bool snapshot = false;  // one was taken
  training::Score valid;  // of the first validation batch, then
};

// The learning rate of iteration t.
double PretrainingRate(const Options& options, int64_t t);

class Pretraining {
 public:
  // All of them must outlive it.
  Pretraining(const Options& options, Inputs& inputs, const Network& network,
              training::Optimizer& optimizer, WeightMemory& memory,
              const training::StopSignal& stop);

  // Iteration t. Every max(1, train_iters / 500) iterations, the first
  // included, a snapshot goes into the memory.
  absl::StatusOr<PretrainingStep> Step(int64_t t);

 private:
  const Options& options_;
  Inputs& inputs_;
  const Network& network_;
  training::Optimizer& optimizer_;
  WeightMemory& memory_;
  const training::StopSignal& stop_;
  Relaxation relaxation_;
};

}  // namespace altprop::sedona

#endif  // SEDONA_PRETRAINING_H_
