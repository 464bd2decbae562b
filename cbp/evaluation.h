// Scores of a batch and of the test images.

#ifndef CBP_EVALUATION_H_
#define CBP_EVALUATION_H_

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "cbp/flags.h"
#include "cbp/images.h"
#include "cbp/network.h"
#include "common/training/position.h"
#include "common/training/stop.h"

namespace altprop::cbp {

// Of `logits` [B, classes] whose mean cross-entropy for `labels` [B] is `loss`.
// Among the five largest: where there are fewer classes, among all.
training::Score ScoreOf(const at::Tensor& logits, const at::Tensor& labels,
                        double loss);

// Every test image once, in evaluation mode, --batch_size at a time. Weights
// are quantized once, not for each batch. A signal ends it early:
// InterruptedError.
absl::StatusOr<training::Score> Evaluate(const Options& options,
                                         const Network& network, Source& test,
                                         const training::StopSignal& stop);

}  // namespace altprop::cbp

#endif  // CBP_EVALUATION_H_
