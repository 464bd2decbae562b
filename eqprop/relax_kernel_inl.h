// The body of relax_kernel_<instruction set>.cc, which defines
// ALTPROP_LANE_BYTES (the width of a vector) before it includes this file.
// Everything is in an unnamed namespace and uses no library templates, so that
// no function compiled for a newer instruction set can be linked into code for
// an older one.

#ifndef EQPROP_RELAX_KERNEL_INL_H_
#define EQPROP_RELAX_KERNEL_INL_H_

#include <cstdint>

#include "eqprop/relax_kernel.h"

namespace altprop::eqprop::relax {
// As the header's first comment says.
namespace {  // NOLINT(google-build-namespaces)

// Vectors of the compiler: arithmetic is element-wise, comparisons give masks.
template <typename T>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float V __attribute__((vector_size(ALTPROP_LANE_BYTES)));
  typedef uint32_t I __attribute__((vector_size(ALTPROP_LANE_BYTES)));
};
template <>
struct Lanes<double> {
  typedef double V __attribute__((vector_size(ALTPROP_LANE_BYTES)));
  typedef uint64_t I __attribute__((vector_size(ALTPROP_LANE_BYTES)));
};
template <typename T>
using Vec = typename Lanes<T>::V;
template <typename T>
using IntVec = typename Lanes<T>::I;
template <typename T>
constexpr int64_t kWidth = ALTPROP_LANE_BYTES / sizeof(T);

template <typename T>
inline Vec<T> Load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, __builtin_assume_aligned(p, sizeof v), sizeof v);
  return v;
}
template <typename T>
inline void Store(T* p, Vec<T> v) {
  __builtin_memcpy(__builtin_assume_aligned(p, sizeof v), &v, sizeof v);
}
template <typename T>
inline Vec<T> Splat(T value) {
  return value - Vec<T>{};
}

// NaN passes through.
template <typename T>
inline Vec<T> ClampTo(Vec<T> x, T low, T high) {
  x = x < low ? Splat(low) : x;
  return x > high ? Splat(high) : x;
}

// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2)/2, exp(r) by its
// Taylor series: the first term left out is r^8/8! < 6e-9 in float32, r^14/14!
// < 5e-18 in float64, below half a unit in the last place. ln 2 is split so
// that n * kLn2High is exact.
template <typename T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr float kLow = -87, kHigh = 88;
  static constexpr float kRound = 12582912.0F;  // 1.5 * 2^23
  static constexpr float kLn2High = 0.693359375F, kLn2Low = -2.12194440e-4F;
  static constexpr int kBias = 127, kMantissa = 23, kDegree = 7;
};
template <>
struct ExpConstants<double> {
  static constexpr double kLow = -708, kHigh = 709;
  static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double kLn2High = 6.93145751953125e-1;
  static constexpr double kLn2Low = 1.42860682030941723212e-6;
  static constexpr int kBias = 1023, kMantissa = 52, kDegree = 13;
};
inline constexpr double kInverseFactorial[] = {1,
                                               1,
                                               1.0 / 2,
                                               1.0 / 6,
                                               1.0 / 24,
                                               1.0 / 120,
                                               1.0 / 720,
                                               1.0 / 5040,
                                               1.0 / 40320,
                                               1.0 / 362880,
                                               1.0 / 3628800,
                                               1.0 / 39916800,
                                               1.0 / 479001600,
                                               1.0 / 6227020800.0};

// exp(x) = power * (1 + excess), for x clamped to [kLow, kHigh].
template <typename T>
struct SplitExp {
  Vec<T> power;   // 2^n
  Vec<T> excess;  // exp(r) - 1
};

template <typename T>
inline SplitExp<T> ExpParts(Vec<T> x) {
  using C = ExpConstants<T>;
  x = ClampTo<T>(x, C::kLow, C::kHigh);
  const Vec<T> shifted = x * static_cast<T>(1.44269504088896340736) + C::kRound;
  const Vec<T> n = shifted - C::kRound;
  const Vec<T> r = (x - n * C::kLn2High) - n * C::kLn2Low;
  Vec<T> series = Splat(static_cast<T>(kInverseFactorial[C::kDegree]));
#pragma GCC unroll 16
  for (int i = C::kDegree - 1; i >= 1; --i) {
    series = series * r + static_cast<T>(kInverseFactorial[i]);
  }
  // The low bits of `shifted` are n; moved into the exponent they make 2^n.
  const IntVec<T> bits = (__builtin_bit_cast(IntVec<T>, shifted) + C::kBias)
                         << C::kMantissa;
  return {__builtin_bit_cast(Vec<T>, bits), series * r};
}

