#include "benchmarks/eqprop_step.h"

#include <optional>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/sin.h"
#include "common/models/init.h"

namespace altprop::benchmarks {
namespace {

at::Tensor MakeInput(int64_t batch, int64_t width) {
  const at::Tensor b = at::arange(batch, at::kDouble).unsqueeze(1);
  const at::Tensor i = at::arange(width, at::kDouble).unsqueeze(0);
  return (at::sin(0.05 * (b + 1) * i + b) * 0.5 + 0.5).to(at::kFloat);
}

training::Optimizer MakeAdam(const eqprop::Network& network, double rate) {
  std::vector<training::ParameterGroup> groups;
  const auto parameters = Parameters(network);
  for (size_t i = 0; i < parameters.size(); i += 2) {
    groups.push_back({{parameters[i], parameters[i + 1]}, rate, 0});
  }
  return training::Optimizer::Adam(std::move(groups));
}

}  // namespace

EqpropStep::EqpropStep(const StepSetting& setting)
    : setting_(setting),
      dynamics_(eqprop::TrainingDynamics(setting.loss)),
      network_(eqprop::MakeMlp(setting.sizes, eqprop::Activation::kMysig,
                               std::nullopt, models::SeededGenerator(0))),
      x_(MakeInput(setting.batch, setting.sizes.front())),
      optimizer_(MakeAdam(network_, setting.learning_rate)) {
  NextLabels();
}

EqpropStep::Score EqpropStep::Run() {
  const eqprop::Clamped input = ClampInput();
  const eqprop::State free = Free(input);
  const Score score = Measure(input, free);
  Update(Gradient(input, free, Nudged(input, free)));
  NextLabels();
  return score;
}

void EqpropStep::NextLabels() {
  labels_ = at::arange(setting_.batch, at::kLong)
                .mul(7)
                .add(step_++)
                .remainder(network_.classes());
  target_ = eqprop::OneHot(labels_, network_.classes(), x_);
}

eqprop::Clamped EqpropStep::ClampInput() const {
  return eqprop::Clamp(network_, x_);
}

eqprop::State EqpropStep::Free(const eqprop::Clamped& input) const {
  return FreePhase(network_, input, setting_.free_steps, dynamics_,
                   setting_.path);
}

EqpropStep::Score EqpropStep::Measure(const eqprop::Clamped& input,
                                      const eqprop::State& free) const {
  const at::Tensor loss = LossPerSample(setting_.loss, free.back(), target_);
  return {loss.mean().item<double>(), eqprop::Prediction(network_, input, free)
                                          .eq(labels_)
                                          .sum()
                                          .item<int64_t>()};
}

eqprop::State EqpropStep::Nudged(const eqprop::Clamped& input,
                                 const eqprop::State& free) const {
  return NudgedPhase(network_, input, free, setting_.nudged_steps,
                     eqprop::NudgeTowards(target_, setting_.beta), dynamics_,
                     setting_.path);
}

std::vector<at::Tensor> EqpropStep::Gradient(
    const eqprop::Clamped& input, const eqprop::State& free,
    const eqprop::State& nudged) const {
  return ContrastGradient(
      network_, input,
      eqprop::Between({free, 0}, {nudged, setting_.beta}, target_));
}

void EqpropStep::Update(const std::vector<at::Tensor>& gradient) {
  optimizer_.Step(gradient);
}

}  // namespace altprop::benchmarks
