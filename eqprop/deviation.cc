#include "eqprop/deviation.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/where.h"
#include "ATen/ops/zeros_like.h"

namespace altprop::eqprop {
namespace {

// The linear maps of a network with operands of a narrower type, converted
// once.
class RoundedMaps {
 public:
  RoundedMaps(const Network& network, at::ScalarType type)
      : network_(network), type_(type) {
    for (size_t l = 0; l < network.layers(); ++l) {
      up_.push_back(network.edges[l].weight.to(type));
      down_.push_back(l == 0 ? at::Tensor()
                             : BackwardWeight(network, l).to(type));
    }
  }

  // A(below) of edge l, without bias.
  at::Tensor Up(size_t l, const at::Tensor& below) const {
    return Map(l, up_[l], below);
  }
  // B(below), which decides the routing of a vector field.
  at::Tensor DownForward(size_t l, const at::Tensor& below) const {
    return Map(l, down_[l], below);
  }
  // The adjoint of the way down, shaped as `below`.
  at::Tensor Down(size_t l, const at::Tensor& e,
                  const at::Tensor& below) const {
    return Adjoint(network_.edges[l], down_[l], e.to(type_), below.to(type_))
        .to(below.scalar_type());
  }

 private:
  at::Tensor Map(size_t l, const at::Tensor& weight,
                 const at::Tensor& below) const {
    return Preactivation(network_.edges[l], weight, at::Tensor(),
                         below.to(type_))
        .to(below.scalar_type());
  }

