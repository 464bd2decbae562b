// From a layer's description to the functions of threshold_math.h: calls `f`
// with the one that it stands for. Shared by the CPU and the CUDA operator.

#ifndef FTPROP_THRESHOLD_SELECT_H_
#define FTPROP_THRESHOLD_SELECT_H_

#include <cstdint>
#include <limits>

#include "c10/util/Exception.h"
#include "ftprop/nonlinearity.h"
#include "ftprop/threshold_math.h"

namespace altprop::ftprop {

template <typename T, typename F>
void SelectForward(const Nonlinearity& n, F&& f) {
  const T low = static_cast<T>(n.low);
  const T range = static_cast<T>(n.high - n.low);
  switch (n.family) {
    case Family::kStep11:
      return f(Step<T>{T(-1)});
    case Family::kStep01:
      return f(Step<T>{T(0)});
    case Family::kStaircase:
      return f(StaircaseLevel<T>{static_cast<T>(n.steps),
                                 static_cast<T>(1.0 / n.steps), low, range});
    case Family::kOldStaircase:
      return f(OldStaircaseLevel<T>{
          static_cast<int>(n.steps), low, range,
          static_cast<T>((n.high - n.low) / (n.steps - 1))});
    case Family::kRelu:
      return f(Relu<T>{});
    case Family::kThreshRelu:
      return f(Clip<T>{T(0), static_cast<T>(n.high)});
    case Family::kHardTanh:
      return f(Clip<T>{T(-1), T(1)});
    case Family::kClippedAbs:
      return f(ClippedAbs<T>{});
    case Family::kHardSigmoid:
      return f(HardSigmoid<T>{});
  }
}

// The rules of a step, which is +-1 or 0/1.
template <typename T, typename F>
void SelectStepRule(bool step11, const Threshold& t, double samples, F&& f) {
  const Weight<T> weight{t.scaled, static_cast<T>(1 / samples)};
  const auto soft = [&](double height, double slope) {
    f(SoftSlope<T>{weight, static_cast<T>(height), T(0), T(1),
                   static_cast<T>(slope), T(0)});
  };
  switch (t.rule) {
    case Rule::kWeightedPerceptron:
      return f(PerceptronSlope<T>{weight});
    case Rule::kAdaline:
      return f(AdalineSlope<T>{weight});
    case Rule::kSte:
      return f(PassOn<T>{});
    case Rule::kSste:
      return f(Window<T>{step11 ? T(-1) : T(0), T(1), T(0), T(1)});
    case Rule::kTruncWtHinge:
      return f(TruncatedHingeSlope<T>{weight});
    case Rule::kSigmoid:  // sigma(-2xt): its slope is 2 sigma (1 - sigma)
      return soft(0.5, 1);
    case Rule::kSigmoid2_2:  // 2 sigma(-2xt) = 1 - tanh(xt)
    case Rule::kSoftHinge:
      return soft(1, 1);
    case Rule::kSigmoid3_2:
      return soft(1.5, 1.5);
    case Rule::kLeCunTanh:  // 1.7519, as the authors have it (LeCun: 1.7159)
      return soft(2.0 / 3 * 1.7519, 2.0 / 3);
    case Rule::kSsteV2: {
      // Half the width of a uniform distribution of variance 1.
      const T edge = static_cast<T>(std::sqrt(12.0) / 2);
      const T first = step11 ? -edge : T(0);
      if (t.scaled && t.sste_v2_as_coded) {
        return f(SquaredWindow<T>{first, edge, static_cast<T>(samples)});
      }
      return f(Window<T>{first, edge, T(0), T(1)});
    }
    case Rule::kRamp:
      return f(RampSlope<T>{step11 ? T(-1) : T(0), T(1)});
    default:
      TORCH_CHECK(false, "no backward pass for this rule");
  }
}

template <typename T, typename F>
void SelectStaircaseRule(const Threshold& t, double samples, F&& f) {
  const Nonlinearity& n = t.nonlinearity;
  const double width = n.high - n.low;
  const T low = static_cast<T>(n.low), range = static_cast<T>(width);
  // The targets are signs, so the range's factor comes in once only.
  const Weight<T> weight{t.scaled, static_cast<T>(1 / (samples * width))};
  const double gaps = static_cast<double>(n.steps - 1);
  switch (t.rule) {
    case Rule::kSste:
      return f(Window<T>{T(0), T(1), low, range});
    case Rule::kSoftHinge:  // of the surrogate (tanh(2x' - 1) + 1) / 2
      return f(SoftSlope<T>{weight, T(1), low, range, T(2), T(-1)});
    case Rule::kTruncWtHinge:
      return f(TruncatedStaircaseSlope<T>{
          weight, static_cast<T>(n.steps), static_cast<T>(1.0 / n.steps), low,
          range, static_cast<T>(gaps), static_cast<T>(n.truncation * gaps)});
    default:
      TORCH_CHECK(false, "no backward pass for this rule");
  }
}

// `samples`: N, the size of dimension 0.
template <typename T, typename F>
void SelectBackward(const Threshold& t, double samples, F&& f) {
  const Nonlinearity& n = t.nonlinearity;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  switch (n.family) {
    case Family::kStep11:
      return SelectStepRule<T>(true, t, samples, f);
    case Family::kStep01:
      return SelectStepRule<T>(false, t, samples, f);
    case Family::kStaircase:
      return SelectStaircaseRule<T>(t, samples, f);
    case Family::kOldStaircase:
      return SelectStepRule<T>(false, t, samples, [&](const auto& inner) {
        f(OldStaircaseSlope<T, std::decay_t<decltype(inner)>>{
            inner, static_cast<int>(n.steps), static_cast<T>(n.low),
            static_cast<T>(n.high - n.low),
            static_cast<T>((n.high - n.low) / (n.steps - 1))});
      });
    case Family::kRelu:
      return f(ReluSlope<T>{T(0), kInfinity});
    case Family::kThreshRelu:
      return f(ReluSlope<T>{T(0), static_cast<T>(n.high)});
    case Family::kHardTanh:
      return f(OpenWindow<T>{T(1)});
    case Family::kClippedAbs:
      return f(ClippedAbsSlope<T>{});
    case Family::kHardSigmoid:
      return f(OpenWindow<T>{T(0.5)});
  }
}

}  // namespace altprop::ftprop

#endif  // FTPROP_THRESHOLD_SELECT_H_
