// Scoring a network on a split.

#ifndef ITERBIN_EVALUATION_H_
#define ITERBIN_EVALUATION_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/training/position.h"
#include "common/training/stop.h"
#include "iterbin/data.h"
#include "iterbin/flags.h"
#include "iterbin/network.h"

namespace altprop::iterbin {

struct Evaluation {
  // The authors' loss is the sum of the minibatches' means over the number of
  // samples, too small by about the batch size: loss_sum is that sum.
  training::Score score;
  double mean_loss = 0;      // of a sample
  WeightStatistics weights;  // of those evaluated with
  double seconds = 0;
};

// Minibatch after minibatch of the pass, batch norm with running statistics.
// A signal ends it early: InterruptedError.
absl::StatusOr<Evaluation> Evaluate(const Options& options,
                                    const Network& network, const Flags& binary,
                                    const data::ImageSet& set, const Pass& pass,
                                    int64_t batch_size,
                                    const training::StopSignal& stop);

}  // namespace altprop::iterbin

#endif  // ITERBIN_EVALUATION_H_