  const Network& network_;
  at::ScalarType type_;
  std::vector<at::Tensor> up_, down_;
};

at::Tensor PlusBias(const at::Tensor& z, const at::Tensor& bias) {
  return z.dim() == 4 ? z + bias.view({1, -1, 1, 1}) : z + bias;
}

// One step of equilibrium.h's dynamics with rounded products.
State RoundedStep(const Network& network, const Clamped& input,
                  const RoundedMaps& maps, const State& state,
                  const Nudge& nudge, const Dynamics& dynamics) {
  const State s = Masked(input, state);
  std::vector<Pooled> up = {input.bottom};
  for (size_t l = 1; l < s.size(); ++l) {
    up.push_back(
        PoolForward(network.edges[l].pool,
                    PlusBias(maps.Up(l, s[l - 1]), network.edges[l].bias)));
  }
  State drive;
  for (size_t l = 0; l < s.size(); ++l) {
    at::Tensor u = up[l].p;
    if (l + 1 < s.size()) {
      const Pool pool = network.edges[l + 1].pool;
      const bool own = pool == Pool::kMax && IsVectorField(network.model);
      const Pooled down =
          own ? PoolForward(pool, maps.DownForward(l + 1, s[l])) : up[l + 1];
      u = u + maps.Down(l + 1, Unpool(pool, s[l + 1], down), s[l]);
    }
    drive.push_back(std::move(u));
  }
  return Settle(network, input, state, std::move(drive), nudge, dynamics);
}

// P(z* + dz) - P(z*), given both.
at::Tensor PooledDifference(Pool pool, const at::Tensor& dz, const Pooled& star,
                            const Pooled& now) {
  if (pool != Pool::kMax) return PoolForward(pool, dz).p;
  return at::where(now.indices.eq(star.indices), Gather(pool, dz, star),
                   now.p - star.p);
}

// U(v + dv; now) - U(v; star).
at::Tensor UnpooledDifference(Pool pool, const at::Tensor& v,
                              const at::Tensor& dv, const Pooled& star,
                              const Pooled& now) {
  if (pool != Pool::kMax) return Unpool(pool, dv, star);
  const at::Tensor moved = now.indices.ne(star.indices);
  const at::Tensor zero = at::zeros_like(v);
  return Unpool(pool, at::where(moved, -v, dv), star) +
         Unpool(pool, at::where(moved, v + dv, zero), now);
}

// sigma(u + du) - sigma(u). Of the clamps, which are linear in between, without
// subtracting.
at::Tensor SigmaDifference(Activation activation, const at::Tensor& u,
                           const at::Tensor& du) {
  at::Tensor difference =
      Activate(activation, u + du) - Activate(activation, u);
  switch (activation) {
    case Activation::kHardSigmoid:
    case Activation::kMyHardSig:
    case Activation::kCtrdHardSig: {
      const at::Tensor slope = Derivative(activation, u);
      const at::Tensor linear = slope.mul(Derivative(activation, u + du)).ne(0);
      return at::where(linear, slope * du, difference);
    }
    default:
      return difference;
  }
}

// What the deviations are taken from.
struct Star {
  State s;                       // masked s*
  State u;                       // keep * u*
  State residual;                // sigma(keep u*) - s*: 0 where s* converged
  std::vector<Pooled> up, down;  // the routing both ways
};

Star MakeStar(const Network& network, const Clamped& input, const State& free,
              const Dynamics& dynamics) {
  Star star;
  star.s = Masked(input, free);
  star.up = BottomUp(network, input, star.s);
  star.down = star.up;
  for (size_t l = 1; l < star.s.size(); ++l) {
    star.down[l] = DownRouting(network, l, star.s[l - 1], star.up[l]);
  }
  star.u = Drive(network, input, free, {}, dynamics.loss);
  const std::vector<double>& keep = input.dropout.keep;
  for (size_t l = 0; l < star.u.size(); ++l) {
    if (!keep.empty()) star.u[l] = star.u[l] * keep[l];
    const bool linear = dynamics.linear_output && l + 1 == star.u.size();
    star.residual.push_back(
        (linear ? star.u[l] : Activate(network.activation, star.u[l])) -
        free[l]);
  }
  return star;
}

State DeviationStep(const Network& network, const Clamped& input,
                    const RoundedMaps& maps, const Star& star,
                    const State& free, const State& delta, const Nudge& nudge,
                    const Dynamics& dynamics) {
  const size_t layers = free.size();
  const State d = Masked(input, delta);
  std::vector<Pooled> up(layers), down(layers);
  State du(layers);
  du[0] = at::zeros_like(free[0]);
  for (size_t l = 1; l < layers; ++l) {
    const Pool pool = network.edges[l].pool;
    const at::Tensor dz = maps.Up(l, d[l - 1]);
    up[l] = PoolForward(pool, star.up[l].z + dz);
    du[l] = PooledDifference(pool, dz, star.up[l], up[l]);
    const bool own = pool == Pool::kMax && IsVectorField(network.model);
    down[l] =
        own ? PoolForward(pool, star.down[l].z + maps.DownForward(l, d[l - 1]))
            : up[l];
  }
  State state;
  for (size_t l = 0; l < layers; ++l) state.push_back(free[l] + delta[l]);
  for (size_t l = 0; l + 1 < layers; ++l) {
    const Pool pool = network.edges[l + 1].pool;
    du[l] = du[l] + maps.Down(l + 1,
                              UnpooledDifference(pool, star.s[l + 1], d[l + 1],
                                                 star.down[l + 1], down[l + 1]),
                              d[l]);
  }
  State next;
  const Dropout& dropout = input.dropout;
  for (size_t l = 0; l < layers; ++l) {
    at::Tensor change = du[l];
    if (!dropout.masks.empty()) change = change * dropout.masks[l];
    if (l + 1 == layers && nudge.beta.defined()) {
      change = change + Pull(network, input, state, nudge, dynamics.loss);
    }
    if (!dropout.keep.empty()) change = change * dropout.keep[l];
    const bool linear = dynamics.linear_output && l + 1 == layers;
    next.push_back(
        (linear ? change
                : SigmaDifference(network.activation, star.u[l], change)) +
        star.residual[l]);
  }
  return next;
}

}  // namespace

State RelaxRounded(const Network& network, const Clamped& input,
                   const State& state, int64_t steps, const Nudge& nudge,
                   const Dynamics& dynamics, at::ScalarType type) {
  constexpr int64_t kExact = 20;
  const RoundedMaps maps(network, type);
  State s = state;
  for (int64_t t = 0; t < steps - kExact; ++t) {
    s = RoundedStep(network, input, maps, s, nudge, dynamics);
  }
  return Relax(network, input, std::move(s), std::min(steps, kExact), nudge,
               dynamics);
}

State RelaxDeviation(const Network& network, const Clamped& input,
                     const State& free, int64_t steps, const Nudge& nudge,
                     const Dynamics& dynamics, at::ScalarType type) {
  const RoundedMaps maps(network, type);
  const Star star = MakeStar(network, input, free, dynamics);
  State delta;
  for (const at::Tensor& s : free) delta.push_back(at::zeros_like(s));
  for (int64_t t = 0; t < steps; ++t) {
    delta =
        DeviationStep(network, input, maps, star, free, delta, nudge, dynamics);
  }
  State state;
  for (size_t l = 0; l < free.size(); ++l) {
    state.push_back(free[l] + delta[l]);
  }
  return state;
}

}  // namespace altprop::eqprop
