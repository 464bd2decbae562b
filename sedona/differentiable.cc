#include "sedona/differentiable.h"

#include <cmath>

#include "ATen/TensorOperators.h"
#include "ATen/ops/ones_like.h"
#include "ATen/ops/sqrt.h"
#include "ATen/ops/where.h"
#include "ATen/ops/zeros_like.h"

namespace altprop::sedona {
namespace {

at::Tensor Constant(const training::Value* entry, const char* name) {
  const training::Value* value = entry == nullptr ? nullptr : entry->Find(name);
  if (value == nullptr || value->tensor() == nullptr) return {};
  return value->tensor()->detach().clone();
}

int64_t StepsOf(const training::Value* entry) {
  const training::Value* value =
      entry == nullptr ? nullptr : entry->Find("step");
  if (value == nullptr) return 0;
  if (value->integer() != nullptr) return *value->integer();
  if (value->real() != nullptr) return std::llround(*value->real());
  if (value->tensor() != nullptr) {
    return std::llround(value->tensor()->item<double>());
  }
  return 0;
}

}  // namespace

DifferentiableOptimizer::DifferentiableOptimizer(
    const DifferentiableOptions& options, const training::Value& state,
    const std::vector<std::string>& names)
    : options_(options) {
  const training::Value* entries = state.Find("state");
  for (const std::string& name : names) {
    const training::Value* entry =
        entries == nullptr ? nullptr : entries->Find(name);
    first_.push_back(
        Constant(entry, options.adam ? "exp_avg" : "momentum_buffer"));
    second_.push_back(Constant(entry, "exp_avg_sq"));
    steps_.push_back(StepsOf(entry));
  }
}

std::vector<at::Tensor> DifferentiableOptimizer::Step(
    const std::vector<at::Tensor>& weights,
    const std::vector<at::Tensor>& gradients) {
  std::vector<at::Tensor> after;
  after.reserve(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!gradients[i].defined()) {
      after.push_back(weights[i]);
      continue;
    }
    const at::Tensor g =
        options_.weight_decay == 0
            ? gradients[i]
            : gradients[i] + weights[i] * options_.weight_decay;
    after.push_back(options_.adam ? AdamStep(i, weights[i], g)
                                  : SgdStep(i, weights[i], g));
  }
  return after;
}

at::Tensor DifferentiableOptimizer::SgdStep(size_t i, const at::Tensor& w,
                                            const at::Tensor& g) {
  at::Tensor m = g;
  if (options_.momentum != 0) {
    if (first_[i].defined()) m = first_[i] * options_.momentum + g;
    first_[i] = m;
  }
  return w - m * options_.learning_rate;
}

at::Tensor DifferentiableOptimizer::AdamStep(size_t i, const at::Tensor& w,
                                             const at::Tensor& g) {
  const DifferentiableOptions& o = options_;
  first_[i] = first_[i].defined() ? first_[i] * o.beta1 + g * (1 - o.beta1)
                                  : g * (1 - o.beta1);
  second_[i] = second_[i].defined()
                   ? second_[i] * o.beta2 + g * g * (1 - o.beta2)
                   : g * g * (1 - o.beta2);
  const auto t = static_cast<double>(++steps_[i]);
  const double rate = o.learning_rate * std::sqrt(1 - std::pow(o.beta2, t)) /
                      (1 - std::pow(o.beta1, t));
  // The root's derivative at 0 is infinite: such entries take another path.
  const at::Tensor zero = second_[i].detach().eq(0);
  const at::Tensor safe =
      at::where(zero, at::ones_like(second_[i]), second_[i]);
  const at::Tensor root =
      at::where(zero, at::zeros_like(second_[i]), safe.sqrt());
  return w - first_[i] / (root + o.eps) * rate;
}

}  // namespace altprop::sedona
