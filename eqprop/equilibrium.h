// Equilibrium propagation, after A. Laborieux, M. Ernoult, B. Scellier,
// Y. Bengio, J. Grollier, D. Querlioz, "Scaling Equilibrium Propagation to Deep
// ConvNets by Drastically Reducing Its Gradient Estimator Bias", Frontiers in
// Neuroscience 15:633674, 2021. Plain functions on tensors, in the order of the
// method.
//
//   paper            here
//   x = s_0          Clamped::x, [B, n_0] or [B, C, H, W], held fixed
//   s_1 ... s_S      State, layer l is state[l - 1], [B, n_l] or [B, c, h, w]
//   W_l, b_l, B_l    Network::edges[l - 1]
//   y, one-hot       target, [B, classes]
//   Phi              Phi, the primitive function, [B]
//   sigma            Network::activation
//   loss, l(s, y)    Loss, LossPerSample, [B]
//   beta             Nudge::beta, [B, 1]: a sample's own nudging strength
//   s*, s_beta       what Relax returns: free without, nudged with a Nudge
//
// Nothing here records an autograd graph: every derivative is a closed form.
// Tensors are float32 or float64, on the network's device, of its dtype.
// Shapes that do not fit are our mistakes, and end in a c10::Error.

#ifndef EQPROP_EQUILIBRIUM_H_
#define EQPROP_EQUILIBRIUM_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

using State = std::vector<at::Tensor>;

// kMse: 1/2 sum_k (s_k - y_k)^2.  kCel: -log softmax(s)_y.
enum class Loss { kMse, kCel };

absl::string_view LossName(Loss loss);
absl::StatusOr<Loss> ParseLoss(absl::string_view name);

// How the network moves. With the cross-entropy and no softmax readout the
// output layer is linear, s_S = u_S; everywhere else s = sigma(u).
struct Dynamics {
  Loss loss = Loss::kMse;
  bool linear_output = false;
};

Dynamics TrainingDynamics(Loss loss, bool softmax = false);

// `squash_output` reproduces the authors' evaluation, which squashes the output
// layer by sigma even where training leaves it linear; without it evaluation
// moves as training does.
Dynamics EvaluationDynamics(Loss loss, bool softmax, bool squash_output);

// Dropout of units: every phase of a minibatch, its update and its loss see
// m_l * s_l in place of s_l, and the drive of layer l is multiplied by keep[l].
// Either list may be empty: no masks (all ones), no factors.
struct Dropout {
  State masks;               // m_1 ... m_S: 0 or 1 / keep probability
  std::vector<double> keep;  // the factor of each layer's drive
};

// The clamped input and what it alone decides, which no time step changes: the
// bottom-up drive of layer 1, P_1(W_1 x + b_1), and the routing of its pooling.
struct Clamped {
  at::Tensor x;  // [B, n_0] or [B, C, H, W]
  Pooled bottom;
  Dropout dropout;

  int64_t batch() const { return bottom.p.size(0); }
};

// `x`: [B, ...], flattened for an MLP; a mask of the input is already on it.
Clamped Clamp(const Network& network, const at::Tensor& x,
              Dropout dropout = {});

// The pull towards the target. Default: none, the free phase.
struct Nudge {
  at::Tensor beta;    // [B, 1]
  at::Tensor target;  // [B, classes]
};

// One-hot rows of `classes` for `labels` [B], int64 in [0, classes), of the
// dtype and device of `like`.
at::Tensor OneHot(const at::Tensor& labels, int64_t classes,
                  const at::Tensor& like);

// The same beta for every sample. beta = 0 gives the free phase's Nudge.
Nudge NudgeTowards(const at::Tensor& target, double beta);

// The network's answer, [B, classes]: s_S, or the logits W_N s_S + b_N of the
// softmax readout.
at::Tensor Output(const Network& network, const Clamped& input,
                  const State& state);

// The class of the largest output, [B], int64.
at::Tensor Prediction(const Network& network, const Clamped& input,
                      const State& state);

// l(s, y), [B]; `output`, `target`: [B, classes].
at::Tensor LossPerSample(Loss loss, const at::Tensor& output,
                         const at::Tensor& target);

// -dl/d output, [B, classes]: y - o for kMse, y - softmax(o) for kCel.
at::Tensor NudgeForce(Loss loss, const at::Tensor& output,
                      const at::Tensor& target);

// Phi_beta(x, s, theta, y) = sum_l <s_l, P_l(A_l(s_{l-1}) + b_l)> - beta l,
// per sample, [B]. Of the symmetric models; a vector field has no potential.
at::Tensor Phi(const Network& network, const Clamped& input, const State& state,
               const Nudge& nudge, Loss loss);

// E = sum rho(s) - Phi, [B]: stationary at the fixed points of Step.
at::Tensor Energy(const Network& network, const Clamped& input,
                  const State& state, const Nudge& nudge, Loss loss);

