// From images to the network's answer: the input transform of each data set,
// and the free phase over a whole set.

#ifndef EQPROP_EVALUATION_H_
#define EQPROP_EVALUATION_H_

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "common/data/dataset.h"
#include "common/data/loader.h"
#include "common/training/position.h"
#include "common/training/stop.h"
#include "eqprop/equilibrium.h"
#include "eqprop/flags.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

// The input for `images`, uint8 [B, C, H, W]: scaled to [0, 1] and normalised
// as the authors' program does for the data set, [B, C, H, W] of the run's
// type.
at::Tensor EvaluationInput(const Options& options, const at::Tensor& images);

// The same for a training minibatch of a 0-based epoch; with --data_aug after a
// flip and a crop of the image padded by 4 pixels of its edge, draws that are a
// function of the seed, the epoch and the sample.
at::Tensor TrainingInput(const Options& options, int64_t epoch,
                         const data::Batch& batch);

// The clamped input of minibatch `step` of training: with --dropouts under
// masks that are a function of the seed and the step.
Clamped TrainingClamp(const Options& options, const Network& network,
                      const at::Tensor& x, int64_t step);

using training::Score;

// Adds a minibatch, measured at `state` (s*). `labels`: int64 [B].
void Add(const Network& network, const Clamped& input, const State& state,
         const at::Tensor& target, const at::Tensor& labels, Loss loss,
         Score& score);

// T1 free steps from zero for every sample of `set`, in file order, kTestBatch
// at a time. A signal ends it early: InterruptedError.
absl::StatusOr<Score> Evaluate(const Options& options, const Network& network,
                               const data::ImageSet& set,
                               const training::StopSignal& stop);

}  // namespace altprop::eqprop

#endif  // EQPROP_EVALUATION_H_
