#include "eqprop/evaluation.h"

#include <algorithm>

#include "ATen/ops/eq.h"
#include "ATen/ops/sum.h"
#include "common/kernels/augment.h"
#include "common/status.h"
#include "eqprop/dropout.h"
#include "eqprop/phases.h"

namespace altprop::eqprop {

namespace {

// What the authors' program does to the bytes of an image: v/255, then
// (v - mean)/std per channel.
struct Normalisation {
  std::vector<double> mean, std;
};

Normalisation NormalisationOf(const std::string& dataset) {
  if (dataset == "cifar10") {
    // 3 times the usual deviations, which keeps the inputs within +-0.9.
    return {{0.4914, 0.4822, 0.4465}, {3 * 0.2023, 3 * 0.1994, 3 * 0.2010}};
  }
  return {{0}, {1}};
}

// Evaluation drops nothing, but keeps the factors.
Dropout EvaluationDropout(const Options& options) {
  if (options.dropout.empty()) return {};
  return {
      {},
      DropoutFactors(options.dropout, options.TrainingDynamics().linear_output,
                     options.rule.semantics)};
}

// Pixels of the edge to add on each side before a crop.
constexpr int64_t kPad = 4;

}  // namespace

at::Tensor EvaluationInput(const Options& options, const at::Tensor& images) {
  const Normalisation norm = NormalisationOf(options.dataset);
  return kernels::Normalize(images, norm.mean, norm.std,
                            training::DtypeOf(options.run.precision));
}

at::Tensor TrainingInput(const Options& options, int64_t epoch,
                         const data::Batch& batch) {
  if (!options.augment_data) return EvaluationInput(options, batch.images);
  const Normalisation norm = NormalisationOf(options.dataset);
  const at::Tensor draws = data::AugmentationDraws(options.run.seed, epoch,
                                                   batch.sample_ids.cpu(), kPad)
                               .to(batch.images.device());
  return kernels::Augment(batch.images, draws, kPad, /*replicate_edge=*/true,
                          norm.mean, norm.std,
                          training::DtypeOf(options.run.precision));
}

Clamped TrainingClamp(const Options& options, const Network& network,
                      const at::Tensor& x, int64_t step) {
  if (options.dropout.empty()) return Clamp(network, x);
  DroppedInput dropped =
      DrawDropout(network, x, options.dropout, EvaluationDropout(options).keep,
                  options.run.seed, step);
  return Clamp(network, dropped.x, std::move(dropped.dropout));
}

void Add(const Network& network, const Clamped& input, const State& state,
         const at::Tensor& target, const at::Tensor& labels, Loss loss,
         Score& score) {
  const at::Tensor output = Output(network, input, state);
  score.loss_sum += LossPerSample(loss, output, target).sum().item<double>();
  score.correct += output.argmax(1).eq(labels).sum().item<int64_t>();
  score.samples += labels.size(0);
}

absl::StatusOr<Score> Evaluate(const Options& options, const Network& network,
                               const data::ImageSet& set,
                               const training::StopSignal& stop) {
  const Dynamics dynamics =
      EvaluationDynamics(options.loss, options.architecture.softmax,
                         options.rule.semantics == Semantics::kReference);
  const Dropout dropout = EvaluationDropout(options);
  Score score;
  for (int64_t first = 0; first < set.size(); first += kTestBatch) {
    if (stop.Requested() != 0) return InterruptedError(stop.Requested());
    const int64_t count = std::min(kTestBatch, set.size() - first);
    const at::Tensor labels = set.labels.narrow(0, first, count);
    const Clamped input = Clamp(
        network, EvaluationInput(options, set.images.narrow(0, first, count)),
        dropout);
    const State free = FreePhase(network, input, options.free_steps, dynamics,
                                 options.path, {}, options.relax);
    Add(network, input, free, OneHot(labels, network.classes(), input.x),
        labels, options.loss, score);
  }
  return score;
}

}  // namespace altprop::eqprop
