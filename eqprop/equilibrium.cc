#include "eqprop/equilibrium.h"

#include <algorithm>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/full.h"
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

// s_0 .. s_S: the input, then the layers.
const at::Tensor& Layer(const Clamped& input, const State& state, size_t l) {
  return l == 0 ? input.x : state[l - 1];
}

at::Tensor Readout(const Network& network, const at::Tensor& top) {
  const Edge& edge = network.edges.back();
  return Preactivation(edge, edge.weight, edge.bias, top);
}

// One factor of a product of two, in the two phases of a contrast.
struct Pair {
  at::Tensor a, b;
  // kContrastFirst: (b - a) * scale and (b + a) / 2.
  at::Tensor difference, mean;
};

Pair MakePair(const at::Tensor& a, const at::Tensor& b, double scale,
              ContrastOrder order) {
  if (order == ContrastOrder::kSumsFirst) return {a, b, {}, {}};
  return {a, b, (b - a).mul_(scale), (b + a).mul_(0.5)};
}

// [wgrad(w^b, e^b) - wgrad(w^a, e^a)] * scale.
at::Tensor ContrastOf(const Edge& edge, const Pair& below, const Pair& e,
                      double scale) {
  if (!e.difference.defined()) {
    return WeightGradient(edge, below.b, e.b)
        .sub_(WeightGradient(edge, below.a, e.a))
        .mul_(scale);
  }
  // Both terms in one product over 2B samples.
  return WeightGradient(edge, at::cat({below.mean, below.difference}),
                        at::cat({e.difference, e.mean}));
}

// The same where only the upper layer differs: `below` and the routing of the
// edge, `at`, are those of both phases.
at::Tensor ContrastOfOne(const Edge& edge, const at::Tensor& below,
                         const Pair& layer, const Pooled& at, double scale) {
  if (!layer.difference.defined()) {
    const Pair e{
        Unpool(edge.pool, layer.a, at), Unpool(edge.pool, layer.b, at), {}, {}};
    return ContrastOf(edge, {below, below, {}, {}}, e, scale);
  }
  return WeightGradient(edge, below, Unpool(edge.pool, layer.difference, at));
}

at::Tensor BiasContrast(const Pair& layer, double scale) {
  if (!layer.difference.defined()) {
    return BiasGradient(layer.b).sub_(BiasGradient(layer.a)).mul_(scale);
  }
  return BiasGradient(layer.difference);
}

// What the gradients of a contrast work on: the masked states of both phases
// and 1 / (divisor B).
struct Prepared {
  State a, b;
  double scale;
  ContrastOrder order;

  Pair Both(const at::Tensor& in_a, const at::Tensor& in_b) const {
    return MakePair(in_a, in_b, scale, order);
  }
  // Made where it is used: all layers' at once would leave the cache.
  Pair Layer(size_t l) const { return Both(a[l], b[l]); }
};

Prepared Prepare(const Clamped& input, const Contrast& contrast,
                 ContrastOrder order) {
  CHECK_NE(contrast.divisor, 0) << "a contrast needs two nudging strengths";
  return {Masked(input, contrast.a.state), Masked(input, contrast.b.state),
          1 / (contrast.divisor * static_cast<double>(input.batch())), order};
}

// beta (y - softmax(o)): the readout's e, as U(s_l) is that of other edges.
at::Tensor ReadoutForce(const Network& network, const at::Tensor& masked_top,
                        double beta, const at::Tensor& target) {
  return NudgeForce(Loss::kCel, Readout(network, masked_top), target)
      .mul_(beta);
}

// Appends the readout's weight and bias gradient.
void AppendReadout(const Network& network, const Contrast& contrast,
                   const Prepared& s, const Pair& top,
                   std::vector<at::Tensor>& gradient) {
  const Pair force = s.Both(
      ReadoutForce(network, s.a.back(), contrast.a.beta, contrast.target),
      ReadoutForce(network, s.b.back(), contrast.b.beta, contrast.target));
  gradient.push_back(ContrastOf(network.edges.back(), top, force, s.scale));
  gradient.push_back(BiasContrast(force, s.scale));
}

// BottomUp, for the routing alone: nothing where there is no pooling.
std::vector<Pooled> Routings(const Network& network, const Clamped& input,
                             const State& masked) {
  std::vector<Pooled> routings = {input.bottom};
  for (size_t l = 1; l < masked.size(); ++l) {
    const Edge& edge = network.edges[l];
    routings.push_back(
        edge.pool == Pool::kNone
            ? Pooled()
            : PoolForward(edge.pool, Preactivation(edge, edge.weight, edge.bias,
                                                   masked[l - 1])));
  }
  return routings;
}

