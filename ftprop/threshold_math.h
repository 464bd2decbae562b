// What one unit of a hidden layer computes, forward and backward, as functions
// of scalars that the CPU's vector loops and the CUDA kernel share.
//
// x: the unit's input (pre-activation), g = dL/dy: the gradient that arrives at
// its output y. Targets are t = sign(-g) in {-1, 0, 1}. Under importance
// weighting the hidden loss is multiplied by |g|; since |g| (-t) = g, the
// target cancels, and most rules become g f(x); without it they are
// sign(g) f(x) / N, N being the number of samples.

#ifndef FTPROP_THRESHOLD_MATH_H_
#define FTPROP_THRESHOLD_MATH_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define ALTPROP_INLINE __host__ __device__ __forceinline__
#else
#define ALTPROP_INLINE [[gnu::always_inline]] inline
#endif

namespace altprop::ftprop {

// e^-v for v >= 0, to about one unit in the last place, without a branch or a
// call, so that a loop of it becomes vector instructions. The device has its
// own.
template <typename T>
ALTPROP_INLINE T ExpMinus(T v) {
#if defined(__CUDA_ARCH__)
  return exp(-v);
#else
  // e^-v = 2^-k e^r, k = round(v / ln 2), |r| <= ln 2 / 2, ln 2 in two parts
  // (Cody & Waite); from kMost on the result counts as 0.
  constexpr bool kDouble = std::is_same_v<T, double>;
  constexpr T kMost = kDouble ? T(700) : T(87);
  // Adding it rounds to a whole number, which then stands in the low bits.
  constexpr T kRound = kDouble ? T(0x1.8p52) : T(0x1.8p23);
  constexpr T kLn2High =
      kDouble ? T(6.93147180369123816490e-01) : T(0.693359375);
  constexpr T kLn2Low =
      kDouble ? T(1.90821492927058770002e-10) : T(-2.12194440e-4);
  const T bounded = v < kMost ? v : kMost;
  const T shifted = bounded * T(1.4426950408889634) + kRound;
  const T k = shifted - kRound;
  const T r = (k * kLn2High - bounded) + k * kLn2Low;
  // Taylor by Horner: the next term is below half a unit in the last place.
  constexpr int kTerms = kDouble ? 13 : 7;
  T sum = T(1);
#if !defined(__CUDACC__)
#pragma GCC unroll 16
#endif
  for (int i = kTerms; i > 0; --i) sum = sum * (r * (T(1) / T(i))) + T(1);
  using Bits = std::conditional_t<kDouble, int64_t, int32_t>;
  constexpr int kMantissa = kDouble ? 52 : 23;
  constexpr Bits kBias = kDouble ? 1023 : 127;
  Bits bits = std::bit_cast<Bits>(shifted) - std::bit_cast<Bits>(kRound);
  bits = (kBias - bits) << kMantissa;
  return v < kMost ? sum * std::bit_cast<T>(bits) : T(0);
#endif
}

// sech^2(u) = 4 e / (1 + e)^2, e = e^(-2 |u|): no cancellation anywhere.
template <typename T>
ALTPROP_INLINE T SechSquared(T u) {
  const T e = ExpMinus(T(2) * (u < T(0) ? -u : u));
  const T d = T(1) + e;
  return u == u ? T(4) * e / (d * d) : u;  // NaN stays
}

template <typename T>
ALTPROP_INLINE T SignOf(T v) {
  return static_cast<T>(v > T(0)) - static_cast<T>(v < T(0));
}

// min(max(v, low), high) that keeps NaN.
template <typename T>
ALTPROP_INLINE T Clamp(T v, T low, T high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

// ---- Forward: y of x ----

template <typename T>
struct Step {
  T low;  // -1 or 0
  ALTPROP_INLINE T operator()(T x) const { return x > T(0) ? T(1) : low; }
};

template <typename T>
struct StaircaseLevel {
  T steps, level, low, range;  // level = 1 / steps
  ALTPROP_INLINE T operator()(T x) const {
    const T inner = (x - low) / range;
    const T k = Clamp(std::ceil(inner * (steps - T(1))), T(0), steps);
    return k * level * range + low;
  }
};

// The sum of n 0/1 steps.
template <typename T>
struct OldStaircaseLevel {
  int steps;
  T low, range, distance;
  ALTPROP_INLINE T operator()(T x) const {
    T count = T(0);
    for (int i = 0; i < steps; ++i) {
      count += (x - low) - T(i) * distance > T(0) ? T(1) : T(0);
    }
    return low + range * (count / T(steps));
  }
};

template <typename T>
struct Clip {
  T low, high;
  ALTPROP_INLINE T operator()(T x) const { return Clamp(x, low, high); }
};

template <typename T>
struct Relu {
  ALTPROP_INLINE T operator()(T x) const { return x <= T(0) ? T(0) : x; }
};

template <typename T>
struct ClippedAbs {
  ALTPROP_INLINE T operator()(T x) const {
    const T size = x < T(0) ? -x : x;
    return size > T(1) ? T(1) : size;
  }
};

template <typename T>
struct HardSigmoid {
  ALTPROP_INLINE T operator()(T x) const {
    return Clamp((x + T(1)) * T(0.5), T(0), T(1));
  }
};

// ---- Backward: dL/dx of x and g ----

// The importance weighting: g, or sign(g) times `factor`, 1 / N. Exact either
// way, since one of the two terms is 0; a choice would keep gcc from making
// vectors of the loop.
template <typename T>
struct Weight {
  T gradient, sign;
  ALTPROP_INLINE Weight(bool scaled, T factor)
      : gradient(scaled ? T(1) : T(0)), sign(scaled ? T(0) : factor) {}
  ALTPROP_INLINE T operator()(T g) const {
    return g * gradient + SignOf(g) * sign;
  }
};

// SoftHinge, Sigmoid, Sigmoid2_2, Sigmoid3_2, LeCunTanh: c sech^2(a x + b).
template <typename T>
struct SoftSlope {
  Weight<T> weight;
  T height, low, range, slope, offset;  // u = slope (x - low) / range + offset
  ALTPROP_INLINE T operator()(T x, T g) const {
    const T u = slope * ((x - low) / range) + offset;
    return weight(g) * (height * SechSquared(u));
  }
};

// SSTE and SSTEv2: g on a closed interval of x' = (x - low) / range.
template <typename T>
struct Window {
  T first, last, low, range;
  ALTPROP_INLINE T operator()(T x, T g) const {
    const T inner = (x - low) / range;
    return (inner >= first) & (inner <= last) ? g : T(0);
  }
};

// SSTEv2 under importance weighting as the authors' code has it.
template <typename T>
struct SquaredWindow {
  T first, last, samples;
  ALTPROP_INLINE T operator()(T x, T g) const {
    const T size = g < T(0) ? -g : g;
    return (x >= first) & (x <= last) ? samples * g * size : T(0);
  }
};

template <typename T>
struct PassOn {  // STE
  ALTPROP_INLINE T operator()(T, T g) const { return g; }
};

// Ramp: g on [first, last], falling linearly to 0 within 1 of it.
template <typename T>
struct RampSlope {
  T first, last;
  ALTPROP_INLINE T operator()(T x, T g) const {
    const T left = x - (first - T(1));
    const T right = (last + T(1)) - x;
    const T least = left < right ? left : right;
    return g * Clamp(least, T(0), T(1));
  }
};

// max(0, -x t): where the unit is on the wrong side, or at 0.
template <typename T>
struct PerceptronSlope {
  Weight<T> weight;
  ALTPROP_INLINE T operator()(T x, T g) const {
    return x * SignOf(g) >= T(0) ? weight(g) : T(0);
  }
};

// (x - t)^2 / 2, where there is a target.
template <typename T>
struct AdalineSlope {
  Weight<T> weight;
  ALTPROP_INLINE T operator()(T x, T g) const {
    const T w = weight(g);
    return w + (w < T(0) ? -w : w) * x;
  }
};

// min(max(1 - x t, 0), 2) on a +-1 step.
template <typename T>
struct TruncatedHingeSlope {
  Weight<T> weight;
  ALTPROP_INLINE T operator()(T x, T g) const {
    const T z = x * SignOf(g);
    return (z >= T(-1)) & (z < T(1)) ? weight(g) : T(0);
  }
};

// The same on a staircase: the share of its steps in whose window x lies, for
// margin and truncation in units of z = (n - 1) x'.
template <typename T>
struct TruncatedStaircaseSlope {
  Weight<T> weight;
  T steps, level, low, range, margin, truncation;
  ALTPROP_INLINE T Count(T v) const { return std::ceil(Clamp(v, T(0), steps)); }
  ALTPROP_INLINE T operator()(T x, T g) const {
    const T z = (x - low) / range * (steps - T(1));
    const T up = Count(z + truncation - margin) - Count(z - margin);
    const T down = Count(z + margin) - Count(z + margin - truncation);
    const T count = g < T(0) ? up : down;
    return weight(g) * (count * level);
  }
};

// Each step of an old staircase by its own rule.
template <typename T, typename Inner>
struct OldStaircaseSlope {
  Inner inner;
  int steps;
  T low, range, distance;
  ALTPROP_INLINE T operator()(T x, T g) const {
    const T share = g * range / T(steps);
    T sum = T(0);
    for (int i = 0; i < steps; ++i) {
      sum += inner((x - low) - T(i) * distance, share);
    }
    return sum;
  }
};

// g on (low, high], of relu (high infinite) and threshrelu.
template <typename T>
struct ReluSlope {
  T low, high;
  ALTPROP_INLINE T operator()(T x, T g) const {
    return (x <= low) | (x > high) ? T(0) : g;
  }
};

// g on (-1, 1): hardtanh; times 1/2: hardsigmoid.
template <typename T>
struct OpenWindow {
  T slope;
  ALTPROP_INLINE T operator()(T x, T g) const {
    return (x <= T(-1)) | (x >= T(1)) ? T(0) : g * slope;
  }
};

template <typename T>
struct ClippedAbsSlope {
  ALTPROP_INLINE T operator()(T x, T g) const {
    const T size = x < T(0) ? -x : x;
    return size <= T(1) ? g * SignOf(x) : T(0);
  }
};

}  // namespace altprop::ftprop

#endif  // FTPROP_THRESHOLD_MATH_H_
