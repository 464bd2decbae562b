#include "cbp/learner.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/le.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "cbp/constraint.h"
#include "cbp/weight_rule.h"
#include "common/status.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::cbp {
namespace {

using training::Dict;
using training::NamedTensors;
using training::Optimizer;
using training::ParameterGroup;
using training::Value;

Optimizer PlainOptimizer(const Network& network, const LearnerOptions& o) {
  NamedTensors decayed = network.ConstrainedWeights();
  for (auto& entry : network.FreeWeights()) decayed.push_back(entry);
  return Optimizer::Sgd(
      {{std::move(decayed), 0, o.weight_decay}, {network.FreeOthers(), 0, 0}},
      kMomentum);
}

void SetRates(Optimizer& optimizer, double learning_rate) {
  for (size_t g = 0; g < optimizer.groups().size(); ++g) {
    optimizer.set_learning_rate(g, learning_rate);
  }
}

std::vector<at::Tensor> ParametersOf(const Optimizer& optimizer) {
  std::vector<at::Tensor> parameters;
  for (const ParameterGroup& group : optimizer.groups()) {
    for (const auto& [name, tensor] : group.parameters) {
      parameters.push_back(tensor);
    }
  }
  return parameters;
}

// In the layouts of the parameters, which the fused optimizer relies on.
std::vector<at::Tensor> InLayoutOf(const std::vector<at::Tensor>& gradients,
                                   const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> result;
  result.reserve(gradients.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    result.push_back(
        gradients[i].strides() == parameters[i].strides()
            ? gradients[i]
            : at::empty_like(parameters[i].detach()).copy_(gradients[i]));
  }
  return result;
}

absl::Status CopyInto(const Value& from, const std::string& key,
                      const at::Tensor& into) {
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor tensor, from.GetTensor(key));
  if (tensor.sizes() != into.sizes()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", key, "\" has ", tensor.numel(), " values, expected ",
                     into.numel(), " in the layer's shape"));
  }
  into.copy_(tensor);
  return absl::OkStatus();
}

}  // namespace

Closeness Measure(const Constrained& c, Mode mode) {
  const at::NoGradGuard no_grad;
  Closeness closeness;
  for (size_t k = 0; k < c.size(); ++k) {
    const at::Tensor w =
        c.w.narrow(0, c.offsets[k], c.offsets[k + 1] - c.offsets[k]);
    const at::Tensor s = c.ScaleOf(k);
    const at::Tensor y = Distance(w, s, mode).to(at::kDouble);
    const double sum = y.sum().item<double>();
    const double scale = s.to(at::kDouble).item<double>();
    closeness.cfs += sum;
    closeness.cfs_over_s += sum / scale;
    closeness.within5 +=
        static_cast<double>(y.le(2 * 0.05 * scale).sum().item<int64_t>());
  }
  const auto count = static_cast<double>(std::max<int64_t>(1, c.weights()));
  closeness.cfs /= count;
  closeness.cfs_over_s /= count;
  closeness.within5 /= count;
  if (c.weights() > 0) {
    closeness.lambda_max = c.lambda.max().to(at::kDouble).item<double>();
  }
  return closeness;
}

Learner::Learner(Network& network, const LearnerOptions& options)
    : network_(network),
      options_(options),
      plain_(PlainOptimizer(network, options)) {}

void Learner::PlainStep(const at::Tensor& loss, double learning_rate) {
  const std::vector<at::Tensor> parameters = ParametersOf(plain_);
  std::vector<at::Tensor> leaves = network_.constrained_leaves();
  // What follows the constrained weights requires its gradient itself.
  leaves.insert(leaves.end(), parameters.begin() + leaves.size(),
                parameters.end());
  const auto gradients = torch::autograd::grad({loss}, leaves);
  SetRates(plain_, learning_rate);
  plain_.Step(InLayoutOf(gradients, parameters));
}

void Learner::UseConstrained() {
  network_.UseQuantized(true);
  free_ = network_.FreeWeights();
  free_weights_ = free_.size();
  for (auto& entry : network_.FreeOthers()) free_.push_back(std::move(entry));
  free_v_.clear();
  for (const auto& [name, tensor] : free_) {
    free_v_.push_back(at::zeros_like(tensor.detach()));
  }
}

