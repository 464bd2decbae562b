#include "ftprop/threshold_reference.h"

#include <cmath>

#include "ATen/TensorOperators.h"
#include "ATen/ops/ones_like.h"
#include "ATen/ops/where.h"
#include "ATen/ops/zeros_like.h"
#include "common/logging.h"

namespace altprop::ftprop {
namespace {

double Samples(const at::Tensor& grad) {
  return static_cast<double>(grad.size(0));
}

// +1 above 0, else -1.
at::Tensor Sign11(const at::Tensor& x) {
  return at::where(x.gt(0), at::ones_like(x), -at::ones_like(x));
}

// The thresholds of an old staircase: low + i (high - low) / (n - 1).
at::Tensor ShiftedBy(const at::Tensor& x, const Nonlinearity& n, int64_t i) {
  const double distance = (n.high - n.low) / static_cast<double>(n.steps - 1);
  return x - n.low - static_cast<double>(i) * distance;
}

at::Tensor OldStaircase(const Nonlinearity& n, const at::Tensor& x) {
  at::Tensor sum = at::zeros_like(x);
  for (int64_t i = 0; i < n.steps; ++i) {
    sum += (Sign11(ShiftedBy(x, n, i)) + 1) / 2;
  }
  return sum / static_cast<double>(n.steps) * (n.high - n.low) + n.low;
}

at::Tensor Staircase(const Nonlinearity& n, const at::Tensor& x) {
  const at::Tensor inner = (x - n.low) / (n.high - n.low);
  const at::Tensor k =
      inner.mul(static_cast<double>(n.steps - 1)).ceil().clamp(0, n.steps);
  return k * (1.0 / static_cast<double>(n.steps)) * (n.high - n.low) + n.low;
}

at::Tensor Sigmoid(const at::Tensor& x) { return x.sigmoid(); }

// The slope in x of the hidden loss l(x, t), t = sign(-g), for a step.
at::Tensor LossSlope(Rule rule, const at::Tensor& x, const at::Tensor& t) {
  const at::Tensor u = x * t;
  const auto sigmoid = [&](double a, double b) {
    const at::Tensor s = Sigmoid(-a * u);
    return s * (1 - s) * (a * b) * -t;
  };
  switch (rule) {
    case Rule::kSoftHinge:
      return (1 - u.tanh().square()) * -t;
    case Rule::kLeCunTanh:
      return (1 - (u * (2.0 / 3)).tanh().square()) * (2.0 / 3 * 1.7519) * -t;
    case Rule::kSigmoid:
      return sigmoid(2, 1);
    case Rule::kSigmoid2_2:
      return sigmoid(2, 2);
    case Rule::kSigmoid3_2:
      return sigmoid(3, 2);
    case Rule::kTruncWtHinge:
      return u.gt(-1).logical_and(u.le(1)) * -t;
    case Rule::kWeightedPerceptron:
      return u.le(0) * -t;
    case Rule::kAdaline:
      return t.abs() * (x - t);
    default:
      LOG(FATAL) << "no loss of rule " << RuleName(rule);
  }
}

at::Tensor Inside(const at::Tensor& x, double first, double last) {
  return x.ge(first).logical_and(x.le(last));
}

at::Tensor RampSlope(const at::Tensor& x, double first, double last) {
  const at::Tensor zero = at::zeros_like(x);
  const at::Tensor left =
      at::where(Inside(x, first - 1, first), x - (first - 1), zero);
  const at::Tensor right =
      at::where(Inside(x, last, last + 1), last + 1 - x, left);
  return at::where(Inside(x, first, last), at::ones_like(x), right);
}

at::Tensor StepBackward(bool step11, const Threshold& threshold,
                        const at::Tensor& g, const at::Tensor& x) {
  const double first = step11 ? -1 : 0;
  switch (threshold.rule) {
    case Rule::kSte:
      return g.clone();
    case Rule::kSste:
      return g * Inside(x, first, 1);
    case Rule::kRamp:
      return g * RampSlope(x, first, 1);
    case Rule::kSsteV2: {
      const double edge = std::sqrt(3.0);
      const at::Tensor inside = g * Inside(x, first * edge, edge);
      return threshold.scaled && threshold.sste_v2_as_coded
                 ? inside * g.abs() * Samples(g)
                 : inside;
    }
    default:
      break;
  }
  const at::Tensor t = (-g).sign();
  const at::Tensor u = LossSlope(threshold.rule, x, t) / Samples(g);
  return threshold.scaled ? u * Samples(g) * g.abs() : u;
}

// Of the range [0, 1].
at::Tensor StaircaseBackward(const Threshold& threshold, const at::Tensor& g,
                             const at::Tensor& x) {
  if (threshold.rule == Rule::kSste) return g * Inside(x, 0, 1);
  const at::Tensor t = (-g).sign();
  at::Tensor slope;
  if (threshold.rule == Rule::kSoftHinge) {
    slope = (1 - ((x * 2 - 1) * t).tanh().square()) * -t;
  } else {
    const Nonlinearity& n = threshold.nonlinearity;
    const auto gaps = static_cast<double>(n.steps - 1);
    const double m = gaps, q = n.truncation * gaps;
    const at::Tensor z = x * gaps;
    const auto count = [&](const at::Tensor& v) {
      return v.clamp(0, n.steps).ceil();
    };
    const at::Tensor c = at::where(t.gt(0), count(z + (q - m)) - count(z - m),
                                   count(z + m) - count(z + (m - q)));
    slope = c / static_cast<double>(n.steps) * -t;
  }
  return threshold.scaled ? slope * g.abs() : slope / Samples(g);
}

}  // namespace

at::Tensor ApplyReference(const Nonlinearity& n, const at::Tensor& x) {
  switch (n.family) {
    case Family::kStep11:
      return Sign11(x);
    case Family::kStep01:
      return Sign11(x).clamp_min(0);
    case Family::kStaircase:
      return Staircase(n, x);
    case Family::kOldStaircase:
      return OldStaircase(n, x);
    case Family::kRelu:
      return x.relu();
    case Family::kThreshRelu:
      return x.relu().clamp_max(n.high);
    case Family::kHardTanh:
      return x.clamp(-1, 1);
    case Family::kClippedAbs:
      return x.abs().clamp_max(1);
    case Family::kHardSigmoid:
      break;
  }
  return ((x + 1) * 0.5).clamp(0, 1);
}

at::Tensor BackwardReference(const Threshold& threshold, const at::Tensor& g,
                             const at::Tensor& x) {
  const Nonlinearity& n = threshold.nonlinearity;
  const double width = n.high - n.low;
  switch (n.family) {
    case Family::kStep11:
      return StepBackward(true, threshold, g, x);
    case Family::kStep01:
      return StepBackward(false, threshold, g, x);
    case Family::kStaircase:
      return StaircaseBackward(threshold, g * width, (x - n.low) / width) /
             width;
    case Family::kOldStaircase: {
      at::Tensor sum = at::zeros_like(x);
      for (int64_t i = 0; i < n.steps; ++i) {
        sum += StepBackward(false, threshold,
                            g * (width / static_cast<double>(n.steps)),
                            ShiftedBy(x, n, i));
      }
      return sum;
    }
    case Family::kRelu:
      return g * x.gt(0);
    case Family::kThreshRelu:
      return g * x.gt(0).logical_and(x.le(n.high));
    case Family::kHardTanh:
      return g * x.gt(-1).logical_and(x.lt(1));
    case Family::kClippedAbs:
      return g * x.sign() * x.abs().le(1);
    case Family::kHardSigmoid:
      break;
  }
  return g * 0.5 * x.gt(-1).logical_and(x.lt(1));
}

}  // namespace altprop::ftprop
