#include "ftprop/evaluation.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "ATen/core/grad_mode.h"
#include "ATen/ops/topk.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/training/precision.h"
#include "ftprop/loss.h"

namespace altprop::ftprop {

training::Score ScoreOf(double loss, const at::Tensor& logits,
                        const at::Tensor& labels) {
  constexpr int64_t kMost = 5;
  const int64_t k = std::min(kMost, logits.size(1));
  const at::Tensor best = std::get<1>(at::topk(logits.detach(), k, 1));
  const at::Tensor hits = best.eq(labels.unsqueeze(1)).sum(0).cpu();
  training::Score score;
  score.samples = logits.size(0);
  score.loss_sum = loss * static_cast<double>(score.samples);
  score.correct = hits[0].item<int64_t>();
  score.correct5 = hits.sum().item<int64_t>();
  return score;
}

Pass PassOf(const Options& options, bool training, int64_t step) {
  Pass pass;
  pass.training = training;
  pass.dropout = options.dropout;
  pass.seed = options.run.seed;
  pass.step = step;
  pass.bf16 = options.run.precision == training::Precision::kBf16;
  return pass;
}

training::Score SelectionScore(const DataSpec& data, int64_t classes,
                               training::Score score) {
  if (data.name == "imagenet" && classes > 5) score.correct = score.correct5;
  return score;
}

absl::StatusOr<training::Score> Evaluate(const Options& options,
                                         const Network& network, Source& source,
                                         const training::StopSignal& stop,
                                         const HiddenObserver& observer) {
  const at::NoGradGuard no_grad;
  const at::ScalarType dtype = training::DtypeOf(options.run.precision);
  std::vector<at::Tensor> inputs, outputs;
  training::Score score;
  for (int64_t index = 0; index < source.batches_per_epoch(); ++index) {
    if (stop.Requested() != 0) return InterruptedError(stop.Requested());
    ALTPROP_ASSIGN_OR_RETURN(const data::Batch batch, source.Get(0, index));
    const bool observed = observer.wants && observer.wants(index);
    Pass pass = PassOf(options, /*training=*/false, 0);
    if (observed) {
      pass.inputs = &inputs;
      pass.outputs = &outputs;
    }
    const at::Tensor x = NetworkInput(options.data, batch, /*training=*/false,
                                      dtype, options.run.device);
    const at::Tensor labels = batch.labels.to(options.run.device);
    const at::Tensor logits = Forward(network, x, pass);
    const double loss =
        OutputLoss(options.loss, logits, labels).item().toDouble();
    if (observed) observer.take(inputs, outputs);
    score += ScoreOf(loss, logits, labels);
  }
  if (!std::isfinite(score.loss())) {
    return absl::DataLossError(
        absl::StrCat("the loss of an evaluation is ", score.loss()));
  }
  return score;
}

}  // namespace altprop::ftprop