absl::Status Learner::Begin() {
  const at::NoGradGuard no_grad;
  ALTPROP_RETURN_IF_ERROR(network_.SetScales());
  UseConstrained();
  network_.Quantize(options_.mode);
  Constrained& c = network_.constrained();
  for (at::Tensor* buffer : {&c.lambda, &c.v, &c.exp_avg, &c.exp_avg_sq}) {
    buffer->zero_();
  }
  window_ = Window();
  updates_ = 0;
  steps_ = 0;
  Ascend();
  return absl::OkStatus();
}

double Learner::u() const {
  return options_.ablation == Ablation::kCbp ? window_.u() : 1;
}

double Learner::learning_rate() const {
  return LearningRate(options_.learning_rate, window_);
}

void Learner::Ascend() {
  if (options_.ablation == Ablation::kSte) return;
  const at::NoGradGuard no_grad;
  Constrained& c = network_.constrained();
  ++updates_;
  if (options_.fused) {
    UpdateMultipliers(c.w, c.lambda, c.exp_avg, c.exp_avg_sq, c.layers(),
                      options_.mode, u(), options_.lr_lambda, updates_);
    return;
  }
  for (size_t k = 0; k < c.size(); ++k) {
    at::Tensor lambda = c.View(c.lambda, k), m = c.View(c.exp_avg, k),
               v = c.View(c.exp_avg_sq, k);
    UpdateMultiplier(c.View(c.w, k), c.ScaleOf(k), options_.mode, u(),
                     options_.lr_lambda, updates_, lambda, m, v);
  }
}

// torch.optim.SGD's calls in its order: in double these parameters then have
// its bits, and what they make the network compute has, too.
void Learner::UpdateFree(const std::vector<at::Tensor>& gradients) {
  for (size_t i = 0; i < free_.size(); ++i) {
    at::Tensor parameter = free_[i].second;
    at::Tensor d = gradients[i].clamp(-kClip, kClip);
    if (i < free_weights_ && options_.weight_decay != 0) {
      d = d.add(parameter, options_.weight_decay);
    }
    free_v_[i].mul_(kMomentum).add_(d);
    parameter.add_(free_v_[i], -learning_rate());
  }
}

double Learner::UpdateConstrained(const std::vector<at::Tensor>& gradients) {
  Constrained& c = network_.constrained();
  const WeightStep step = {u(), learning_rate(), options_.weight_decay,
                           kMomentum};
  if (options_.fused) {
    std::vector<at::Tensor> flat;
    for (size_t k = 0; k < c.size(); ++k) {
      flat.push_back(c.Flatten(gradients[k], k));
    }
    return UpdateWeights(c.w, flat, c.lambda, c.v, c.q, c.layers(),
                         options_.mode, step)[0]
        .item<double>();
  }
  double constraint = 0;
  for (size_t k = 0; k < c.size(); ++k) {
    at::Tensor w = c.View(c.w, k), v = c.View(c.v, k), q = c.View(c.q, k);
    const at::Tensor lambda = c.View(c.lambda, k);
    const at::Tensor s = c.ScaleOf(k);
    constraint += (lambda * Constraint(w, s, options_.mode, step.u))
                      .sum()
                      .to(at::kDouble)
                      .item<double>();
    UpdateWeight(w, gradients[k], lambda, v, q, s, options_.mode, step);
  }
  return constraint;
}

double Learner::ConstrainedStep(const at::Tensor& loss) {
  std::vector<at::Tensor> leaves = network_.constrained_leaves();
  for (const auto& [name, tensor] : free_) leaves.push_back(tensor);
  const auto gradients = torch::autograd::grad({loss}, leaves);
  const at::NoGradGuard no_grad;
  const auto own =
      gradients.begin() + static_cast<ptrdiff_t>(network_.constrained().size());
  UpdateFree({own, gradients.end()});
  ++steps_;
  return UpdateConstrained({gradients.begin(), own});
}

bool Learner::EndEpoch(double lsum) {
  const bool updated = AdvanceWindow(lsum, options_.period, window_);
  if (updated) Ascend();
  return updated;
}