// U(s_l) by the routing of the backward weight, in one phase.
at::Tensor UnpoolDown(const Network& network, size_t l, const at::Tensor& below,
                      const at::Tensor& above) {
  const Edge& edge = network.edges[l];
  if (edge.pool == Pool::kNone) return above;
  const Pooled up = PoolForward(
      edge.pool,
      Preactivation(edge, BackwardWeight(network, l), at::Tensor(), below));
  return Unpool(edge.pool, above, up);
}

// As the authors store it.
at::Tensor Stored(const Network& network, const at::Tensor& backward) {
  return network.model == Model::kVfMlp ? backward.t().contiguous() : backward;
}

// Appends the backward weights' gradients. `above_a`, `above_b`: what the upper
// layer of each has in the two phases.
void AppendBackward(const Network& network, const Prepared& s,
                    const State& above_a, const State& above_b,
                    std::vector<at::Tensor>& gradient) {
  for (size_t l = 1; l < s.a.size(); ++l) {
    if (!network.edges[l].backward.defined()) continue;
    const Pair e = s.Both(UnpoolDown(network, l, s.a[l - 1], above_a[l]),
                          UnpoolDown(network, l, s.b[l - 1], above_b[l]));
    gradient.push_back(Stored(
        network, ContrastOf(network.edges[l], s.Layer(l - 1), e, s.scale)));
  }
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

Dynamics TrainingDynamics(Loss loss, bool softmax) {
  return {loss, loss == Loss::kCel && !softmax};
}

Dynamics EvaluationDynamics(Loss loss, bool softmax, bool squash_output) {
  return {loss, loss == Loss::kCel && !softmax && !squash_output};
}

Clamped Clamp(const Network& network, const at::Tensor& x, Dropout dropout) {
  const Edge& first = network.edges.front();
  if (first.convolution()) {
    return {x,
            PoolForward(first.pool,
                        Preactivation(first, first.weight, first.bias, x)),
            std::move(dropout)};
  }
  const at::Tensor flat = x.flatten(1);
  const at::Tensor drive = Affine(flat, first.weight, first.bias);
  return {flat, PoolForward(Pool::kNone, drive), std::move(dropout)};
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

at::Tensor Output(const Network& network, const Clamped& input,
                  const State& state) {
  if (!network.softmax) return state.back();
  const Dropout& dropout = input.dropout;
  return Readout(network, dropout.masks.empty()
                              ? state.back()
                              : state.back() * dropout.masks.back());
}

at::Tensor Prediction(const Network& network, const Clamped& input,
                      const State& state) {
  return Output(network, input, state).argmax(1);
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
  const State masked = Masked(input, state);
  const std::vector<Pooled> up = BottomUp(network, input, masked);
  at::Tensor phi = at::zeros({input.batch()}, input.x.options());
  for (size_t l = 0; l < state.size(); ++l) {
    phi = phi + (masked[l] * up[l].p).flatten(1).sum(1);
  }
  if (!nudge.beta.defined()) return phi;
  return phi -
         nudge.beta.squeeze(1) *
             LossPerSample(loss, Output(network, input, state), nudge.target);
}

at::Tensor Energy(const Network& network, const Clamped& input,
                  const State& state, const Nudge& nudge, Loss loss) {
  at::Tensor energy = -Phi(network, input, state, nudge, loss);
  for (const at::Tensor& s : state) {
    energy += Potential(network.activation, s).flatten(1).sum(1);
  }
  return energy;
}

State Masked(const Clamped& input, const State& state) {
  if (input.dropout.masks.empty()) return state;
  State masked;
  for (size_t l = 0; l < state.size(); ++l) {
    masked.push_back(state[l] * input.dropout.masks[l]);
  }
  return masked;
}

std::vector<Pooled> BottomUp(const Network& network, const Clamped& input,
                             const State& masked) {
  std::vector<Pooled> up = {input.bottom};
  for (size_t l = 1; l < masked.size(); ++l) {
    const Edge& edge = network.edges[l];
    up.push_back(PoolForward(
        edge.pool, Preactivation(edge, edge.weight, edge.bias, masked[l - 1])));
  }
  return up;
}

Pooled DownRouting(const Network& network, size_t l, const at::Tensor& below,
                   const Pooled& up) {
  const Edge& edge = network.edges[l];
  if (edge.pool != Pool::kMax || !IsVectorField(network.model)) return up;
  return PoolForward(edge.pool,
                     Preactivation(edge, edge.backward, at::Tensor(), below));
}

at::Tensor Pull(const Network& network, const Clamped& input,
                const State& state, const Nudge& nudge, Loss loss) {
  at::Tensor force =
      nudge.beta *
      NudgeForce(loss, Output(network, input, state), nudge.target);
  if (!network.softmax) return force;
  const Edge& edge = network.edges.back();
  const at::Tensor pull = Adjoint(edge, edge.weight, force, state.back());
  return input.dropout.masks.empty() ? pull : pull * input.dropout.masks.back();
}

namespace {

// The drives without masks and nudge; `up`: BottomUp's of `s`.
State OwnDrive(const Network& network, const State& s,
               const std::vector<Pooled>& up) {
  State drive;
  for (size_t l = 0; l < s.size(); ++l) {
    at::Tensor u = up[l].p;
    if (l + 1 < s.size()) {
      const Edge& above = network.edges[l + 1];
      const Pooled down = DownRouting(network, l + 1, s[l], up[l + 1]);
      u = u + Adjoint(above, BackwardWeight(network, l + 1),
                      Unpool(above.pool, s[l + 1], down), s[l]);
    }
    drive.push_back(std::move(u));
  }
  return drive;
}

// Masks and nudge on them, in place.
void Complete(const Network& network, const Clamped& input, const State& state,
              const Nudge& nudge, Loss loss, State& drive) {
  const State& masks = input.dropout.masks;
  for (size_t l = 0; l < masks.size(); ++l) drive[l] = drive[l] * masks[l];
  if (!nudge.beta.defined()) return;
  drive.back() = drive.back() + Pull(network, input, state, nudge, loss);
}

}  // namespace

State Drive(const Network& network, const Clamped& input, const State& state,
            const Nudge& nudge, Loss loss) {
  const State s = Masked(input, state);
  return Drive(network, input, state, BottomUp(network, input, s), nudge, loss);
}

State Drive(const Network& network, const Clamped& input, const State& state,
            const std::vector<Pooled>& up, const Nudge& nudge, Loss loss) {
  State drive = OwnDrive(network, Masked(input, state), up);
  Complete(network, input, state, nudge, loss, drive);
  return drive;
}

State Settle(const Network& network, const Clamped& input, const State& state,
             State drive, const Nudge& nudge, const Dynamics& dynamics) {
  Complete(network, input, state, nudge, dynamics.loss, drive);
  const std::vector<double>& keep = input.dropout.keep;
  for (size_t l = 0; l < drive.size(); ++l) {
    if (!keep.empty() && keep[l] != 1) drive[l] = drive[l] * keep[l];
    if (dynamics.linear_output && l + 1 == drive.size()) continue;
    drive[l] = Activate(network.activation, drive[l]);
  }
  return drive;
}

State Step(const Network& network, const Clamped& input, const State& state,
           const Nudge& nudge, const Dynamics& dynamics) {
  const State s = Masked(input, state);
  return Settle(network, input, state,
                OwnDrive(network, s, BottomUp(network, input, s)), nudge,
                dynamics);
}

State ZeroState(const Network& network, const Clamped& input) {
  State state;
  for (std::vector<int64_t>& shape : LayerShapes(network, input.x.sizes())) {
    shape.insert(shape.begin(), input.batch());
    state.push_back(at::zeros(shape, input.x.options()));
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

std::vector<double> Residuals(const Network& network, const Clamped& input,
                              int64_t steps, const Dynamics& dynamics) {
  std::vector<double> residuals;
  State state = ZeroState(network, input);
  for (int64_t t = 0; t < steps; ++t) {
    State next = Step(network, input, state, {}, dynamics);
    double largest = 0;
    for (size_t l = 0; l < next.size(); ++l) {
      largest =
          std::max(largest, (next[l] - state[l]).abs().max().item<double>());
    }
    residuals.push_back(largest);
    state = std::move(next);
  }
  return residuals;
}

std::vector<at::Tensor> PhiGradient(const Network& network,
                                    const Clamped& input, const Phase& phase,
                                    const at::Tensor& target) {
  const double scale = 1 / static_cast<double>(input.batch());
  const State s = Masked(input, phase.state);
  const std::vector<Pooled> up = Routings(network, input, s);
  std::vector<at::Tensor> gradient;
  for (size_t l = 0; l < s.size(); ++l) {
    const Edge& edge = network.edges[l];
    gradient.push_back(
        WeightGradient(edge, Layer(input, s, l), Unpool(edge.pool, s[l], up[l]))
            .mul_(scale));
    gradient.push_back(BiasGradient(s[l]).mul_(scale));
  }
  if (network.softmax) {
    const at::Tensor force =
        ReadoutForce(network, s.back(), phase.beta, target);
    gradient.push_back(
        WeightGradient(network.edges.back(), s.back(), force).mul_(scale));
    gradient.push_back(BiasGradient(force).mul_(scale));
  }
  for (size_t l = 1; l < s.size(); ++l) {
    if (!network.edges[l].backward.defined()) continue;
    const at::Tensor e = UnpoolDown(network, l, s[l - 1], s[l]);
    gradient.push_back(Stored(
        network, WeightGradient(network.edges[l], s[l - 1], e).mul_(scale)));
  }
  return gradient;
}

Contrast Between(Phase a, Phase b, const at::Tensor& target) {
  const double divisor = a.beta - b.beta;
  return {std::move(a), std::move(b), divisor, target};
}

std::vector<at::Tensor> ContrastGradient(const Network& network,
                                         const Clamped& input,
                                         const Contrast& contrast,
                                         ContrastOrder order) {
  const Prepared s = Prepare(input, contrast, order);
  const std::vector<Pooled> up_a = Routings(network, input, s.a);
  const std::vector<Pooled> up_b = Routings(network, input, s.b);
  std::vector<at::Tensor> gradient;
  Pair below;
  for (size_t l = 0; l < s.a.size(); ++l) {
    const Edge& edge = network.edges[l];
    Pair layer = s.Layer(l);
    if (l == 0) {
      // x does not differ, nor does its routing.
      gradient.push_back(
          ContrastOfOne(edge, input.x, layer, input.bottom, s.scale));
    } else {
      const Pair e = edge.pool == Pool::kNone
                         ? layer
                         : s.Both(Unpool(edge.pool, s.a[l], up_a[l]),
                                  Unpool(edge.pool, s.b[l], up_b[l]));
      gradient.push_back(ContrastOf(edge, below, e, s.scale));
    }
    gradient.push_back(BiasContrast(layer, s.scale));
    below = std::move(layer);
  }
  if (network.softmax) AppendReadout(network, contrast, s, below, gradient);
  AppendBackward(network, s, s.a, s.b, gradient);
  return gradient;
}

std::vector<at::Tensor> VectorFieldGradient(const Network& network,
                                            const Clamped& input,
                                            const State& presynaptic,
                                            const Contrast& contrast,
                                            ContrastOrder order) {
  const Prepared s = Prepare(input, contrast, order);
  const State fixed = Masked(input, presynaptic);
  const std::vector<Pooled> up = Routings(network, input, fixed);
  std::vector<at::Tensor> gradient;
  for (size_t l = 0; l < s.a.size(); ++l) {
    const Pair layer = s.Layer(l);
    gradient.push_back(ContrastOfOne(network.edges[l], Layer(input, fixed, l),
                                     layer, up[l], s.scale));
    gradient.push_back(BiasContrast(layer, s.scale));
  }
  if (network.softmax)
    AppendReadout(network, contrast, s, s.Layer(s.a.size() - 1), gradient);
  AppendBackward(network, s, fixed, fixed, gradient);
  return gradient;
}

std::vector<at::Tensor> SameUpdateGradient(const Network& network,
                                           const Clamped& input,
                                           const Contrast& contrast,
                                           ContrastOrder order) {
  std::vector<at::Tensor> gradient =
      ContrastGradient(network, input, contrast, order);
  const std::vector<size_t> edges = EdgeOfParameters(network);
  for (size_t i = 2 * network.edges.size(); i < gradient.size(); ++i) {
    const at::Tensor forward = gradient[2 * edges[i]];
    const at::Tensor mean = (forward + Stored(network, gradient[i])).mul_(0.5);
    gradient[2 * edges[i]] = mean;
    gradient[i] = Stored(network, mean).clone();
  }
  return gradient;
}

}  // namespace altprop::eqprop
