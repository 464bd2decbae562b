#include "eqprop/estimate.h"

#include <cmath>
#include <utility>

#include "ATen/TensorOperators.h"
#include "common/logging.h"

namespace altprop::eqprop {
namespace {

std::vector<at::Tensor> Symmetric(const Network& network, const Clamped& input,
                                  const State& free, const at::Tensor& target,
                                  double beta, const EstimateOptions& o) {
  NudgedPair pair = NudgedPhases(network, input, free, o.steps, target, beta,
                                 o.dynamics, o.path);
  return GradientOf(network, input, free,
                    LaidOut(Between({std::move(pair.plus), beta},
                                    {std::move(pair.minus), -beta}, target),
                            o.path),
                    o.rule);
}

// The groups' values, one per parameter.
std::vector<const training::ParameterGroup*> GroupOfParameters(
    const training::Optimizer& optimizer) {
  std::vector<const training::ParameterGroup*> groups;
  for (const training::ParameterGroup& group : optimizer.groups()) {
    groups.insert(groups.end(), group.parameters.size(), &group);
  }
  return groups;
}

// T2 steps under `nudge` from `state`, an update after each. `beta_a`, `beta_b`
// of the contrast of a state with the next; `undo_decay`: see the header.
struct ContinualPhase {
  double beta_a, beta_b, divisor;
  bool undo_decay;
};

State Continue(const Network& network, const at::Tensor& x, State state,
               const at::Tensor& target, const EstimateOptions& o,
               const ContinualPhase& phase, training::Optimizer& optimizer) {
  const Nudge nudge = NudgeTowards(target, phase.beta_b);
  const auto groups = GroupOfParameters(optimizer);
  for (int64_t k = 0; k < o.steps; ++k) {
    const Clamped input = Clamp(network, x);
    State next = Step(network, input, state, nudge, o.dynamics);
    std::vector<at::Tensor> gradient =
        ContrastGradient(network, input,
                         {{std::move(state), phase.beta_a},
                          {next, phase.beta_b},
                          phase.divisor,
                          target},
                         o.rule.order);
    for (size_t i = 0; i < gradient.size(); ++i) {
      if (phase.undo_decay) {
        const double left =
            1 - groups[i]->learning_rate * groups[i]->weight_decay;
        gradient[i].div_(std::pow(left, static_cast<double>(o.steps - 1 - k)));
      }
      const bool readout = network.softmax && i + 2 >= gradient.size();
      if (readout && o.rule.semantics == Semantics::kCorrected) {
        gradient[i].div_(static_cast<double>(o.steps));
      }
    }
    optimizer.Step(gradient);
    state = std::move(next);
  }
  return state;
}

}  // namespace

Contrast LaidOut(Contrast contrast, Path path) {
  if (path != Path::kFused) return contrast;
  for (Phase* phase : {&contrast.a, &contrast.b}) {
    for (at::Tensor& layer : phase->state) {
      if (layer.dim() == 4 && layer.scalar_type() == at::kFloat) {
        layer = layer.contiguous(at::MemoryFormat::ChannelsLast);
      }
    }
  }
  return contrast;
}

std::vector<at::Tensor> GradientOf(const Network& network, const Clamped& input,
                                   const State& free, const Contrast& contrast,
                                   const Rule& rule) {
  if (!IsVectorField(network.model)) {
    return ContrastGradient(network, input, contrast, rule.order);
  }
  if (rule.same_update) {
    return SameUpdateGradient(network, input, contrast, rule.order);
  }
  const bool nudged =
      network.model == Model::kVfMlp && rule.semantics == Semantics::kReference;
  return VectorFieldGradient(network, input, nudged ? contrast.a.state : free,
                             contrast, rule.order);
}

std::vector<at::Tensor> EstimateGradient(const Network& network,
                                         const Clamped& input,
                                         const State& free,
                                         const at::Tensor& target, double sign,
                                         const EstimateOptions& o) {
  if (o.estimator == Estimator::kSymmetric) {
    return Symmetric(network, input, free, target, o.beta_2, o);
  }
  if (o.estimator == Estimator::kFivePhase) {
    std::vector<at::Tensor> gradient =
        Symmetric(network, input, free, target, o.beta_2, o);
    const std::vector<at::Tensor> wide =
        Symmetric(network, input, free, target, 2 * o.beta_2, o);
    for (size_t i = 0; i < gradient.size(); ++i) {
      gradient[i].mul_(4.0 / 3).sub_(wide[i], 1.0 / 3);
    }
    return gradient;
  }
  const double beta = sign * o.beta_2;
  State nudged = NudgedPhase(network, input, free, o.steps,
                             NudgeTowards(target, beta), o.dynamics, o.path);
  return GradientOf(
      network, input, free,
      LaidOut(Between({free, o.beta_1}, {std::move(nudged), beta}, target),
              o.path),
      o.rule);
}

void ContinualUpdates(const Network& network, const at::Tensor& x,
                      const State& free, const at::Tensor& target, double sign,
                      const EstimateOptions& o,
                      training::Optimizer& optimizer) {
  CHECK(!IsVectorField(network.model)) << "continual updates of a vector field";
  const double beta = sign * o.beta_2;
  const bool symmetric = o.estimator == Estimator::kSymmetric;
  const bool halved = symmetric && o.rule.semantics == Semantics::kCorrected;
  State state = Continue(
      network, x, free, target, o,
      {o.beta_1, beta, (halved ? 2 : 1) * (o.beta_1 - beta), true}, optimizer);
  if (!symmetric) return;
  state = Relax(network, Clamp(network, x), std::move(state), o.steps, {},
                o.dynamics);
  // beta_a concerns the readout alone: as the reference contrasts the two
  // nudged phases, corrected the free one with the nudged.
  Continue(network, x, std::move(state), target, o,
           {halved ? o.beta_1 : beta, -beta, 2 * beta, false}, optimizer);
}

void ContinualUpdatesAsOne(const Network& network, const at::Tensor& x,
                           const State& free, const at::Tensor& target,
                           double sign, const EstimateOptions& options,
                           training::Optimizer& optimizer) {
  constexpr double kSlow = 6e-5;
  std::vector<at::Tensor> before;
  for (const auto& [name, tensor] : Parameters(network)) {
    before.push_back(tensor.clone());
  }
  std::vector<double> rates;
  for (size_t g = 0; g < optimizer.groups().size(); ++g) {
    rates.push_back(optimizer.groups()[g].learning_rate);
    optimizer.set_learning_rate(g, rates[g] * kSlow);
  }
  ContinualUpdates(network, x, free, target, sign, options, optimizer);
  const auto groups = GroupOfParameters(optimizer);
  const auto parameters = Parameters(network);
  std::vector<at::Tensor> gradient;
  for (size_t i = 0; i < before.size(); ++i) {
    at::Tensor theta = parameters[i].second;
    gradient.push_back((before[i] - theta).div_(groups[i]->learning_rate));
    theta.copy_(before[i]);
  }
  for (size_t g = 0; g < rates.size(); ++g) {
    optimizer.set_learning_rate(g, rates[g]);
  }
  optimizer.Step(gradient);
}

double ContinualWeightDecay(double weight_decay, double learning_rate,
                            int64_t steps) {
  return (1 -
          std::pow(1 - 0.1 * weight_decay, 1.0 / static_cast<double>(steps))) /
         learning_rate;
}

}  // namespace altprop::eqprop