Dict Learner::State() const {
  if (!network_.quantized()) return {{"optimizer", plain_.State()}};
  const Constrained& c = network_.constrained();
  Dict momentum, moments, lambda;
  for (size_t k = 0; k < c.size(); ++k) {
    const std::string& name = c.names[k];
    if (steps_ > 0) {
      momentum.emplace_back(name + ".weight",
                            Dict{{"momentum_buffer", c.View(c.v, k)}});
    }
    lambda.emplace_back(name, c.View(c.lambda, k));
    moments.emplace_back(name, Dict{{"step", updates_},
                                    {"exp_avg", c.View(c.exp_avg, k)},
                                    {"exp_avg_sq", c.View(c.exp_avg_sq, k)}});
  }
  for (size_t i = 0; steps_ > 0 && i < free_.size(); ++i) {
    momentum.emplace_back(free_[i].first,
                          Dict{{"momentum_buffer", free_v_[i]}});
  }
  return {
      {"optimizer", Dict{{"name", "sgd"},
                         {"state", std::move(momentum)},
                         {"lr", learning_rate()}}},
      {"multiplier_optimizer",
       Dict{{"name", "adam"}, {"state", std::move(moments)}}},
      {"lambda", std::move(lambda)},
      {"window", Dict{{"g", window_.g},
                      {"u", window_.u()},
                      {"p", window_.p},
                      {"lpre", window_.lpre},
                      {"updates", updates_},
                      {"steps", steps_}}},
  };
}

absl::Status Learner::RestoreMultipliers(const Value& checkpoint) {
  Constrained& c = network_.constrained();
  ALTPROP_RETURN_IF_ERROR(checkpoint.GetDict("lambda").status());
  ALTPROP_RETURN_IF_ERROR(checkpoint.GetDict("multiplier_optimizer").status());
  const Value& optimizer = *checkpoint.Find("multiplier_optimizer");
  ALTPROP_RETURN_IF_ERROR(optimizer.GetDict("state").status());
  for (size_t k = 0; k < c.size(); ++k) {
    const std::string& name = c.names[k];
    ALTPROP_RETURN_IF_ERROR(
        CopyInto(*checkpoint.Find("lambda"), name, c.View(c.lambda, k)));
    const Value* state = optimizer.Find("state")->Find(name);
    if (state == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("multiplier_optimizer: no state of ", name));
    }
    ALTPROP_RETURN_IF_ERROR(CopyInto(*state, "exp_avg", c.View(c.exp_avg, k)));
    ALTPROP_RETURN_IF_ERROR(
        CopyInto(*state, "exp_avg_sq", c.View(c.exp_avg_sq, k)));
  }
  return absl::OkStatus();
}

absl::Status Learner::RestoreMomentum(const Value& checkpoint) {
  // Before the first step there is none.
  if (steps_ == 0) return absl::OkStatus();
  const Value& optimizer = *checkpoint.Find("optimizer");
  ALTPROP_RETURN_IF_ERROR(optimizer.GetDict("state").status());
  const Value& state = *optimizer.Find("state");
  const Constrained& c = network_.constrained();
  training::NamedTensors all;
  for (size_t k = 0; k < c.size(); ++k) {
    all.emplace_back(c.names[k] + ".weight", c.View(c.v, k));
  }
  for (size_t i = 0; i < free_.size(); ++i) {
    all.emplace_back(free_[i].first, free_v_[i]);
  }
  for (const auto& [name, tensor] : all) {
    const Value* entry = state.Find(name);
    if (entry == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("optimizer: no state of ", name));
    }
    ALTPROP_RETURN_IF_ERROR(
        Annotate(CopyInto(*entry, "momentum_buffer", tensor), name));
  }
  return absl::OkStatus();
}

absl::Status Learner::Restore(const Value& checkpoint) {
  const at::NoGradGuard no_grad;
  const Value* optimizer = checkpoint.Find("optimizer");
  if (optimizer == nullptr) {
    return absl::InvalidArgumentError("no \"optimizer\"");
  }
  const Value* window = checkpoint.Find("window");
  if (window == nullptr) return plain_.LoadState(*optimizer, "checkpoint");
  UseConstrained();
  ALTPROP_ASSIGN_OR_RETURN(window_.g, window->GetInt("g"));
  ALTPROP_ASSIGN_OR_RETURN(window_.p, window->GetInt("p"));
  ALTPROP_ASSIGN_OR_RETURN(window_.lpre, window->GetDouble("lpre"));
  ALTPROP_ASSIGN_OR_RETURN(updates_, window->GetInt("updates"));
  ALTPROP_ASSIGN_OR_RETURN(steps_, window->GetInt("steps"));
  if (window_.g < 1 || window_.p < 0 || updates_ < 0 || steps_ < 0) {
    return absl::InvalidArgumentError("window: a number below its least");
  }
  ALTPROP_RETURN_IF_ERROR(RestoreMultipliers(checkpoint));
  return RestoreMomentum(checkpoint);
}

}  // namespace altprop::cbp
