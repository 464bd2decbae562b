// The body of relax_conv_kernel_<instruction set>.cc, as relax_kernel_inl.h is
// of relax_kernel_<instruction set>.cc, with whose vectors it works.

#ifndef EQPROP_RELAX_CONV_KERNEL_INL_H_
#define EQPROP_RELAX_CONV_KERNEL_INL_H_

#include <cstdint>

#include "eqprop/relax_conv_kernel.h"
#include "eqprop/relax_kernel_inl.h"

namespace altprop::eqprop::relax {
// As the first comment of relax_kernel_inl.h says.
namespace {  // NOLINT(google-build-namespaces)

// Sums that the registers hold: 32 of them with AVX-512, else 16.
inline constexpr int kMaxBlock = ALTPROP_LANE_BYTES == 64 ? 4 : 2;
inline constexpr int kMaxSums = ALTPROP_LANE_BYTES == 64 ? 24 : 12;
constexpr int PixelsPerTile(int block) { return block == kMaxBlock ? 6 : 8; }

// `count` <= kPixels pixels from `first` on and one block of channels. Missing
// pixels repeat the last one and are not written.
template <int kBlock, int kPixels, typename T>
inline void ProductTile(const Product<T>& job, int64_t first, int64_t count,
                        int64_t block) {
  constexpr int64_t kColumns = kBlock * kWidth<T>;
  const T* in[kPixels];
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) {
    in[i] = job.in + job.offset[first + (i < count ? i : count - 1)];
  }
  Vec<T> sum[kPixels][kBlock] = {};
  const T* weight = job.weight + block * job.runs * job.run_length * kColumns;
  for (int64_t r = 0; r < job.runs; ++r) {
    for (int64_t j = 0; j < job.run_length; ++j) {
      Vec<T> w[kBlock];
#pragma GCC unroll 4
      for (int q = 0; q < kBlock; ++q) w[q] = Load(weight + q * kWidth<T>);
      weight += kColumns;
#pragma GCC unroll 8
      for (int i = 0; i < kPixels; ++i) {
        const T x = in[i][j];
#pragma GCC unroll 4
        for (int q = 0; q < kBlock; ++q) sum[i][q] += w[q] * x;
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) in[i] += job.run_stride;
  }
  const T* bias = job.bias + block * kColumns;
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) {
    if (i >= count) break;
#pragma GCC unroll 4
    for (int q = 0; q < kBlock; ++q) {
      if (block * kBlock + q >= job.vectors) break;
      const int64_t at =
          ((first + i) * job.vectors + block * kBlock + q) * kWidth<T>;
      Vec<T> result = sum[i][q] + Load(bias + q * kWidth<T>);
      if (job.addend != nullptr) result = Load(job.addend + at) + result;
      Store(job.out + at, result);
    }
  }
}

template <int kBlock, typename T>
void ProductOfBlocks(const Product<T>& job) {
  constexpr int kPixels = PixelsPerTile(kBlock);
  const int64_t blocks = (job.vectors + kBlock - 1) / kBlock;
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t first = 0; first < job.pixels; first += kPixels) {
      const int64_t left = job.pixels - first;
      ProductTile<kBlock, kPixels, T>(job, first,
                                      left < kPixels ? left : kPixels, block);
    }
  }
}

template <typename T>
void RunProduct(const Product<T>& job) {
  if (job.block == 1) return ProductOfBlocks<1, T>(job);
  if (job.block == 2) return ProductOfBlocks<2, T>(job);
  if constexpr (kMaxBlock == 4) {
    if (job.block == 3) return ProductOfBlocks<3, T>(job);
    if (job.block == 4) return ProductOfBlocks<4, T>(job);
  }
}

// Where the lists of the pixels of a window stand.
template <typename T>
struct Lists {
  int32_t* count;
  int32_t* channel;
  T* value;
};

