#include "cbp/constraint.h"

#include <cmath>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/full_like.h"
#include "ATen/ops/ge.h"
#include "ATen/ops/gt.h"
#include "ATen/ops/minimum.h"
#include "ATen/ops/sign.h"
#include "ATen/ops/sqrt.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/where.h"
#include "ATen/ops/zeros_like.h"

namespace altprop::cbp {
namespace {

// The nearest level, the upper one at a tie, in units of s.
at::Tensor NearestOverScale(const at::Tensor& w, const at::Tensor& s,
                            const LevelSet& levels) {
  at::Tensor f = at::full_like(w, levels.f[0]);
  for (int k = 0; k + 1 < levels.size; ++k) {
    f = f + w.ge(s * levels.b[k]).to(w.scalar_type()) * levels.gap(k);
  }
  return f;
}

// d_k of the interval that each weight lies in; 0 outside of all of them.
at::Tensor Gap(const at::Tensor& w, const at::Tensor& s,
               const LevelSet& levels) {
  at::Tensor gap = at::zeros_like(w);
  for (int k = 0; k + 1 < levels.size; ++k) {
    const at::Tensor inside =
        w.ge(s * levels.f[k]).logical_and(w.lt(s * levels.f[k + 1]));
    gap = at::where(inside, s * levels.gap(k), gap);
  }
  return gap;
}

bool HasWindow(double u) { return u < 1; }

}  // namespace

at::Tensor Scale(const at::Tensor& w) { return w.abs().mean().view({1}); }

at::Tensor Quantize(const at::Tensor& w, const at::Tensor& s, Mode mode) {
  const LevelSet levels = LevelsOf(mode);
  at::Tensor f = at::full_like(w, levels.f[0]);
  for (int k = 0; k + 1 < levels.size; ++k) {
    f = f + (at::sign(w - s * levels.b[k]) + 1) * (levels.gap(k) / 2);
  }
  return s * f;
}

at::Tensor NearestIndex(const at::Tensor& w, const at::Tensor& s, Mode mode) {
  const LevelSet levels = LevelsOf(mode);
  at::Tensor index = at::zeros_like(w, at::dtype(at::kByte));
  for (int k = 0; k + 1 < levels.size; ++k) {
    index += w.ge(s * levels.b[k]).to(at::kByte);
  }
  return index;
}

at::Tensor FromIndex(const at::Tensor& index, const at::Tensor& s, Mode mode) {
  const LevelSet levels = LevelsOf(mode);
  const at::Tensor f =
      at::tensor(at::ArrayRef<double>(levels.f.data(), levels.size),
                 at::kDouble)
          .to(s.device(), s.scalar_type());
  return f.index_select(0, index.flatten().to(at::kLong)).view(index.sizes()) *
         s;
}

at::Tensor Distance(const at::Tensor& w, const at::Tensor& s, Mode mode) {
  const LevelSet levels = LevelsOf(mode);
  at::Tensor nearest = at::abs(w - s * levels.f[0]);
  for (int k = 1; k < levels.size; ++k) {
    nearest = at::minimum(nearest, at::abs(w - s * levels.f[k]));
  }
  return 2 * nearest;
}

at::Tensor Constraint(const at::Tensor& w, const at::Tensor& s, Mode mode,
                      double u) {
  const at::Tensor y = Distance(w, s, mode);
  if (!HasWindow(u)) return y;
  const at::Tensor gap = Gap(w, s, LevelsOf(mode));
  const at::Tensor free = gap.gt(0).logical_and(y.gt(gap * u));
  return at::where(free, at::zeros_like(y), y);
}

at::Tensor ConstraintSlope(const at::Tensor& w, const at::Tensor& s, Mode mode,
                           double u) {
  const LevelSet levels = LevelsOf(mode);
  const at::Tensor rising = w.ge(NearestOverScale(w, s, levels) * s);
  const at::Tensor slope =
      at::where(rising, at::full_like(w, 2.0), at::full_like(w, -2.0));
  if (!HasWindow(u)) return slope;
  const at::Tensor y = Distance(w, s, mode);
  const at::Tensor gap = Gap(w, s, levels);
  const at::Tensor edge = gap * u;
  // Half open: the left edge, where Y still rises, belongs to the zone.
  const at::Tensor free =
      gap.gt(0).logical_and(at::where(rising, y.ge(edge), y.gt(edge)));
  return at::where(free, at::zeros_like(w), slope);
}

void UpdateWeight(at::Tensor& w, const at::Tensor& gradient,
                  const at::Tensor& lambda, at::Tensor& v, at::Tensor& q,
                  const at::Tensor& s, Mode mode, const WeightStep& step) {
  const at::NoGradGuard no_grad;
  const at::Tensor slope = ConstraintSlope(w, s, mode, step.u);
  const at::Tensor d =
      (gradient + lambda * slope).clamp(-kClip, kClip) + w * step.weight_decay;
  v.copy_(v * step.momentum + d);
  w.copy_((w - v * step.learning_rate).clamp(-kClip, kClip));
  q.copy_(Quantize(w, s, mode));
}

void UpdateMultiplier(const at::Tensor& w, const at::Tensor& s, Mode mode,
                      double u, double lr_lambda, int64_t t, at::Tensor& lambda,
                      at::Tensor& m, at::Tensor& v) {
  const at::NoGradGuard no_grad;
  const at::Tensor cs = Constraint(w, s, mode, u);
  const auto steps = static_cast<double>(t);
  m.copy_(m * kBeta1 - cs * (1 - kBeta1));
  v.copy_(v * kBeta2 + cs * cs * (1 - kBeta2));
  const at::Tensor root =
      at::sqrt(v) / std::sqrt(1 - std::pow(kBeta2, steps)) + kEpsilon;
  lambda.copy_(lambda - m / root * (lr_lambda / (1 - std::pow(kBeta1, steps))));
}

}  // namespace altprop::cbp
