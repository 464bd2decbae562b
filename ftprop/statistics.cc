#include "ftprop/statistics.h"

#include <algorithm>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/arange.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "ftprop/threshold.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::ftprop {
namespace {

struct Range {
  double low, high;
};

// Between what a layer's outputs lie; none for relu.
std::optional<Range> RangeOf(const Nonlinearity& n) {
  switch (n.family) {
    case Family::kStep11:
    case Family::kHardTanh:
      return Range{-1, 1};
    case Family::kStep01:
    case Family::kClippedAbs:
    case Family::kHardSigmoid:
      return Range{0, 1};
    case Family::kStaircase:
    case Family::kOldStaircase:
      return Range{n.low, n.high};
    case Family::kThreshRelu:
      return Range{0, n.high};
    case Family::kRelu:
      break;
  }
  return std::nullopt;
}

std::optional<double> Disagreement(const Nonlinearity& n, const at::Tensor& y,
                                   const at::Tensor& g) {
  const std::optional<Range> range = RangeOf(n);
  if (!range) return std::nullopt;
  const auto targets = g.ne(0).sum().item().toDouble();
  if (targets == 0) return std::nullopt;
  // 0 at the bottom of the range, 1 at its top; g > 0 wants it at the bottom.
  const at::Tensor level = (y - range->low) / (range->high - range->low);
  const at::Tensor distance = g.gt(0) * level + g.lt(0) * (1 - level);
  return distance.sum(at::kDouble).item().toDouble() / targets;
}

double Saturated(const Threshold& threshold, const at::Tensor& x,
                 const at::Tensor& g) {
  const at::Tensor reached = g.ne(0);
  const auto count = reached.sum().item().toDouble();
  if (count == 0) return 0;
  const at::Tensor stuck = ThresholdBackward(threshold, g.contiguous(), x)
                               .eq(0)
                               .logical_and(reached);
  return stuck.sum().item().toDouble() / count;
}

int64_t Kept(int64_t units) { return std::min(units, kKeptUnits); }

// Evenly spaced units.
at::Tensor Sample(const at::Tensor& y) {
  const int64_t units = y.numel(), kept = Kept(units);
  const at::Tensor indices =
      (at::arange(kept, at::kLong) * units).floor_divide(kept);
  return y.contiguous().flatten().cpu().index_select(0, indices).to(at::kFloat);
}

}  // namespace

std::vector<LayerStatistics> StatisticsProbe::Measure(const Network& network,
                                                      bool bf16) {
  std::vector<at::Tensor> inputs, outputs;
  Pass pass;
  pass.bf16 = bf16;
  pass.inputs = &inputs;
  pass.outputs = &outputs;
  const at::Tensor loss =
      OutputLoss(loss_, Forward(network, x_, pass), labels_);
  const auto gradients = torch::autograd::grad({loss}, outputs);
  const at::NoGradGuard no_grad;
  std::vector<LayerStatistics> all;
  std::vector<at::Tensor> now;
  for (size_t l = 0; l < outputs.size(); ++l) {
    LayerStatistics& s = all.emplace_back();
    s.layer = network.hidden_names[l];
    s.disagreement =
        Disagreement(network.hidden[l].nonlinearity, outputs[l], gradients[l]);
    s.saturated = Saturated(network.hidden[l], inputs[l], gradients[l]);
    now.push_back(Sample(outputs[l]));
    if (!last_.empty()) {
      s.flips = now[l].ne(last_[l]).sum().item().toDouble() /
                static_cast<double>(now[l].numel());
    }
  }
  last_ = std::move(now);
  names_ = network.hidden_names;
  return all;
}

training::Dict StatisticsProbe::State() const {
  training::Dict state;
  for (size_t l = 0; l < last_.size(); ++l) {
    state.emplace_back(names_[l], last_[l]);
  }
  return state;
}

absl::Status StatisticsProbe::LoadState(const training::Value& state,
                                        const Network& network) {
  if (state.dict() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"outputs\" is ", state.TypeName()));
  }
  if (state.dict()->empty()) return absl::OkStatus();
  std::vector<at::Tensor> read;
  for (const std::string& name : network.hidden_names) {
    ALTPROP_ASSIGN_OR_RETURN(const at::Tensor outputs, state.GetTensor(name));
    if (outputs.dim() != 1 || outputs.scalar_type() != at::kFloat) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"outputs\" of ", name, " is no vector of floats"));
    }
    read.push_back(outputs);
  }
  last_ = std::move(read);
  names_ = network.hidden_names;
  return absl::OkStatus();
}

}  // namespace altprop::ftprop
