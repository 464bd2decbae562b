#include "ftprop/loss.h"

#include <optional>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cross_entropy_loss.h"
#include "ATen/ops/full_like.h"
#include "ATen/ops/log_softmax.h"
#include "absl/strings/str_cat.h"

namespace altprop::ftprop {
namespace {

constexpr std::pair<Loss, absl::string_view> kNames[] = {
    {Loss::kCrossEntropy, "crossent"}, {Loss::kHinge, "hinge"},
    {Loss::kHingeL2, "hingeL2"},       {Loss::kHingeSM, "hingeSM"},
    {Loss::kHingeTrunc, "hingeTrunc"},
};

// 1 - T z.
at::Tensor Shortfall(const at::Tensor& z, const at::Tensor& labels) {
  at::Tensor signs = at::full_like(z, -1);
  signs.scatter_(1, labels.unsqueeze(1), 1);
  return 1 - signs * z;
}

at::Tensor SumOverClasses(const at::Tensor& terms) {
  return terms.sum() / static_cast<double>(terms.size(0));
}

at::Tensor Hinge(const at::Tensor& z, const at::Tensor& labels,
                 std::optional<double> most) {
  const at::Tensor terms = Shortfall(z, labels);
  return SumOverClasses(most ? terms.clamp(0, *most) : terms.clamp_min(0));
}

}  // namespace

absl::StatusOr<Loss> ParseLoss(absl::string_view name) {
  for (const auto& [loss, known] : kNames) {
    if (known == name) return loss;
  }
  return absl::InvalidArgumentError(
      "expected crossent, hinge, hingeL2, hingeSM or hingeTrunc");
}

absl::string_view LossName(Loss loss) {
  for (const auto& [known, name] : kNames) {
    if (known == loss) return name;
  }
  return "hingeTruncSM";
}

at::Tensor OutputLoss(Loss loss, const at::Tensor& z,
                      const at::Tensor& labels) {
  switch (loss) {
    case Loss::kCrossEntropy:
      return at::cross_entropy_loss(z, labels);
    case Loss::kHinge:
      return Hinge(z, labels, std::nullopt);
    case Loss::kHingeTrunc:
      return Hinge(z, labels, 2);
    case Loss::kHingeSM:
      return Hinge(at::log_softmax(z, 1), labels, std::nullopt);
    case Loss::kHingeTruncSM:
      return Hinge(at::log_softmax(z, 1), labels, 2);
    case Loss::kHingeL2:
      break;
  }
  return SumOverClasses(Shortfall(z, labels).clamp_min(0).square());
}

absl::StatusOr<at::Tensor> HiddenLoss(Rule rule, const at::Tensor& z,
                                      const at::Tensor& t) {
  const at::Tensor u = z * t;
  switch (rule) {
    case Rule::kWtHinge:
      return (1 - u).clamp_min(0);
    case Rule::kTruncWtHinge:
      return (1 - u).clamp(0, 2);
    case Rule::kTruncWtHinge2:
      return (2 * (1 - u)).clamp(0, 2);
    case Rule::kTruncWtHinge11:
      return (1 - u).clamp(0, 2) - 1;
    case Rule::kTruncWtPerceptron:
      return (-u).clamp(0, 1);
    case Rule::kTruncWtL2Hinge:
      return (1 - u.clamp_min(-1)).clamp_min(0).square() / 2;
    case Rule::kLogWtHinge:
      return (2 - u.clamp(-1, 1)).log();
    case Rule::kTruncLogWtHinge:
      return 2 * (2 - u.clamp(-1, 1)).log();
    case Rule::kSigmoid:
      return (-2 * u).sigmoid();
    case Rule::kSigmoid2_2:
      return 2 * (-2 * u).sigmoid();
    case Rule::kSigmoid3_2:
      return 2 * (-3 * u).sigmoid();
    case Rule::kLogSigmoid:
      return (-2 * u).sigmoid().log();
    case Rule::kLogLoss:
      return (1 + (-u).exp()).log();
    case Rule::kTruncLogLoss:
      return (1 + (-u).exp()).log().clamp_max(2);
    case Rule::kSquareLoss:
      return (1 - u.clamp_max(1)).square();
    case Rule::kTruncSquareLoss:
      return (1 - u.clamp_max(1)).square().clamp_max(4);
    case Rule::kSoftHinge:
      return (-u).tanh() + 1;
    case Rule::kSoftHinge2:
      return (-2 * u).tanh() + 1;
    case Rule::kLeCunTanh:
      return 1.7519 * (-2.0 / 3 * u).tanh() + 1;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(RuleName(rule), " has no hidden loss"));
  }
}

}  // namespace altprop::ftprop
