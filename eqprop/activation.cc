#include "eqprop/activation.h"

#include <string>

#include "ATen/TensorOperators.h"
#include "ATen/ops/atanh.h"
#include "ATen/ops/clamp.h"
#include "ATen/ops/full_like.h"
#include "ATen/ops/log.h"
#include "ATen/ops/sigmoid.h"
#include "ATen/ops/tanh.h"
#include "ATen/ops/xlogy.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/logging.h"

namespace altprop::eqprop {
namespace {

// 1 where low < u < high, else 0, times slope.
at::Tensor InsideTimes(const at::Tensor& u, double low, double high,
                       double slope) {
  return u.gt(low).logical_and_(u.lt(high)).to(u.scalar_type()).mul_(slope);
}

}  // namespace

absl::string_view ActivationName(Activation activation) {
  switch (activation) {
    case Activation::kMysig:
      return "mysig";
    case Activation::kSigmoid:
      return "sigmoid";
    case Activation::kTanh:
      return "tanh";
    case Activation::kHardSigmoid:
      return "hard_sigmoid";
    case Activation::kMyHardSig:
      return "my_hard_sig";
    case Activation::kCtrdHardSig:
      return "ctrd_hard_sig";
  }
  LOG(FATAL) << "no such activation: " << static_cast<int>(activation);
}

absl::StatusOr<Activation> ParseActivation(absl::string_view name) {
  for (const Activation activation : kActivations) {
    if (name == ActivationName(activation)) return activation;
  }
  const auto append_name = [](std::string* out, Activation activation) {
    absl::StrAppend(out, ActivationName(activation));
  };
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "': expected one of ",
                   absl::StrJoin(kActivations, ", ", append_name)));
}

at::Tensor Activate(Activation activation, const at::Tensor& u) {
  at::Tensor s = u.clone();
  ActivateInPlace(activation, s);
  return s;
}

void ActivateInPlace(Activation activation, at::Tensor& u) {
  switch (activation) {
    case Activation::kMysig:
      u.sub_(0.5).mul_(-4).exp_().add_(1).reciprocal_();
      return;
    case Activation::kSigmoid:
      u.sigmoid_();
      return;
    case Activation::kTanh:
      u.tanh_();
      return;
    case Activation::kHardSigmoid:
      u.mul_(2).sub_(1).clamp_(-1, 1).add_(1).mul_(0.5);
      return;
    case Activation::kMyHardSig:
      u.sub_(1).clamp_(-1, 1).add_(1).mul_(0.5);
      return;
    case Activation::kCtrdHardSig:
      u.mul_(2).clamp_(-1, 1).mul_(0.5);
      return;
  }
  LOG(FATAL) << "no such activation: " << static_cast<int>(activation);
}

at::Tensor Derivative(Activation activation, const at::Tensor& u) {
  switch (activation) {
    case Activation::kMysig: {
      const at::Tensor s = Activate(activation, u);
      return s.mul(4).mul_(1 - s);
    }
    case Activation::kSigmoid: {
      const at::Tensor s = at::sigmoid(u);
      return s.mul(1 - s);
    }
    case Activation::kTanh:
      return 1 - at::tanh(u).square_();
    case Activation::kHardSigmoid:
      return InsideTimes(u, 0, 1, 1);
    case Activation::kMyHardSig:
      return InsideTimes(u, 0, 2, 0.5);
    case Activation::kCtrdHardSig:
      return InsideTimes(u, -0.5, 0.5, 1);
  }
  LOG(FATAL) << "no such activation: " << static_cast<int>(activation);
}

at::Tensor Inverse(Activation activation, const at::Tensor& s) {
  switch (activation) {
    case Activation::kMysig:
      return at::log(s / (1 - s)).mul_(0.25).add_(0.5);
    case Activation::kSigmoid:
      return at::log(s / (1 - s));
    case Activation::kTanh:
      return at::atanh(s);
    case Activation::kHardSigmoid:
    case Activation::kCtrdHardSig:
      return s.clone();
    case Activation::kMyHardSig:
      return s * 2;
  }
  LOG(FATAL) << "no such activation: " << static_cast<int>(activation);
}

at::Tensor Potential(Activation activation, const at::Tensor& s) {
  switch (activation) {
    case Activation::kMysig:
      return (at::xlogy(s, s) + at::xlogy(1 - s, 1 - s)) * 0.25 + s * 0.5;
    case Activation::kSigmoid:
      return at::xlogy(s, s) + at::xlogy(1 - s, 1 - s);
    case Activation::kTanh:
      return (at::xlogy(1 + s, 1 + s) + at::xlogy(1 - s, 1 - s)) * 0.5;
    case Activation::kHardSigmoid:
    case Activation::kCtrdHardSig:
      return s.square() * 0.5;
    case Activation::kMyHardSig:
      return s.square();
  }
  LOG(FATAL) << "no such activation: " << static_cast<int>(activation);
}

}  // namespace altprop::eqprop