// u_l = P_l(z_l) + A_{l+1}^T U_{l+1}(s_{l+1}; z_{l+1}), z_l = A_l(s_{l-1}) +
// b_l, and for the last layer P_S(z_S) + beta (-dl/ds_S). In the symmetric
// models u = dPhi/ds; in a vector field B_{l+1} takes the place of W_{l+1} on
// the way down, and z_{l+1} there is B_{l+1}(s_l).
State Drive(const Network& network, const Clamped& input, const State& state,
            const Nudge& nudge, Loss loss);

// The same where BottomUp() of the masked state is known.
State Drive(const Network& network, const Clamped& input, const State& state,
            const std::vector<Pooled>& up, const Nudge& nudge, Loss loss);

// beta (-dl/ds_S), shaped as s_S: what a nudge adds to the last layer's drive.
at::Tensor Pull(const Network& network, const Clamped& input,
                const State& state, const Nudge& nudge, Loss loss);

// The end of a step from `state`: masks, nudge and sigma on drives that have
// neither.
State Settle(const Network& network, const Clamped& input, const State& state,
             State drive, const Nudge& nudge, const Dynamics& dynamics);

// s_l(t+1) = sigma(u_l(t)), all layers at once.
State Step(const Network& network, const Clamped& input, const State& state,
           const Nudge& nudge, const Dynamics& dynamics);

// Zeros: where every free phase starts.
State ZeroState(const Network& network, const Clamped& input);

// `steps` times Step. The plain form; phases.h has the fast one.
State Relax(const Network& network, const Clamped& input, State state,
            int64_t steps, const Nudge& nudge, const Dynamics& dynamics);

// How a free phase converges: the largest change of any unit in each of `steps`
// steps from zero.
std::vector<double> Residuals(const Network& network, const Clamped& input,
                              int64_t steps, const Dynamics& dynamics);

// m_l * s_l where there is dropout, the state itself elsewhere.
State Masked(const Clamped& input, const State& state);

// z_l, P_l(z_l) and the routing of every layer; `masked` is Masked's.
std::vector<Pooled> BottomUp(const Network& network, const Clamped& input,
                             const State& masked);

// The routing by which layer l + 1 (0-based: edges[l], l >= 1) sends down:
// `up`, that of the forward map, or in a vector field that of B.
Pooled DownRouting(const Network& network, size_t l, const at::Tensor& below,
                   const Pooled& up);

// ---- Gradients ----
//
// All are averaged over the batch and in the order of Parameters(network).

// How the contrast of two states is evaluated. kContrastFirst takes differences
// of the states, then products:
//   v^b w^b - v^a w^a = (v^b - v^a)(w^b + w^a)/2 + (v^b + v^a)/2 (w^b - w^a),
// which keeps the precision of small differences. kSumsFirst subtracts two
// batch sums, as the authors' program does.
enum class ContrastOrder { kContrastFirst, kSumsFirst };

// A state that the network reached, and the beta of Phi there.
struct Phase {
  State state;
  double beta = 0;
};

// dPhi_beta/dtheta: wgrad(s_{l-1}, U_l(s_l; z_l)) and the sum of s_l over
// space; for the readout beta (y - softmax(o)) (x) s_S. In a vector field also
// wgrad(s_{l-1}, U_l(s_l; B_l s_{l-1})) for B_l.
std::vector<at::Tensor> PhiGradient(const Network& network,
                                    const Clamped& input, const Phase& phase,
                                    const at::Tensor& target);

// Every estimate of dl/dtheta is the contrast of two phases,
//
//   g = [D(s^b, beta_b) - D(s^a, beta_a)] / divisor,   D = PhiGradient,
//
// with the sign of a gradient (an optimizer subtracts it).
//   one-sided:   a = (s*, beta_1),      b = (s_beta, beta_2);  bias O(beta)
//   random sign: the same with beta_2 of either sign
//   symmetric:   a = (s_beta, +beta),   b = (s_-beta, -beta);  bias O(beta^2)
struct Contrast {
  Phase a, b;
  double divisor;     // beta_a - beta_b
  at::Tensor target;  // [B, classes], for the readout
};

// With divisor = a.beta - b.beta, which must not be 0.
Contrast Between(Phase a, Phase b, const at::Tensor& target);

// The gradient of a symmetric model.
std::vector<at::Tensor> ContrastGradient(
    const Network& network, const Clamped& input, const Contrast& contrast,
    ContrastOrder order = ContrastOrder::kContrastFirst);

// The gradient of a vector field with different updates: what is presynaptic
// stays at `presynaptic` (s*), only the postsynaptic layer differs.
// Postsynaptic to W_l is layer l, to B_l the layer l - 1 below it.
std::vector<at::Tensor> VectorFieldGradient(
    const Network& network, const Clamped& input, const State& presynaptic,
    const Contrast& contrast,
    ContrastOrder order = ContrastOrder::kContrastFirst);

// The gradient of a vector field with the same update for W_l and B_l: the mean
// of the two contrasts, by which the two weights approach each other (Kolen &
// Pollack 1994).
std::vector<at::Tensor> SameUpdateGradient(
    const Network& network, const Clamped& input, const Contrast& contrast,
    ContrastOrder order = ContrastOrder::kContrastFirst);

}  // namespace altprop::eqprop

#endif  // EQPROP_EQUILIBRIUM_H_
