// Included once per instruction set, in a namespace of its own: everything has
// internal linkage, so that no set's code serves another. Compiled without
// contraction.
//
// The arithmetic of a weight is a template of X: a number, or a register of
// them (the compilers' vector extension; ALTPROP_VECTOR_BYTES is its width).
// Left to itself the compiler vectorizes none of this. Sums are kept per lane,
// and lanes added in order: weights have the same bits from every instruction
// set, sums from the same one.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "cbp/weight_kernel.h"

namespace altprop::cbp {
namespace {

constexpr int kVectorBytes = ALTPROP_VECTOR_BYTES;

template <typename T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using Type [[gnu::vector_size(ALTPROP_VECTOR_BYTES)]] = float;
  using Unaligned [[gnu::vector_size(ALTPROP_VECTOR_BYTES), gnu::aligned(4),
                    gnu::may_alias]] = float;
};
template <>
struct VectorOf<double> {
  using Type [[gnu::vector_size(ALTPROP_VECTOR_BYTES)]] = double;
  using Unaligned [[gnu::vector_size(ALTPROP_VECTOR_BYTES), gnu::aligned(8),
                    gnu::may_alias]] = double;
};
template <typename T>
using Vector = typename VectorOf<T>::Type;
template <typename T>
constexpr int64_t kLanes = kVectorBytes / sizeof(T);

// X filled with one number.
template <typename X, typename T>
[[gnu::always_inline]] inline X Fill(T value) {
  return X{} + value;
}

template <typename X, typename T>
[[gnu::always_inline]] inline X Load(const T* from) {
  if constexpr (sizeof(X) == sizeof(T)) {
    return *from;
  } else {
    return *reinterpret_cast<const typename VectorOf<T>::Unaligned*>(from);
  }
}

template <typename X, typename T>
[[gnu::always_inline]] inline void Store(T* to, X value) {
  if constexpr (sizeof(X) == sizeof(T)) {
    *to = value;
  } else {
    *reinterpret_cast<typename VectorOf<T>::Unaligned*>(to) = value;
  }
}

template <typename X>
[[gnu::always_inline]] inline X Size(X x) {
  return x < X{} ? -x : x;
}

// The nearest level in units of s, the upper one at a tie; `m`: midpoints.
template <Mode kMode, typename X, typename T>
[[gnu::always_inline]] inline X Upper(X w, const T* m) {
  constexpr LevelSet kSet = LevelsOf(kMode);
  X f = Fill<X>(static_cast<T>(kSet.f[0]));
#pragma GCC unroll 8
  for (int k = 0; k + 1 < kSet.size; ++k) {
    f += w >= Fill<X>(m[k]) ? Fill<X>(static_cast<T>(kSet.gap(k))) : X{};
  }
  return f;
}

// The mean of the upper and the lower one.
template <Mode kMode, typename X, typename T>
[[gnu::always_inline]] inline X UpperAndLower(X w, const T* m, X& upper) {
  constexpr LevelSet kSet = LevelsOf(kMode);
  X lower = Fill<X>(static_cast<T>(kSet.f[0]));
  upper = lower;
#pragma GCC unroll 8
  for (int k = 0; k + 1 < kSet.size; ++k) {
    const X gap = Fill<X>(static_cast<T>(kSet.gap(k)));
    const X middle = Fill<X>(m[k]);
    upper += w >= middle ? gap : X{};
    lower += w > middle ? gap : X{};
  }
  return (upper + lower) * T{0.5};
}

template <Mode kMode, typename T>
struct Midpoints {
  std::array<T, kMostLevels - 1> m;
  explicit Midpoints(T s) : m{} {
    constexpr LevelSet kSet = LevelsOf(kMode);
    for (int k = 0; k + 1 < kSet.size; ++k) {
      m[k] = static_cast<T>(kSet.b[k]) * s;
    }
  }
};

// Of one weight: Y, cs and its slope.
template <typename X>
struct Penalty {
  X y, cs, slope;
};

template <Mode kMode, typename X, typename T>
[[gnu::always_inline]] inline Penalty<X> Evaluate(X w, const T* m, T s,
                                                  T edge_inner, T edge_outer) {
  const X zero{};
  const X e = w - Upper<kMode>(w, m) * s;
  const X y = Size(e) * T{2};
  X edge = Fill<X>(edge_inner);
  if constexpr (kMode == Mode::kTwoBitShift) {
    edge = Size(w) < Fill<X>(T{0.5} * s) ? edge : Fill<X>(edge_outer);
  }
  // Beyond the outermost levels nothing is free. At them Y is 0.
  const auto inside = (w >= Fill<X>(-s)) & (w < Fill<X>(s));
  const auto rising = e >= zero;
  const auto above = y > edge;
  // The zone is half open: its left edge, where Y rises, belongs to it.
  const auto flat = inside & (above | (rising & (y >= edge)));
  const X slope = rising ? Fill<X>(T{2}) : Fill<X>(T{-2});
  return {y, (inside & above) ? zero : y, flat ? zero : slope};
}

template <typename X, typename T>
[[gnu::always_inline]] inline X ClipTo(X x, T bound) {
  const X low = x < Fill<X>(-bound) ? Fill<X>(-bound) : x;
  return low > Fill<X>(bound) ? Fill<X>(bound) : low;
}

template <typename X>
struct Sums {
  X constraint{}, distance{};
};

template <Mode kMode, typename X, typename T>
[[gnu::always_inline]] inline void UpdateAt(const WeightStretch<T>& x,
                                            const WeightConstants<T>& c,
                                            const T* m, int64_t i,
                                            Sums<X>& sums) {
  const X w = Load<X>(x.w + i);
  const X lambda = Load<X>(x.lambda + i);
  const Penalty<X> penalty =
      Evaluate<kMode>(w, m, c.s, c.edge_inner, c.edge_outer);
  sums.constraint += lambda * penalty.cs;
  const X gradient = Load<X>(x.gradient + i) + lambda * penalty.slope;
  const X d = ClipTo(gradient, T{1}) + w * c.weight_decay;
  const X v = Load<X>(x.v + i) * c.momentum + d;
  const X next = ClipTo(w - v * c.learning_rate, T{1});
  X upper;
  const X q = UpperAndLower<kMode>(next, m, upper) * c.s;
  sums.distance += Size(next - upper * c.s) * T{2};
  Store(x.v + i, v);
  Store(x.w + i, next);
  Store(x.q + i, q);
}

template <typename T>
double Total(const Vector<T>& lanes) {
  double total = 0;
  for (int lane = 0; lane < kLanes<T>; ++lane) {
    total += static_cast<double>(lanes[lane]);
  }
  return total;
}

template <Mode kMode, typename T>
KernelSums UpdateAs(const WeightStretch<T>& x, const WeightConstants<T>& c) {
  const Midpoints<kMode, T> points(c.s);
  Sums<Vector<T>> sums;
  Sums<T> rest;
  int64_t i = 0;
  for (; i + kLanes<T> <= x.size; i += kLanes<T>) {
    UpdateAt<kMode>(x, c, points.m.data(), i, sums);
  }
  for (; i < x.size; ++i) UpdateAt<kMode>(x, c, points.m.data(), i, rest);
  return {Total<T>(sums.constraint) + static_cast<double>(rest.constraint),
          Total<T>(sums.distance) + static_cast<double>(rest.distance)};
}

// Weights whose cs is kept between the two loops of a multiplier update.
constexpr int64_t kPart = 256;

template <Mode kMode, typename X, typename T>
[[gnu::always_inline]] inline void ConstraintAt(const T* w, const T* m,
                                                const MultiplierConstants<T>& c,
                                                T* cs, X& distance) {
  const Penalty<X> penalty =
      Evaluate<kMode>(Load<X>(w), m, c.s, c.edge_inner, c.edge_outer);
  Store(cs, penalty.cs);
  distance += penalty.y;
}

template <typename T>
void Adam(const T* cs, int64_t size, T step, T root, T* __restrict lambda,
          T* __restrict m, T* __restrict v) {
  constexpr T kOld1 = static_cast<T>(0.9), kNew1 = static_cast<T>(1 - 0.9);
  constexpr T kOld2 = static_cast<T>(0.999), kNew2 = static_cast<T>(1 - 0.999);
  for (int64_t i = 0; i < size; ++i) {
    const T first = m[i] * kOld1 - cs[i] * kNew1;
    const T second = v[i] * kOld2 + cs[i] * cs[i] * kNew2;
    m[i] = first;
    v[i] = second;
    lambda[i] -=
        first / (std::sqrt(second) / root + static_cast<T>(1e-8)) * step;
  }
}

template <Mode kMode, typename T>
KernelSums AscendAs(const MultiplierStretch<T>& x,
                    const MultiplierConstants<T>& c) {
  const Midpoints<kMode, T> points(c.s);
  std::array<T, kPart> cs;  // NOLINT: filled before it is read
  Vector<T> distance{};
  T rest{};
  for (int64_t from = 0; from < x.size; from += kPart) {
    const int64_t size = std::min(kPart, x.size - from);
    const T* const w = x.w + from;
    int64_t i = 0;
    for (; i + kLanes<T> <= size; i += kLanes<T>) {
      ConstraintAt<kMode>(w + i, points.m.data(), c, cs.data() + i, distance);
    }
    for (; i < size; ++i) {
      ConstraintAt<kMode>(w + i, points.m.data(), c, cs.data() + i, rest);
    }
    Adam(cs.data(), size, c.step, c.root, x.lambda + from, x.m + from,
         x.v + from);
  }
  return {0, Total<T>(distance) + static_cast<double>(rest)};
}

template <Mode kMode, typename T>
void QuantizeAs(const T* w, int64_t size, T s, T* q) {
  const Midpoints<kMode, T> points(s);
  int64_t i = 0;
  for (; i + kLanes<T> <= size; i += kLanes<T>) {
    Vector<T> upper;
    Store(q + i,
          UpperAndLower<kMode>(Load<Vector<T>>(w + i), points.m.data(), upper) *
              s);
  }
  for (; i < size; ++i) {
    T upper;
    q[i] = UpperAndLower<kMode>(w[i], points.m.data(), upper) * s;
  }
}

template <typename T>
KernelSums Update(Mode mode, const WeightStretch<T>& x,
                  const WeightConstants<T>& c) {
  switch (mode) {
    case Mode::kBinary:
      return UpdateAs<Mode::kBinary>(x, c);
    case Mode::kTernary:
      return UpdateAs<Mode::kTernary>(x, c);
    case Mode::kOneBitShift:
      return UpdateAs<Mode::kOneBitShift>(x, c);
    case Mode::kTwoBitShift:
      break;
  }
  return UpdateAs<Mode::kTwoBitShift>(x, c);
}

template <typename T>
KernelSums Ascend(Mode mode, const MultiplierStretch<T>& x,
                  const MultiplierConstants<T>& c) {
  switch (mode) {
    case Mode::kBinary:
      return AscendAs<Mode::kBinary>(x, c);
    case Mode::kTernary:
      return AscendAs<Mode::kTernary>(x, c);
    case Mode::kOneBitShift:
      return AscendAs<Mode::kOneBitShift>(x, c);
    case Mode::kTwoBitShift:
      break;
  }
  return AscendAs<Mode::kTwoBitShift>(x, c);
}

template <typename T>
void Quantized(Mode mode, const T* w, int64_t size, T s, T* q) {
  switch (mode) {
    case Mode::kBinary:
      return QuantizeAs<Mode::kBinary>(w, size, s, q);
    case Mode::kTernary:
      return QuantizeAs<Mode::kTernary>(w, size, s, q);
    case Mode::kOneBitShift:
      return QuantizeAs<Mode::kOneBitShift>(w, size, s, q);
    case Mode::kTwoBitShift:
      return QuantizeAs<Mode::kTwoBitShift>(w, size, s, q);
  }
}

constexpr WeightKernels MakeKernels(const char* name) {
  return {name,           Update<float>,    Update<double>,   Ascend<float>,
          Ascend<double>, Quantized<float>, Quantized<double>};
}

}  // namespace
}  // namespace altprop::cbp
