#include "common/training/optimizer.h"

#include <cmath>
#include <utility>

#include "ATen/core/grad_mode.h"
#include "ATen/ops/_fused_adam.h"
#include "ATen/ops/_fused_sgd.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/scalar_tensor.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/logging.h"
#include "common/status.h"

namespace altprop::training {
namespace {

std::string ShapeText(const at::Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.sizes(), ", "), "]");
}

std::vector<at::Tensor> TensorsOf(const ParameterGroup& group) {
  std::vector<at::Tensor> tensors;
  for (const auto& [name, tensor] : group.parameters) tensors.push_back(tensor);
  return tensors;
}

void CheckGradients(const std::vector<at::Tensor>& parameters,
                    const std::vector<at::Tensor>& gradients) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    CHECK(parameters[i].sizes() == gradients[i].sizes() &&
          parameters[i].scalar_type() == gradients[i].scalar_type())
        << "a gradient of shape " << ShapeText(gradients[i])
        << " for a parameter of shape " << ShapeText(parameters[i]);
  }
}

// The fused operators go through memory from front to back, whatever the
// strides: gives each gradient its parameter's layout (channels last, say).
void LayOutAs(const std::vector<at::Tensor>& parameters,
              std::vector<at::Tensor>& gradients) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (gradients[i].strides() == parameters[i].strides()) continue;
    gradients[i] = at::empty_like(parameters[i]).copy_(gradients[i]);
  }
}

// The moment `key` of `entry`, copied into a tensor like `parameter`.
absl::StatusOr<at::Tensor> ReadMoment(const Value& entry,
                                      const std::string& key,
                                      const at::Tensor& parameter) {
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor moment, entry.GetTensor(key));
  if (moment.sizes() != parameter.sizes()) {
    return absl::InvalidArgumentError(absl::StrCat(
        key, " is ", ShapeText(moment), ", expected ", ShapeText(parameter)));
  }
  return at::zeros_like(parameter).copy_(moment);
}

// Adam's count: a tensor of one element (as torch writes it), or a number.
absl::StatusOr<int64_t> ReadStep(const Value& entry) {
  const Value* step = entry.Find("step");
  if (step != nullptr && step->integer() != nullptr) return *step->integer();
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor tensor, entry.GetTensor("step"));
  if (tensor.numel() != 1) {
    return absl::InvalidArgumentError("step is no single number");
  }
  return static_cast<int64_t>(tensor.item().toDouble());
}

// The state of parameter `name`, by name or, as Python counts, by number.
const Value* FindParameter(const Value& state, const std::string& name,
                           size_t number) {
  const Value* found = state.Find(name);
  return found != nullptr ? found : state.Find(absl::StrCat(number));
}

}  // namespace

Optimizer Optimizer::Sgd(std::vector<ParameterGroup> groups, double momentum) {
  return Optimizer(Rule::kSgd, std::move(groups), momentum);
}

Optimizer Optimizer::Adam(std::vector<ParameterGroup> groups,
                          const AdamOptions& options) {
  return Optimizer(Rule::kAdam, std::move(groups), 0, options);
}

Optimizer Optimizer::RmsProp(std::vector<ParameterGroup> groups,
                             const RmsPropOptions& options) {
  return Optimizer(Rule::kRmsProp, std::move(groups), 0, {}, options);
}

Optimizer::Optimizer(Rule rule, std::vector<ParameterGroup> groups,
                     double momentum, const AdamOptions& adam,
                     const RmsPropOptions& rmsprop)
    : rule_(rule),
      groups_(std::move(groups)),
      momentum_(momentum),
      adam_(adam),
      rmsprop_(rmsprop) {
  for (const ParameterGroup& group : groups_) {
    Moments moments;
    moments.parameters = TensorsOf(group);
    for (const at::Tensor& parameter : moments.parameters) {
      if (rule_ == Rule::kAdam || (rule_ == Rule::kSgd && momentum_ != 0)) {
        moments.first.push_back(at::zeros_like(parameter));
      }
      if (rule_ != Rule::kSgd) {
        moments.second.push_back(at::zeros_like(parameter));
      }
    }
    moments_.push_back(std::move(moments));
  }
}