// The lists of one pixel for the block that begins with channel `first`.
template <typename T>
inline Lists<T> ListsOf(const Route<T>& job, int64_t pixel, int64_t first) {
  const Active<T>& active = job.active;
  const int64_t blocks = (job.real_channels + active.block - 1) / active.block;
  const int64_t at = pixel * job.channels + first;
  return {active.count + pixel * blocks + first / active.block,
          active.channel + at, active.value + at};
}

// Appends without a branch: an entry that is zero is overwritten by the next.
template <typename T>
inline void Append(const Lists<T>& lists, int32_t& count, int32_t channel,
                   T value) {
  lists.channel[count] = channel;
  lists.value[count] = value;
  count += value != 0 ? 1 : 0;
}

// One pixel gets all channels, `scale` times.
template <typename T>
inline void ListAll(const Route<T>& job, int64_t pixel, const T* v, T scale) {
  for (int64_t first = 0; first < job.real_channels;
       first += job.active.block) {
    const Lists<T> lists = ListsOf(job, pixel, first);
    int32_t count = 0;
    for (int64_t c = 0; c < job.active.block && first + c < job.real_channels;
         ++c) {
      Append(lists, count, static_cast<int32_t>(c), v[first + c] * scale);
    }
    *lists.count = count;
  }
}

// The pixel of a window (0 to 3) with the first of the largest entries, for
// each of a vector's channels; the largest go to `p`.
template <typename T>
inline IntVec<T> FirstMaximum(const T* const* z, int64_t c, T* p) {
  Vec<T> most = Load(z[0] + c);
  IntVec<T> place = {};
#pragma GCC unroll 4
  for (int k = 1; k < 4; ++k) {
    const Vec<T> next = Load(z[k] + c);
    // Greater, or not a number.
    const auto wins =
        (next > most) | (next != next);  // NOLINT(misc-redundant-expression)
    most = wins ? next : most;
    place = wins ? IntVec<T>{} + static_cast<unsigned>(k) : place;
  }
  if (p != nullptr) Store(p + c, most);
  return place;
}

template <typename T>
inline void MaxWindow(const Route<T>& job, const int64_t* pixel,
                      const T* const* z, T* p, const T* v) {
  const bool listed = job.active.count != nullptr;
  const int64_t block = listed ? job.active.block : job.channels;
  for (int64_t first = 0; first < job.channels; first += block) {
    Lists<T> lists[4] = {};
    int32_t count[4] = {};
    if (listed && first < job.real_channels) {
      for (int k = 0; k < 4; ++k) lists[k] = ListsOf(job, pixel[k], first);
    }
    const int64_t end =
        first + block < job.channels ? first + block : job.channels;
    for (int64_t c = first; c < end; c += kWidth<T>) {
      const IntVec<T> place = FirstMaximum(z, c, p);
      if (!listed) continue;
      for (int64_t i = 0; i < kWidth<T> && c + i < job.real_channels; ++i) {
        const auto k = static_cast<int>(place[i]);
        Append(lists[k], count[k], static_cast<int32_t>(c + i - first),
               v[c + i]);
      }
    }
    if (!listed || first >= job.real_channels) continue;
    for (int k = 0; k < 4; ++k) *lists[k].count = count[k];
  }
}

template <typename T>
inline void AverageWindow(const Route<T>& job, const int64_t* pixel,
                          const T* const* z, T* p, const T* v) {
  constexpr T kQuarter = 0.25;
  for (int64_t c = 0; p != nullptr && c < job.channels; c += kWidth<T>) {
    const Vec<T> sum =
        Load(z[0] + c) + Load(z[1] + c) + Load(z[2] + c) + Load(z[3] + c);
    Store(p + c, sum * kQuarter);
  }
  if (job.active.count == nullptr) return;
  for (int k = 0; k < 4; ++k) ListAll(job, pixel[k], v, kQuarter);
}

