#include "sedona/supernet.h"

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "common/logging.h"
#include "sedona/greedy.h"
#include "sedona/losses.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::sedona {

std::vector<AuxChoice> SupernetAux(const Architecture& architecture,
                                   bool baseline) {
  return std::vector<AuxChoice>(
      static_cast<size_t>(UnitCount(architecture.name) - 1),
      {baseline ? AuxKind::kMlpSr : AuxKind::kMixture, 0});
}

SupernetOutput Forward(const Network& supernet, const at::Tensor& x,
                       const at::Tensor& labels, const Relaxation& relaxation,
                       double smoothing, const Mode& mode) {
  SupernetOutput output;
  const size_t units = supernet.units.size();
  CHECK_EQ(relaxation.scales.size(), units);
  at::Tensor h = x;
  for (size_t i = 0; i < units; ++i) {
    const Unit& unit = supernet.units[i];
    h = Forward(unit, h, mode);
    if (i + 1 == units) {
      output.logits = Forward(unit.aux, h, {}, mode).logits;
      output.losses.push_back(
          SmoothCrossEntropy(output.logits, labels, smoothing));
      break;
    }
    const at::Tensor b = relaxation.b.defined()
                             ? relaxation.b[static_cast<int64_t>(i)]
                             : at::Tensor();
    const double s = relaxation.scales[i];
    output.losses.push_back(SmoothCrossEntropy(
        Forward(unit.aux, h / s, b, mode).logits * s, labels, smoothing));
  }
  return output;
}

at::Tensor HeadLogits(const Network& supernet, const at::Tensor& x,
                      const Mode& mode) {
  at::Tensor h = x;
  for (const Unit& unit : supernet.units) h = Forward(unit, h, mode);
  return Forward(supernet.units.back().aux, h, {}, mode).logits;
}

std::vector<size_t> UnitOfParameters(const Network& network) {
  std::vector<size_t> units;
  for (size_t i = 0; i < network.units.size(); ++i) {
    units.insert(units.end(), UnitParameters(network, i).size(), i);
  }
  return units;
}

WeightGradient MixedSignals(const Network& supernet, const at::Tensor& x,
                            const at::Tensor& labels,
                            const Relaxation& relaxation, double smoothing,
                            const Mode& mode) {
  const at::AutoGradMode record(true);
  const SupernetOutput output =
      Forward(supernet, Arrange(x, mode), labels, relaxation, smoothing, mode);
  const at::Tensor composite = CompositeLoss(relaxation, output.losses);
  WeightGradient result;
  result.gradients =
      torch::autograd::grad({composite}, TensorsOf(Parameters(supernet)));
  const std::vector<size_t> unit = UnitOfParameters(supernet);
  for (size_t i = 0; i < result.gradients.size(); ++i) {
    result.gradients[i] = result.gradients[i] / relaxation.P[unit[i]];
  }
  for (const at::Tensor& loss : output.losses) {
    result.losses.push_back(loss.detach());
  }
  result.composite = composite.detach();
  result.logits = output.logits.detach();
  return result;
}

}  // namespace altprop::sedona