void Optimizer::Step(const std::vector<at::Tensor>& gradients) {
  const at::NoGradGuard no_grad;
  auto next = gradients.begin();
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto size = static_cast<ptrdiff_t>(moments_[g].parameters.size());
    CHECK_LE(size, gradients.end() - next);
    std::vector<at::Tensor> own(next, next + size);
    CheckGradients(moments_[g].parameters, own);
    LayOutAs(moments_[g].parameters, own);
    StepGroup(g, own);
    next += size;
  }
  CHECK(next == gradients.end()) << "more gradients than parameters";
  ++steps_;
}

void Optimizer::StepGroup(size_t g, const std::vector<at::Tensor>& gradients) {
  switch (rule_) {
    case Rule::kSgd:
      at::_fused_sgd_(moments_[g].parameters, gradients, moments_[g].first,
                      groups_[g].weight_decay, momentum_,
                      groups_[g].learning_rate, /*dampening=*/0,
                      /*nesterov=*/false, /*maximize=*/false,
                      /*is_first_step=*/steps_ == 0);
      break;
    case Rule::kAdam:
      AdamStep(g, gradients);
      break;
    case Rule::kRmsProp:
      RmsPropStep(g, gradients);
      break;
  }
}

void Optimizer::AdamStep(size_t g, const std::vector<at::Tensor>& gradients) {
  Moments& m = moments_[g];
  const ParameterGroup& group = groups_[g];
  // The legacy form is today's with an eps of its own at each step.
  const double eps =
      adam_.legacy_eps
          ? adam_.eps / std::sqrt(1 - std::pow(adam_.beta2, steps_ + 1))
          : adam_.eps;
  // All parameters have taken the same number of steps.
  const std::vector<at::Tensor> counts(m.parameters.size(), Count(steps_ + 1));
  at::_fused_adam_(m.parameters, gradients, m.first, m.second, {}, counts,
                   group.learning_rate, adam_.beta1, adam_.beta2,
                   group.weight_decay, eps, /*amsgrad=*/false,
                   /*maximize=*/false);
}

void Optimizer::RmsPropStep(size_t g,
                            const std::vector<at::Tensor>& gradients) {
  Moments& m = moments_[g];
  const ParameterGroup& group = groups_[g];
  for (size_t i = 0; i < m.parameters.size(); ++i) {
    at::Tensor& theta = m.parameters[i];
    const at::Tensor gradient =
        group.weight_decay == 0 ? gradients[i]
                                : gradients[i].add(theta, group.weight_decay);
    m.second[i]
        .mul_(rmsprop_.alpha)
        .addcmul_(gradient, gradient, 1 - rmsprop_.alpha);
    theta.addcdiv_(gradient, m.second[i].sqrt().add_(rmsprop_.eps),
                   -group.learning_rate);
  }
}

at::Tensor Optimizer::Count(int64_t steps) const {
  const auto device = moments_.empty() || moments_[0].parameters.empty()
                          ? at::Device(at::kCPU)
                          : moments_[0].parameters[0].device();
  return at::scalar_tensor(static_cast<double>(steps),
                           at::dtype(at::kFloat).device(device));
}

void Optimizer::set_learning_rate(size_t group, double learning_rate) {
  CHECK_LT(group, groups_.size());
  groups_[group].learning_rate = learning_rate;
}

