// Scoring: loss, top 1 and top 5.

#ifndef FTPROP_EVALUATION_H_
#define FTPROP_EVALUATION_H_

#include <cstdint>
#include <functional>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "common/training/position.h"
#include "common/training/stop.h"
#include "ftprop/data.h"
#include "ftprop/flags.h"
#include "ftprop/network.h"

namespace altprop::ftprop {

// What a minibatch adds: `loss` is its mean, logits are [N, C], labels int64
// [N]. With fewer than five classes top 5 is all of them.
training::Score ScoreOf(double loss, const at::Tensor& logits,
                        const at::Tensor& labels);

// `score` with that in `correct` which decides which weights are the best: top
// 5 on ImageNet, top 1 elsewhere, and where every answer is among five classes.
training::Score SelectionScore(const DataSpec& data, int64_t classes,
                               training::Score score);

// Called with each minibatch's number and hidden layers, if it returned true
// for the number before.
struct HiddenObserver {
  std::function<bool(int64_t batch)> wants;
  std::function<void(const std::vector<at::Tensor>& inputs,
                     const std::vector<at::Tensor>& outputs)>
      take;
};

// The whole of `source`, in evaluation mode. Cancelled after a signal; errors
// of the source; DataLoss where the loss is not finite.
absl::StatusOr<training::Score> Evaluate(const Options& options,
                                         const Network& network, Source& source,
                                         const training::StopSignal& stop,
                                         const HiddenObserver& observer = {});

// The forward pass in what --precision says, --dropout included.
Pass PassOf(const Options& options, bool training, int64_t step);

}  // namespace altprop::ftprop

#endif  // FTPROP_EVALUATION_H_