template <typename T>
inline Vec<T> Exp(Vec<T> x) {
  const SplitExp<T> e = ExpParts<T>(x);
  return e.power * e.excess + e.power;
}

template <Sigma kSigma, typename T>
inline Vec<T> Squash(Vec<T> u) {
  constexpr T kOne = 1;
  constexpr T kHalf = 0.5;
  if constexpr (kSigma == Sigma::kMysig) {
    return kOne / (kOne + Exp<T>((u - kHalf) * static_cast<T>(-4)));
  } else if constexpr (kSigma == Sigma::kSigmoid) {
    return kOne / (kOne + Exp<T>(-u));
  } else if constexpr (kSigma == Sigma::kTanh) {
    // expm1(2u) / (expm1(2u) + 2), which keeps small u; beyond 20 it is +-1.
    const SplitExp<T> e = ExpParts<T>(ClampTo<T>(u + u, -40, 40));
    const Vec<T> m = e.power * e.excess + (e.power - kOne);
    const Vec<T> d = m + static_cast<T>(2);
    const Vec<T> lost = m - (d - static_cast<T>(2));  // what rounding d took
    return (m - m / d * lost) / d;
  } else if constexpr (kSigma == Sigma::kHardSigmoid) {
    return ClampTo<T>(u * static_cast<T>(2) - kOne, -1, 1) * kHalf + kHalf;
  } else if constexpr (kSigma == Sigma::kMyHardSig) {
    return ClampTo<T>(u - kOne, -1, 1) * kHalf + kHalf;
  } else {
    return ClampTo<T>(u * static_cast<T>(2), -1, 1) * kHalf;
  }
}

template <Sigma kSigma, typename T>
void SquashAll(const T* u, T* s, int64_t length) {
  for (int64_t j = 0; j < length; j += kWidth<T>) {
    Store(s + j, Squash<kSigma, T>(Load(u + j)));
  }
}

template <typename T>
void SquashLayer(Sigma sigma, const T* u, T* s, int64_t length) {
  switch (sigma) {
    case Sigma::kMysig:
      return SquashAll<Sigma::kMysig>(u, s, length);
    case Sigma::kSigmoid:
      return SquashAll<Sigma::kSigmoid>(u, s, length);
    case Sigma::kTanh:
      return SquashAll<Sigma::kTanh>(u, s, length);
    case Sigma::kHardSigmoid:
      return SquashAll<Sigma::kHardSigmoid>(u, s, length);
    case Sigma::kMyHardSig:
      return SquashAll<Sigma::kMyHardSig>(u, s, length);
    case Sigma::kCtrdHardSig:
      return SquashAll<Sigma::kCtrdHardSig>(u, s, length);
  }
}

template <typename T>
inline T HorizontalSum(Vec<T> v) {
  T sum = 0;
  for (int64_t i = 0; i < kWidth<T>; ++i) sum += v[i];
  return sum;
}

// kTile rows of an edge's weight, in both directions at once:
//   out[r][j]     = in[r][j] + sum_k above_state[r][k] weight[k][j]
//   above_drive[r][k] += sum_j below_state[r][j] weight[k][j]
// `out` may be `in`.
template <int kTile, typename T>
void EdgePass(const T* __restrict weight, int64_t below, int64_t above,
              const T* __restrict below_state, const T* in, T* out,
              const T* __restrict above_state, T* __restrict above_drive) {
  Vec<T> dot[kRows][kTile] = {};
  for (int64_t j = 0; j < below; j += kWidth<T>) {
    Vec<T> s[kRows];
    Vec<T> u[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      s[r] = Load(below_state + r * below + j);
      u[r] = Load(in + r * below + j);
    }
#pragma GCC unroll 16
    for (int k = 0; k < kTile; ++k) {
      const Vec<T> w = Load(weight + k * below + j);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        u[r] += w * above_state[r * above + k];
        dot[r][k] += w * s[r];
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) Store(out + r * below + j, u[r]);
  }
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kTile; ++k) {
      above_drive[r * above + k] += HorizontalSum<T>(dot[r][k]);
    }
  }
}

