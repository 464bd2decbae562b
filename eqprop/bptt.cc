#include "eqprop/bptt.h"

#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/ones_like.h"
#include "ATen/ops/softmax.h"
#include "ATen/ops/zeros_like.h"

namespace altprop::eqprop {
namespace {

at::Tensor Plus(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() ? a + b : b;
}

class Backward {
 public:
  Backward(const Network& network, const Clamped& input, const Nudge& nudge,
           const at::Tensor& target, const Dynamics& dynamics)
      : network_(network),
        input_(input),
        nudge_(nudge),
        target_(target),
        dynamics_(dynamics),
        layers_(network.layers()),
        batch_(static_cast<double>(input.batch())) {}

  // dL/ds at the end, and the readout's own gradient of L.
  State Begin(const State& last, std::vector<at::Tensor>& gradient) const {
    State delta;
    for (const at::Tensor& s : last) delta.push_back(at::zeros_like(s));
    const at::Tensor error =
        NudgeForce(dynamics_.loss, Output(network_, input_, last), target_)
            .div_(-batch_);
    if (!network_.softmax) {
      delta.back() = error;
      return delta;
    }
    const Edge& readout = network_.edges.back();
    const size_t at = 2 * (network_.edges.size() - 1);
    const at::Tensor top = Masked(input_, last).back();
    gradient[at] = WeightGradient(readout, top, error);
    gradient[at + 1] = BiasGradient(error);
    delta.back() = MaskedBy(
        layers_ - 1, Adjoint(readout, readout.weight, error, last.back()));
    return delta;
  }

  // sigma'(u) of the step from `state`, with the factors of dropout. `up`, here
  // and below: BottomUp's of the state.
  State Slope(const State& state, const std::vector<Pooled>& up) const {
    const State u = Drive(network_, input_, state, up, nudge_, dynamics_.loss);
    const std::vector<double>& keep = input_.dropout.keep;
    State slope;
    for (size_t l = 0; l < layers_; ++l) {
      const double factor = keep.empty() ? 1 : keep[l];
      if (dynamics_.linear_output && l + 1 == layers_) {
        slope.push_back(at::ones_like(u[l]) * factor);
      } else {
        slope.push_back(Derivative(network_.activation, u[l] * factor) *
                        factor);
      }
    }
    return slope;
  }

  // One step back from dL/ds `delta` after it to that before it, `state`.
  State Through(const State& state, const std::vector<Pooled>& up,
                const State& slope, const State& delta,
                std::vector<at::Tensor>& gradient) const {
    const State s = Masked(input_, state);
    State raw, e;  // before and after the mask
    for (size_t l = 0; l < layers_; ++l) {
      raw.push_back(slope[l] * delta[l]);
      e.push_back(MaskedBy(l, raw[l]));
    }
    State before(layers_);
    for (size_t l = 0; l < layers_; ++l) {
      const Edge& edge = network_.edges[l];
      const at::Tensor up_e = Unpool(edge.pool, e[l], up[l]);
      Add(gradient[2 * l],
          WeightGradient(edge, l == 0 ? input_.x : s[l - 1], up_e));
      Add(gradient[2 * l + 1], BiasGradient(e[l]));
      if (l == 0) continue;
      const Pooled down = DownRouting(network_, l, s[l - 1], up[l]);
      at::Tensor from_below =
          WeightGradient(edge, e[l - 1], Unpool(edge.pool, s[l], down));
      if (network_.model == Model::kVfMlp) {
        from_below = from_below.t().contiguous();
      }
      Add(gradient[DownParameter(l)], from_below);
      before[l] = Plus(before[l],
                       Gather(edge.pool,
                              Preactivation(edge, BackwardWeight(network_, l),
                                            at::Tensor(), e[l - 1]),
                              down));
      before[l - 1] =
          Plus(before[l - 1], Adjoint(edge, edge.weight, up_e, s[l - 1]));
    }
    for (size_t l = 0; l < layers_; ++l) {
      before[l] = before[l].defined() ? MaskedBy(l, before[l])
                                      : at::zeros_like(state[l]);
    }
    if (nudge_.beta.defined())
      ThroughNudge(state, raw.back(), before, gradient);
    return before;
  }

