#include "iterbin/evaluation.h"

#include "ATen/core/grad_mode.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status.h"
#include "common/training/precision.h"
#include "iterbin/score.h"

namespace altprop::iterbin {

absl::StatusOr<Evaluation> Evaluate(const Options& options,
                                    const Network& network, const Flags& binary,
                                    const data::ImageSet& set, const Pass& pass,
                                    int64_t batch_size,
                                    const training::StopSignal& stop) {
  const at::NoGradGuard no_grad;
  const absl::Time begin = absl::Now();
  const Weights weights = EffectiveWeights(network, binary);
  const auto operands = training::OperandDtypeOf(options.run.precision);
  Evaluation result;
  double sum = 0;
  for (int64_t i = 0; i < Batches(set, batch_size); ++i) {
    if (stop.Requested() != 0) return InterruptedError(stop.Requested());
    const Minibatch batch = GetBatch(options, set, pass, batch_size, i);
    const at::Tensor output =
        Forward(network, weights, batch.x, /*training=*/false, operands);
    const double mean = Loss(network, output, batch.labels).item().toDouble();
    training::Score score = ScoreOf(output, batch.labels, mean);
    sum += score.loss_sum;
    score.loss_sum = mean;
    result.score += score;
  }
  result.mean_loss = sum / static_cast<double>(result.score.samples);
  result.weights = Statistics(weights.weight, binary);
  result.seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  return result;
}

}  // namespace altprop::iterbin