template <typename T>
using Pass = void (*)(const T*, int64_t, int64_t, const T*, const T*, T*,
                      const T*, T*);

template <typename T>
Pass<T> PassOf(int64_t tile) {
  static constexpr Pass<T> kPasses[kMaxTile] = {
      EdgePass<1, T>, EdgePass<2, T>, EdgePass<3, T>, EdgePass<4, T>,
      EdgePass<5, T>, EdgePass<6, T>, EdgePass<7, T>, EdgePass<8, T>,
      EdgePass<9, T>, EdgePass<10, T>};
  return kPasses[tile - 1];
}

// The edge from `below` to `above`: adds the top-down part to the drive of
// `below`, whose bottom-up part is in `bottom_up`, and starts that of `above`
// with its bottom-up part.
template <typename T>
void DriveAlongEdge(const T* bottom_up, const Layer<T>& below,
                    const Layer<T>& above) {
  const int64_t width = Padded<T>(below.size);
  const int64_t height = Padded<T>(above.size);
  for (int r = 0; r < kRows; ++r) {
    for (int64_t k = 0; k < height; k += kWidth<T>) {
      Store(above.drive + r * height + k, Load(above.bias + k));
    }
  }
  const Pass<T> pass = PassOf<T>(above.tile);
  const T* in = bottom_up;
  for (int64_t k = 0; k < above.size; k += above.tile) {
    pass(above.weight + k * width, width, height, below.state, in, below.drive,
         above.state + k, above.drive + k);
    in = below.drive;
  }
}

// u_S += beta (y - s_S), or beta (y - softmax(s_S)).
template <typename T>
void PullOutput(const Block<T>& block, const Layer<T>& output) {
  const int64_t width = Padded<T>(output.size);
  for (int r = 0; r < kRows; ++r) {
    const T* s = output.state + r * width;
    const T* y = block.target + r * width;
    T* u = output.drive + r * width;
    const T beta = block.beta[r];
    if (block.pull == Pull::kMse) {
      for (int64_t k = 0; k < width; k += kWidth<T>) {
        Store(u + k, Load(u + k) + (Load(y + k) - Load(s + k)) * beta);
      }
      continue;
    }
    T largest = s[0];
    for (int64_t k = 1; k < output.size; ++k) {
      largest = s[k] > largest ? s[k] : largest;
    }
    T sum = 0;
    for (int64_t k = 0; k < width; k += kWidth<T>) {
      const Vec<T> e = Exp<T>(Load(s + k) - largest);
      for (int64_t i = 0; i < kWidth<T> && k + i < output.size; ++i)
        sum += e[i];
    }
    for (int64_t k = 0; k < width; k += kWidth<T>) {
      const Vec<T> softmax = Exp<T>(Load(s + k) - largest) / sum;
      Store(u + k, Load(u + k) + (Load(y + k) - softmax) * beta);
    }
  }
}

// One synchronous time step. An edge needs the old states of both its layers;
// taken upwards, a layer is free to move once the edge above it has been used.
template <typename T>
void OneStep(const Block<T>& block) {
  const T* bottom_up = block.input_drive;
  for (int l = 0; l + 1 < block.layers; ++l) {
    const Layer<T>& layer = block.layer[l];
    DriveAlongEdge(bottom_up, layer, block.layer[l + 1]);
    SquashLayer(block.sigma, layer.drive, layer.state,
                kRows * Padded<T>(layer.size));
    bottom_up = block.layer[l + 1].drive;
  }
  const Layer<T>& output = block.layer[block.layers - 1];
  const int64_t length = kRows * Padded<T>(output.size);
  if (block.layers == 1) {
    for (int64_t k = 0; k < length; k += kWidth<T>) {
      Store(output.drive + k, Load(bottom_up + k));
    }
  }
  if (block.pull != Pull::kNone) PullOutput(block, output);
  if (!block.linear_output) {
    SquashLayer(block.sigma, output.drive, output.state, length);
    return;
  }
  for (int64_t k = 0; k < length; k += kWidth<T>) {
    Store(output.state + k, Load(output.drive + k));
  }
}

template <typename T>
void RelaxBlock(const Block<T>& block) {
  for (int64_t t = 0; t < block.steps; ++t) OneStep(block);
}

}  // namespace
}  // namespace altprop::eqprop::relax

#endif  // EQPROP_RELAX_KERNEL_INL_H_