 private:
  at::Tensor MaskedBy(size_t l, const at::Tensor& v) const {
    return input_.dropout.masks.empty() ? v : v * input_.dropout.masks[l];
  }

  static void Add(at::Tensor& sum, const at::Tensor& term) {
    sum = Plus(sum, term);
  }

  // The parameter by which edge l leads down: its weight, or B.
  size_t DownParameter(size_t l) const {
    return IsVectorField(network_.model) ? 2 * network_.edges.size() + l - 1
                                         : 2 * l;
  }

  // -d^2 l / do^2 applied to v: what the force y - o loses when o moves by v.
  at::Tensor ForceDerivative(const at::Tensor& output,
                             const at::Tensor& v) const {
    if (dynamics_.loss == Loss::kMse) return -v;
    const at::Tensor p = at::softmax(output, 1);
    return p * (p * v).sum({1}, /*keepdim=*/true) - p * v;
  }

  // The part of a step that came through the nudge, whose force depends on s_S.
  void ThroughNudge(const State& state, const at::Tensor& e, State& before,
                    std::vector<at::Tensor>& gradient) const {
    const at::Tensor output = Output(network_, input_, state);
    if (!network_.softmax) {
      before.back() = before.back() + nudge_.beta * ForceDerivative(output, e);
      return;
    }
    const Edge& readout = network_.edges.back();
    const size_t at = 2 * (network_.edges.size() - 1);
    const at::Tensor masked_e = MaskedBy(layers_ - 1, e);
    const at::Tensor tangent =
        Preactivation(readout, readout.weight, at::Tensor(), masked_e);
    const at::Tensor change = nudge_.beta * ForceDerivative(output, tangent);
    const at::Tensor force =
        nudge_.beta * NudgeForce(dynamics_.loss, output, nudge_.target);
    const at::Tensor top = Masked(input_, state).back();
    Add(gradient[at], WeightGradient(readout, masked_e, force) +
                          WeightGradient(readout, top, change));
    Add(gradient[at + 1], BiasGradient(change));
    before.back() =
        before.back() + MaskedBy(layers_ - 1, Adjoint(readout, readout.weight,
                                                      change, state.back()));
  }

  const Network& network_;
  const Clamped& input_;
  const Nudge& nudge_;
  const at::Tensor& target_;
  const Dynamics& dynamics_;
  const size_t layers_;
  const double batch_;
};

}  // namespace

State BackpropagateSteps(const Network& network, const Clamped& input,
                         const State& start, int64_t steps, const Nudge& nudge,
                         const at::Tensor& target, const Dynamics& dynamics,
                         const std::function<void(BackwardStep)>& visit) {
  std::vector<State> states = {start};
  for (int64_t t = 0; t < steps; ++t) {
    states.push_back(Step(network, input, states.back(), nudge, dynamics));
  }
  const Backward backward(network, input, nudge, target, dynamics);
  const auto parameters = Parameters(network);
  std::vector<at::Tensor> gradient(parameters.size());
  State delta = backward.Begin(states.back(), gradient);
  for (int64_t t = 0; t < steps; ++t) {
    const State& before = states[steps - 1 - t];
    const std::vector<Pooled> up =
        BottomUp(network, input, Masked(input, before));
    const State slope = backward.Slope(before, up);
    State delta_before = backward.Through(before, up, slope, delta, gradient);
    for (size_t i = 0; i < gradient.size(); ++i) {
      if (!gradient[i].defined()) {
        gradient[i] = at::zeros_like(parameters[i].second);
      }
    }
    visit({t, std::move(gradient), std::move(delta), slope});
    gradient.assign(parameters.size(), at::Tensor());
    delta = std::move(delta_before);
  }
  return states.back();
}

BpttResult BpttGradient(const Network& network, const Clamped& input,
                        const State& start, int64_t steps,
                        const at::Tensor& target, const Dynamics& dynamics) {
  BpttResult result;
  result.state =
      BackpropagateSteps(network, input, start, steps, {}, target, dynamics,
                         [&](BackwardStep step) {
                           if (step.t == 0) {
                             result.gradient = std::move(step.gradient);
                             return;
                           }
                           for (size_t i = 0; i < step.gradient.size(); ++i) {
                             result.gradient[i].add_(step.gradient[i]);
                           }
                         });
  return result;
}

}  // namespace altprop::eqprop