template <typename T>
inline void NoWindow(const Route<T>& job, int64_t pixel, const T* z, T* p,
                     const T* v) {
  for (int64_t c = 0; p != nullptr && c < job.channels; c += kWidth<T>) {
    Store(p + c, Load(z + c));
  }
  if (job.active.count != nullptr) ListAll(job, pixel, v, T{1});
}

template <Window kWindow, typename T>
void RouteImages(const Route<T>& job) {
  constexpr int64_t kStep = kWindow == Window::kNone ? 1 : 2;
  for (int64_t n = 0; n < job.samples; ++n) {
    for (int64_t y = 0; y < job.height; ++y) {
      for (int64_t x = 0; x < job.width; ++x) {
        const int64_t first =
            (n * job.z_height + kStep * y) * job.z_width + kStep * x;
        const int64_t pixel[4] = {first, first + 1, first + job.z_width,
                                  first + job.z_width + 1};
        const T* z[4];
        for (int k = 0; k < 4; ++k) z[k] = job.z + pixel[k] * job.channels;
        const int64_t at = n * job.v_sample + y * job.v_row + x * job.channels;
        T* p = job.p == nullptr ? nullptr : job.p + at;
        if constexpr (kWindow == Window::kMax) {
          MaxWindow(job, pixel, z, p, job.v + at);
        } else if constexpr (kWindow == Window::kAverage) {
          AverageWindow(job, pixel, z, p, job.v + at);
        } else {
          NoWindow(job, first, z[0], p, job.v + at);
        }
      }
    }
  }
}

template <typename T>
void RunRoute(const Route<T>& job) {
  switch (job.window) {
    case Window::kNone:
      return RouteImages<Window::kNone, T>(job);
    case Window::kMax:
      return RouteImages<Window::kMax, T>(job);
    case Window::kAverage:
      return RouteImages<Window::kAverage, T>(job);
  }
}

// The active channels of one pixel, in one block, added to its window.
template <int kRowsOfWindow, int kVectors, typename T>
inline void ScatterPixel(int32_t count, const int32_t* channel, const T* value,
                         const T* weight, T* out, int64_t run_stride) {
  Vec<T> sum[kRowsOfWindow][kVectors];
#pragma GCC unroll 3
  for (int r = 0; r < kRowsOfWindow; ++r) {
#pragma GCC unroll 24
    for (int q = 0; q < kVectors; ++q) {
      sum[r][q] = Load(out + r * run_stride + q * kWidth<T>);
    }
  }
  for (int32_t i = 0; i < count; ++i) {
    const T v = value[i];
    const T* w =
        weight + int64_t{channel[i]} * kRowsOfWindow * kVectors * kWidth<T>;
#pragma GCC unroll 3
    for (int r = 0; r < kRowsOfWindow; ++r) {
#pragma GCC unroll 24
      for (int q = 0; q < kVectors; ++q) {
        sum[r][q] += Load(w + (r * kVectors + q) * kWidth<T>) * v;
      }
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < kRowsOfWindow; ++r) {
#pragma GCC unroll 24
    for (int q = 0; q < kVectors; ++q) {
      Store(out + r * run_stride + q * kWidth<T>, sum[r][q]);
    }
  }
}

template <int kRowsOfWindow, int kVectors, typename T>
void ScatterImages(const Scatter<T>& job) {
  const Active<T>& active = job.active;
  const int64_t blocks = (job.channels + active.block - 1) / active.block;
  const int64_t padded = Padded<T>(job.channels);
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t first = b * active.block;
    const T* weight = job.weight + first * kRowsOfWindow * kVectors * kWidth<T>;
    int64_t pixel = 0;
    for (int64_t n = 0; n < job.samples; ++n) {
      for (int64_t y = 0; y < job.z_height; ++y) {
        T* out = job.out + n * job.out_sample + y * job.out_row;
        for (int64_t x = 0; x < job.z_width; ++x, ++pixel) {
          const int32_t count = active.count[pixel * blocks + b];
          if (count == 0) continue;
          const int64_t at = pixel * padded + first;
          ScatterPixel<kRowsOfWindow, kVectors, T>(
              count, active.channel + at, active.value + at, weight,
              out + x * job.out_pixel, job.run_stride);
        }
      }
    }
  }
}