Value Optimizer::State() const {
  Dict state;
  List groups;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const Moments& m = moments_[g];
    List names;
    for (size_t i = 0; i < m.parameters.size(); ++i) {
      const std::string& name = groups_[g].parameters[i].first;
      names.emplace_back(name);
      if (rule_ == Rule::kAdam) {
        state.emplace_back(name, Dict{{"step", Count(steps_)},
                                      {"exp_avg", m.first[i]},
                                      {"exp_avg_sq", m.second[i]}});
      } else if (rule_ == Rule::kRmsProp) {
        state.emplace_back(
            name, Dict{{"step", Count(steps_)}, {"square_avg", m.second[i]}});
      } else if (!m.first.empty() && steps_ > 0) {
        state.emplace_back(name, Dict{{"momentum_buffer", m.first[i]}});
      }
    }
    groups.emplace_back(Dict{{"lr", groups_[g].learning_rate},
                             {"weight_decay", groups_[g].weight_decay},
                             {"params", std::move(names)}});
  }
  return Dict{{"name", std::string(Name())},
              {"state", std::move(state)},
              {"param_groups", std::move(groups)}};
}

absl::string_view Optimizer::Name() const {
  constexpr absl::string_view kNames[] = {"sgd", "adam", "rmsprop"};
  return kNames[static_cast<size_t>(rule_)];
}

absl::Status Optimizer::LoadState(const Value& state, const std::string& file) {
  const Value* name = state.Find("name");
  if (name != nullptr && name->string() != nullptr &&
      *name->string() != Name()) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": optimizer is ", *name->string(), ", expected ", Name()));
  }
  const Value* entries = state.Find("state");
  if (entries == nullptr || entries->dict() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": optimizer has no dictionary \"state\""));
  }
  // Before its first step an optimizer has no state, and without momentum SGD
  // never has any.
  if (entries->dict()->empty() || (rule_ == Rule::kSgd && momentum_ == 0)) {
    return absl::OkStatus();
  }
  std::vector<Moments> read = moments_;
  std::optional<int64_t> steps;
  ALTPROP_RETURN_IF_ERROR(Annotate(ReadState(*entries, read, steps),
                                   absl::StrCat(file, ": optimizer")));
  moments_ = std::move(read);
  steps_ = steps.value_or(1);
  return absl::OkStatus();
}

absl::Status Optimizer::ReadState(const Value& entries,
                                  std::vector<Moments>& moments,
                                  std::optional<int64_t>& steps) const {
  size_t number = 0;
  for (size_t g = 0; g < moments.size(); ++g) {
    for (size_t i = 0; i < moments[g].parameters.size(); ++i, ++number) {
      const std::string& name = groups_[g].parameters[i].first;
      const Value* entry = FindParameter(entries, name, number);
      if (entry == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat("no state of parameter ", name));
      }
      ALTPROP_RETURN_IF_ERROR(
          Annotate(ReadEntry(*entry, i, moments[g], steps), name));
    }
  }
  if (entries.dict()->size() != number) {
    return absl::InvalidArgumentError(
        absl::StrCat("states of ", entries.dict()->size(),
                     " parameters, expected ", number));
  }
  return absl::OkStatus();
}

absl::Status Optimizer::ReadEntry(const Value& entry, size_t i,
                                  Moments& moments,
                                  std::optional<int64_t>& steps) const {
  const at::Tensor& parameter = moments.parameters[i];
  if (rule_ == Rule::kSgd) {
    ALTPROP_ASSIGN_OR_RETURN(moments.first[i],
                             ReadMoment(entry, "momentum_buffer", parameter));
    return absl::OkStatus();
  }
  if (rule_ == Rule::kAdam) {
    ALTPROP_ASSIGN_OR_RETURN(moments.first[i],
                             ReadMoment(entry, "exp_avg", parameter));
  }
  const char* const second = rule_ == Rule::kAdam ? "exp_avg_sq" : "square_avg";
  ALTPROP_ASSIGN_OR_RETURN(moments.second[i],
                           ReadMoment(entry, second, parameter));
  ALTPROP_ASSIGN_OR_RETURN(const int64_t step, ReadStep(entry));
  if (steps.value_or(step) != step || step < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "step ", step, ", expected ", steps.value_or(0), " as the others"));
  }
  steps = step;
  return absl::OkStatus();
}

}  // namespace altprop::training
