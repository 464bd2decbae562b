// The mathematics of the method (Kim & Jeong 2021), as plain functions of one
// layer's weights: one ATen call after the other, short enough to hold against
// the paper. Training uses the fused operators (weight_rule.h), which are
// tested against these.
//
// w: floating point, any shape. s: the layer's scale, of one element, of w's
// type. u = 1 - 1/g is the window: 0 frees everything between the outermost
// levels, 1 nothing.

#ifndef CBP_CONSTRAINT_H_
#define CBP_CONSTRAINT_H_

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "cbp/levels.h"

namespace altprop::cbp {

// s = mean |w|, [1].
at::Tensor Scale(const at::Tensor& w);

// Q(w), the nearest level; at a tie, w = m_k, the midpoint itself, as the
// authors' formula has it: s (f_1 + sum_k (f_{k+1} - f_k) (sign(w - m_k) + 1) /
// 2) with sign(0) = 0.
at::Tensor Quantize(const at::Tensor& w, const at::Tensor& s, Mode mode);

// The index 0 .. n - 1 of the nearest level, uint8; at a tie the upper one.
at::Tensor NearestIndex(const at::Tensor& w, const at::Tensor& s, Mode mode);

// The levels themselves: s f[index], of s's type.
at::Tensor FromIndex(const at::Tensor& index, const at::Tensor& s, Mode mode);

// Y(w) = 2 min_k |w - q_k|, the constraint without a window (eq. 4 to 6).
at::Tensor Distance(const at::Tensor& w, const at::Tensor& s, Mode mode);

// cs(w): Y(w), but 0 in the free zone of each interval between two levels,
// |w - m_k| < d_k / (2 g), which is where Y(w) > d_k u. Never free: w beyond
// the outermost levels.
at::Tensor Constraint(const at::Tensor& w, const at::Tensor& s, Mode mode,
                      double u);

// d cs / dw, one of -2, 0, 2. At kinks the derivative to the right; the free
// zone is [left, right).
at::Tensor ConstraintSlope(const at::Tensor& w, const at::Tensor& s, Mode mode,
                           double u);

// One weight update of a constrained layer, in place. `gradient`: of the task
// loss for Q(w) (straight-through: it is taken for w). Then q = Q(w).
//
//   d = clip(gradient + lambda dcs/dw, -1, 1) + weight_decay w
//   v <- momentum v + d;  w <- clip(w - lr v, -1, 1)
struct WeightStep {
  double u = 0;
  double learning_rate = 0;
  double weight_decay = 0;
  double momentum = 0.9;
};
void UpdateWeight(at::Tensor& w, const at::Tensor& gradient,
                  const at::Tensor& lambda, at::Tensor& v, at::Tensor& q,
                  const at::Tensor& s, Mode mode, const WeightStep& step);

// One multiplier update, number t = 1, 2, ..., in place: Adam on -cs.
//
//   m <- 0.9 m - 0.1 cs;  v <- 0.999 v + 0.001 cs^2
//   lambda <- lambda - lr / (1 - 0.9^t) m / (sqrt(v / (1 - 0.999^t)) + 1e-8)
void UpdateMultiplier(const at::Tensor& w, const at::Tensor& s, Mode mode,
                      double u, double lr_lambda, int64_t t, at::Tensor& lambda,
                      at::Tensor& m, at::Tensor& v);

inline constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
// Of gradients and of constrained weights.
inline constexpr double kClip = 1;

}  // namespace altprop::cbp

#endif  // CBP_CONSTRAINT_H_
