#include "sedona/greedy.h"

#include <algorithm>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/log_softmax.h"
#include "ATen/ops/topk.h"
#include "common/logging.h"
#include "sedona/losses.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::sedona {
namespace {

// Losses are taken in float where the network computes in half precision.
at::Tensor AtLeastFloat(const at::Tensor& x) {
  const bool half =
      x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf;
  return half ? x.to(at::kFloat) : x;
}

}  // namespace

std::vector<Block> Blocks(const Network& network) {
  std::vector<Block> blocks;
  size_t first = 0;
  for (size_t i = 0; i < network.units.size(); ++i) {
    if (!network.units[i].ends_block()) continue;
    blocks.push_back({first, i});
    first = i + 1;
  }
  return blocks;
}

std::vector<AuxChoice> ChooseAux(const Architecture& architecture,
                                 const Decoupling& cuts, AuxKind baseline) {
  std::vector<AuxChoice> aux(
      static_cast<size_t>(UnitCount(architecture.name) - 1));
  for (size_t j = 0; j < cuts.cuts.size(); ++j) {
    AuxChoice& choice = aux[static_cast<size_t>(cuts.cuts[j])];
    if (cuts.candidates.empty()) {
      choice.kind = baseline;
    } else {
      choice = {AuxKind::kLight,
                architecture.min_depth + cuts.candidates[j] + 1};
    }
  }
  return aux;
}

training::NamedTensors BlockParameters(const Network& network,
                                       const Block& block) {
  training::NamedTensors parameters;
  for (size_t i = block.first; i <= block.last; ++i) {
    for (auto& parameter : UnitParameters(network, i)) {
      parameters.push_back(std::move(parameter));
    }
  }
  return parameters;
}

at::Tensor LocalLoss(const LocalOutput& output, const at::Tensor& labels,
                     const LossOptions& options) {
  if (output.similarity.defined()) {
    return PredSimLoss(AtLeastFloat(output.logits),
                       AtLeastFloat(output.similarity), labels);
  }
  return SmoothCrossEntropy(AtLeastFloat(output.logits), labels,
                            options.predsim ? 0 : options.smoothing);
}

BlockOutput Forward(const Network& network, const Block& block,
                    const at::Tensor& x, const Mode& mode) {
  BlockOutput output;
  output.h = x;
  for (size_t i = block.first; i <= block.last; ++i) {
    output.h = Forward(network.units[i], output.h, mode);
  }
  output.local =
      Forward(network.units[block.last].aux, output.h, at::Tensor(), mode);
  return output;
}

BlockStep ForwardBackward(const Network& network, const Block& block,
                          const at::Tensor& x, const at::Tensor& labels,
                          const std::vector<at::Tensor>& parameters,
                          const LossOptions& options, const Mode& mode,
                          double scale, const PassOn& pass_on) {
  const at::AutoGradMode record(true);
  const BlockOutput output = Forward(network, block, x, mode);
  BlockStep step;
  step.passed_on = output.h.detach();
  if (pass_on) pass_on(step.passed_on);
  const at::Tensor loss = LocalLoss(output.local, labels, options);
  step.gradients =
      torch::autograd::grad({scale == 1 ? loss : loss * scale}, parameters);
  step.loss = loss.detach();
  step.logits = output.local.logits.detach();
  return step;
}

std::vector<at::Tensor> EvaluationLogits(const Network& network,
                                         const at::Tensor& x) {
  const at::NoGradGuard no_gradients;
  std::vector<at::Tensor> logits;
  at::Tensor h = x;
  for (const Block& block : Blocks(network)) {
    BlockOutput output = Forward(network, block, h, Mode());
    h = std::move(output.h);
    logits.push_back(std::move(output.local.logits));
  }
  return logits;
}

at::Tensor EnsembleScores(const std::vector<at::Tensor>& logits,
                          int64_t count) {
  CHECK_LE(count, static_cast<int64_t>(logits.size()));
  at::Tensor sum;
  for (int64_t n = 0; n < count; ++n) {
    const at::Tensor log_p =
        at::log_softmax(logits[logits.size() - 1 - static_cast<size_t>(n)], 1);
    sum = sum.defined() ? sum + log_p : log_p;
  }
  return sum;
}

void AddScore(const at::Tensor& outputs, const at::Tensor& scores,
              const at::Tensor& labels, double smoothing,
              training::Score& score) {
  const int64_t samples = labels.size(0);
  const at::Tensor logits = AtLeastFloat(outputs);
  score.loss_sum +=
      SmoothCrossEntropy(logits, labels, smoothing).item<double>() *
      static_cast<double>(samples);
  const int64_t k = std::min<int64_t>(5, scores.size(1));
  const at::Tensor hit = std::get<1>(scores.topk(k, 1)).eq(labels.unsqueeze(1));
  score.correct += hit.select(1, 0).sum().item<int64_t>();
  score.correct5 += hit.sum().item<int64_t>();
  score.samples += samples;
}

std::vector<at::Tensor> TensorsOf(const training::NamedTensors& named) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(named.size());
  for (const auto& [name, tensor] : named) tensors.push_back(tensor);
  return tensors;
}

training::NamedTensors Detached(const training::NamedTensors& named) {
  training::NamedTensors detached;
  for (const auto& [name, tensor] : named) {
    detached.emplace_back(name, tensor.detach());
  }
  return detached;
}

}  // namespace altprop::sedona