// ScatterImages for rows * width = kSums at most.
template <int kSums, typename T>
void ScatterUpTo(const Scatter<T>& job) {
  if constexpr (kSums > 0) {
    if (job.rows * job.width != kSums) return ScatterUpTo<kSums - 1, T>(job);
    if constexpr (kSums % 3 == 0 && kSums <= 18) {
      if (job.rows == 3) return ScatterImages<3, kSums / 3, T>(job);
    }
    return ScatterImages<1, kSums, T>(job);
  }
}

template <typename T>
void RunScatter(const Scatter<T>& job) {
  ScatterUpTo<kMaxSums, T>(job);
}

template <typename T>
inline Vec<T> Distance(Vec<T> a, Vec<T> b) {
  const Vec<T> d = a - b;
  return d < 0 ? -d : d;
}

// `at`: of mask, pull and s.
template <Sigma kSigma, bool kLinear, typename T>
inline void AdvanceRow(const Advance<T>& job, int64_t at, const T* drive, T* v,
                       Vec<T>& change) {
  for (int64_t j = 0; j < job.row; j += kWidth<T>) {
    Vec<T> u = Load(drive + j);
    if (job.mask != nullptr) u *= Load(job.mask + at + j);
    if (job.pull != nullptr) u += Load(job.pull + at + j);
    if (job.keep != 1) u *= job.keep;
    if constexpr (!kLinear) u = Squash<kSigma, T>(u);
    if (job.change != nullptr) {
      const T* old = job.s != nullptr ? job.s + at + j : v + j;
      const Vec<T> d = Distance<T>(u, Load(old));
      change = d > change ? d : change;
    }
    if (job.s != nullptr) Store(job.s + at + j, u);
    if (job.mask != nullptr) u *= Load(job.mask + at + j);
    Store(v + j, u);
  }
}

template <Sigma kSigma, bool kLinear, typename T>
void AdvanceImages(const Advance<T>& job) {
  Vec<T> change = {};
  for (int64_t n = 0; n < job.samples; ++n) {
    for (int64_t y = 0; y < job.height; ++y) {
      const int64_t row = n * job.v_sample + y * job.v_row;
      AdvanceRow<kSigma, kLinear, T>(job, (n * job.height + y) * job.row,
                                     job.u + row, job.v + row, change);
    }
  }
  if (job.change == nullptr) return;
  for (int64_t i = 0; i < kWidth<T>; ++i) {
    if (change[i] > *job.change) *job.change = change[i];
  }
}

template <typename T>
void RunAdvance(const Advance<T>& job) {
  if (job.linear) return AdvanceImages<Sigma::kHardSigmoid, true, T>(job);
  switch (job.sigma) {
    case Sigma::kMysig:
      return AdvanceImages<Sigma::kMysig, false, T>(job);
    case Sigma::kSigmoid:
      return AdvanceImages<Sigma::kSigmoid, false, T>(job);
    case Sigma::kTanh:
      return AdvanceImages<Sigma::kTanh, false, T>(job);
    case Sigma::kHardSigmoid:
      return AdvanceImages<Sigma::kHardSigmoid, false, T>(job);
    case Sigma::kMyHardSig:
      return AdvanceImages<Sigma::kMyHardSig, false, T>(job);
    case Sigma::kCtrdHardSig:
      return AdvanceImages<Sigma::kCtrdHardSig, false, T>(job);
  }
}

template <typename T>
constexpr ConvKernels<T> kConvKernels = {
    RunProduct<T>, RunRoute<T>, RunScatter<T>, RunAdvance<T>,
    kWidth<T>,     kMaxBlock,   kMaxSums};

}  // namespace
}  // namespace altprop::eqprop::relax

#endif  // EQPROP_RELAX_CONV_KERNEL_INL_H_
