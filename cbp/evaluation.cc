#include "cbp/evaluation.h"

#include <algorithm>
#include <tuple>

#include "ATen/core/grad_mode.h"
#include "ATen/ops/cross_entropy_loss.h"
#include "ATen/ops/eq.h"
#include "ATen/ops/topk.h"
#include "common/status.h"

namespace altprop::cbp {

training::Score ScoreOf(const at::Tensor& logits, const at::Tensor& labels,
                        double loss) {
  const at::NoGradGuard no_grad;
  training::Score score;
  score.samples = labels.size(0);
  score.loss_sum = loss * static_cast<double>(score.samples);
  score.correct = logits.argmax(1).eq(labels).sum().item<int64_t>();
  const int64_t most = std::min<int64_t>(5, logits.size(1));
  score.correct5 = std::get<1>(at::topk(logits, most, 1))
                       .eq(labels.unsqueeze(1))
                       .sum()
                       .item<int64_t>();
  return score;
}

absl::StatusOr<training::Score> Evaluate(const Options& options,
                                         const Network& network, Source& test,
                                         const training::StopSignal& stop) {
  const at::NoGradGuard no_grad;
  training::Score score;
  for (int64_t i = 0; i < test.batches(); ++i) {
    if (stop.Requested() != 0) return InterruptedError(stop.Requested());
    ALTPROP_ASSIGN_OR_RETURN(const data::Batch batch, test.Get(0, i));
    const at::Tensor labels = batch.labels.to(options.run.device);
    const at::Tensor logits =
        network.Forward(EvaluationInput(options, batch.images), false);
    score += ScoreOf(
        logits, labels,
        at::cross_entropy_loss(logits, labels).to(at::kDouble).item<double>());
  }
  return score;
}

}  // namespace altprop::cbp
