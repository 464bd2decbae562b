#include "eqprop/equilibrium.h"

#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/addmm.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/full.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/log_softmax.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/softmax.h"
#include "ATen/ops/zeros.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "eqprop/affine.h"

namespace altprop::eqprop {
namespace {

// The bottom-up drive of layer l + 1, W s_l + b.
at::Tensor BottomUp(const Network& network, const Clamped& input,
                    const State& state, size_t l) {
  if (l == 0) return input.drive;
  const Edge& edge = network.edges[l];
  return at::linear(state[l - 1], edge.weight, edge.bias);
}

// s_0 .. s_S: the input, then the layers.
const at::Tensor& Layer(const Clamped& input, const State& state, size_t l) {
  return l == 0 ? input.x : state[l - 1];
}

// D(s^b) - D(s^a) by products of differences, divided by `divisor` and by B.
std::vector<at::Tensor> DifferencesFirst(const Clamped& input, const State& a,
                                         const State& b, double divisor) {
  const double scale = 1 / (divisor * static_cast<double>(input.x.size(0)));
  std::vector<at::Tensor> gradient;
  at::Tensor below_difference;  // (s_{l-1}^b - s_{l-1}^a) scale
  at::Tensor below_mean;        // (s_{l-1}^b + s_{l-1}^a) / 2
  for (size_t l = 0; l < a.size(); ++l) {
    const at::Tensor difference = (b[l] - a[l]).mul_(scale);
    const at::Tensor mean = (b[l] + a[l]).mul_(0.5);
    // Both terms in one product over 2B rows; x does not differ.
    gradient.push_back(l == 0
                           ? at::mm(difference.t(), input.x)
                           : at::mm(at::cat({difference, mean}).t(),
                                    at::cat({below_mean, below_difference})));
    gradient.push_back(difference.sum(0));
    below_difference = difference;
    below_mean = mean;
  }
  return gradient;
}

// The same as a difference of two batch means.
std::vector<at::Tensor> SumsFirst(const Clamped& input, const State& a,
                                  const State& b, double divisor) {
  std::vector<at::Tensor> gradient = PhiGradient(input, b);
  const std::vector<at::Tensor> subtrahend = PhiGradient(input, a);
  for (size_t i = 0; i < gradient.size(); ++i) {
    gradient[i].sub_(subtrahend[i]).div_(divisor);
  }
  return gradient;
}

}  // namespace

absl::string_view LossName(Loss loss) {
  return loss == Loss::kMse ? "mse" : "cel";
}

absl::StatusOr<Loss> ParseLoss(absl::string_view name) {
  if (name == "mse") return Loss::kMse;
  if (name == "cel") return Loss::kCel;
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "': expected mse or cel"));
}

Dynamics TrainingDynamics(Loss loss) { return {loss, loss == Loss::kCel}; }

Dynamics EvaluationDynamics(Loss loss, bool squash_output) {
  return {loss, loss == Loss::kCel && !squash_output};
}

Clamped Clamp(const Network& network, const at::Tensor& x) {
  const Edge& first = network.edges.front();
  const at::Tensor flat = x.flatten(1);
  return {flat, Affine(flat, first.weight, first.bias)};
}

at::Tensor OneHot(const at::Tensor& labels, int64_t classes,
                  const at::Tensor& like) {
  const at::Tensor rows = at::zeros({labels.size(0), classes}, like.options());
  return rows.scatter_(1, labels.to(like.device()).unsqueeze(1), 1);
}

Nudge NudgeTowards(const at::Tensor& target, double beta) {
  if (beta == 0) return {};
  return {at::full({target.size(0), 1}, beta, target.options()), target};
}

at::Tensor LossPerSample(Loss loss, const at::Tensor& output,
                         const at::Tensor& target) {
  if (loss == Loss::kMse) return (output - target).square().sum(1) * 0.5;
  return -(at::log_softmax(output, 1) * target).sum(1);
}

at::Tensor NudgeForce(Loss loss, const at::Tensor& output,
                      const at::Tensor& target) {
  if (loss == Loss::kMse) return target - output;
  return target - at::softmax(output, 1);
}

at::Tensor Phi(const Network& network, const Clamped& input, const State& state,
               const Nudge& nudge, Loss loss) {
  at::Tensor phi = at::zeros({input.x.size(0)}, input.x.options());
  for (size_t l = 0; l < state.size(); ++l) {
    phi = phi + (state[l] * BottomUp(network, input, state, l)).sum(1);
  }
  if (!nudge.beta.defined()) return phi;
  return phi - nudge.beta.squeeze(1) *
                   LossPerSample(loss, state.back(), nudge.target);
}

at::Tensor Energy(const Network& network, const Clamped& input,
                  const State& state, const Nudge& nudge, Loss loss) {
  at::Tensor energy = -Phi(network, input, state, nudge, loss);
  for (const at::Tensor& s : state) {
    energy += Potential(network.activation, s).sum(1);
  }
  return energy;
}

State Drive(const Network& network, const Clamped& input, const State& state,
            const Nudge& nudge, Loss loss) {
  State drive;
  for (size_t l = 0; l < state.size(); ++l) {
    const at::Tensor bottom_up = BottomUp(network, input, state, l);
    if (l + 1 < state.size()) {
      const at::Tensor& weight_above = network.edges[l + 1].weight;
      drive.push_back(at::addmm(bottom_up, state[l + 1], weight_above));
    } else if (nudge.beta.defined()) {
      drive.push_back(bottom_up +
                      nudge.beta * NudgeForce(loss, state[l], nudge.target));
    } else {
      drive.push_back(bottom_up);
    }
  }
  return drive;
}

State Step(const Network& network, const Clamped& input, const State& state,
           const Nudge& nudge, const Dynamics& dynamics) {
  State next = Drive(network, input, state, nudge, dynamics.loss);
  const size_t squashed = next.size() - (dynamics.linear_output ? 1 : 0);
  for (size_t l = 0; l < squashed; ++l) {
    next[l] = Activate(network.activation, next[l]);
  }
  return next;
}

State ZeroState(const Network& network, const Clamped& input) {
  State state;
  for (const Edge& edge : network.edges) {
    state.push_back(
        at::zeros({input.x.size(0), edge.weight.size(0)}, input.x.options()));
  }
  return state;
}

State Relax(const Network& network, const Clamped& input, State state,
            int64_t steps, const Nudge& nudge, const Dynamics& dynamics) {
  for (int64_t t = 0; t < steps; ++t) {
    state = Step(network, input, state, nudge, dynamics);
  }
  return state;
}

at::Tensor Prediction(const State& state) { return state.back().argmax(1); }

std::vector<at::Tensor> PhiGradient(const Clamped& input, const State& state) {
  const auto batch = static_cast<double>(input.x.size(0));
  std::vector<at::Tensor> gradient;
  for (size_t l = 0; l < state.size(); ++l) {
    const at::Tensor& below = Layer(input, state, l);
    gradient.push_back(at::mm(state[l].t(), below).div_(batch));
    gradient.push_back(state[l].sum(0).div_(batch));
  }
  return gradient;
}

std::vector<at::Tensor> ContrastGradient(const Clamped& input, const State& a,
                                         double beta_a, const State& b,
                                         double beta_b, ContrastOrder order) {
  CHECK_NE(beta_a, beta_b) << "a contrast needs two nudging strengths";
  const double divisor = beta_a - beta_b;
  return order == ContrastOrder::kContrastFirst
             ? DifferencesFirst(input, a, b, divisor)
             : SumsFirst(input, a, b, divisor);
}

}  // namespace altprop::eqprop
