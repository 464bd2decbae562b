#include "common/data/resample.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/logging.h"

namespace altprop::data {
namespace {

constexpr int kWeightBits = 22;  // Pillow's PRECISION_BITS: 32 - 8 - 2
constexpr int kFineBits = 11;
constexpr int32_t kHalf = 1 << (kWeightBits - 1);
constexpr int64_t kGroup = 4;  // pixels of one vector instruction; rows at once

double Triangle(double x) { return std::max(0.0, 1 - std::abs(x)); }

uint8_t Rounded(int32_t coarse, int32_t fine) {
  const int32_t sum = (coarse << kFineBits) + fine + kHalf;
  return static_cast<uint8_t>(std::min(sum >> kWeightBits, 255));
}

// The result pixel of the four bytes at distance `stride` from each other.
void Weigh(const uint8_t* from, int64_t stride, int64_t taps,
           const int16_t* coarse, const int16_t* fine, uint8_t* to) {
  for (int c = 0; c < 4; ++c) {
    int32_t high = 0;
    int32_t low = 0;
    for (int64_t k = 0; k < taps; ++k) {
      const int32_t value = from[k * stride + c];
      high += coarse[k] * value;
      low += fine[k] * value;
    }
    to[c] = Rounded(high, low);
  }
}

void HorizontalPlain(const Image& in, const Taps& columns, int64_t y,
                     uint8_t* out) {
  for (int64_t x = 0; x < columns.count(); ++x) {
    Weigh(in.row(y) + columns.start(x) * 4, 4, columns.used(x),
          columns.coarse(x), columns.fine(x), out + x * 4);
  }
}

void VerticalPlain(const Image& in, const Taps& rows, int64_t y, int64_t top,
                   uint8_t* out) {
  const int64_t taps = rows.used(y);
  for (int64_t x = 0; x < in.width; ++x) {
    Weigh(in.row(rows.start(y) - top) + x * 4, in.width * 4, taps,
          rows.coarse(y), rows.fine(y), out + x * 4);
  }
}

#define ALTPROP_AVX2 __attribute__((target("avx2")))

// Two neighbouring weights, for both halves of four multiplications.
ALTPROP_AVX2 inline __m256i Pair(const int16_t* weights) {
  int32_t pair = 0;
  std::memcpy(&pair, weights, sizeof(pair));
  return _mm256_set1_epi32(pair);
}

// Four weights: two in the lower half, two in the upper.
ALTPROP_AVX2 inline __m256i TwoPairs(const int16_t* weights) {
  int64_t four = 0;
  std::memcpy(&four, weights, sizeof(four));
  const __m256i all = _mm256_set1_epi64x(four);
  return _mm256_permutevar8x32_epi32(all,
                                     _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
}

ALTPROP_AVX2 inline __m256i Sum(__m256i coarse, __m256i fine) {
  return _mm256_add_epi32(_mm256_slli_epi32(coarse, kFineBits), fine);
}

// Rows y .. y + kRows - 1 of `in`, each to `out` + its number * `out_stride`.
// Four pixels R G B X become the 16-bit pairs R R, G G, B B, X X of the first
// two in the lower half and of the others in the upper one: what a multiply-add
// of pairs takes.
template <int kRows>
ALTPROP_AVX2 void HorizontalAvx2(const Image& in, const Taps& columns,
                                 int64_t y, uint8_t* out, int64_t out_stride) {
  const __m256i spread = _mm256_setr_epi8(
      0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1,  //
      8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1);
  const int64_t in_stride = in.width * 4;
  for (int64_t x = 0; x < columns.count(); ++x) {
    const uint8_t* from = in.row(y) + columns.start(x) * 4;
    __m256i coarse[kRows];
    __m256i fine[kRows];
    for (int r = 0; r < kRows; ++r) {
      coarse[r] = fine[r] = _mm256_setzero_si256();
    }
    for (int64_t k = 0; k < columns.used(x); k += kGroup) {
      const __m256i coarse_weights = TwoPairs(columns.coarse(x) + k);
      const __m256i fine_weights = TwoPairs(columns.fine(x) + k);
      for (int r = 0; r < kRows; ++r) {
        const __m128i bytes = _mm_loadu_si128(
            reinterpret_cast<const __m128i*>(from + r * in_stride + k * 4));
        const __m256i pairs =
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
        coarse[r] = _mm256_add_epi32(coarse[r],
                                     _mm256_madd_epi16(pairs, coarse_weights));
        fine[r] =
            _mm256_add_epi32(fine[r], _mm256_madd_epi16(pairs, fine_weights));
      }
    }
    for (int r = 0; r < kRows; ++r) {
      const __m256i sum = Sum(coarse[r], fine[r]);
      __m128i pixel = _mm_add_epi32(_mm256_castsi256_si128(sum),
                                    _mm256_extracti128_si256(sum, 1));
      pixel = _mm_srai_epi32(_mm_add_epi32(pixel, _mm_set1_epi32(kHalf)),
                             kWeightBits);
      pixel = _mm_packus_epi16(_mm_packs_epi32(pixel, pixel), pixel);
      const int32_t four = _mm_cvtsi128_si32(pixel);
      std::memcpy(out + r * out_stride + x * 4, &four, sizeof(four));
    }
  }
}

// Row y of the result, eight pixels at a time, from pairs of rows. `in` and
// `out` have room for whole groups of eight (kImageSlack).
ALTPROP_AVX2 void VerticalAvx2(const Image& in, const Taps& rows, int64_t y,
                               int64_t top, uint8_t* out) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i half = _mm256_set1_epi32(kHalf);
  const int64_t stride = in.width * 4;
  const int64_t taps = rows.used(y);
  const int16_t* const weights[2] = {rows.coarse(y), rows.fine(y)};
  for (int64_t at = 0; at < stride; at += 32) {
    const uint8_t* from = in.row(rows.start(y) - top) + at;
    __m256i sums[2][4] = {{zero, zero, zero, zero}, {zero, zero, zero, zero}};
    for (int64_t k = 0; k < taps; k += 2, from += 2 * stride) {
      const __m256i a =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      // The weight of a row that is not there is 0.
      const __m256i b =
          k + 1 == taps ? zero
                        : _mm256_loadu_si256(
                              reinterpret_cast<const __m256i*>(from + stride));
      const __m256i low = _mm256_unpacklo_epi8(a, b);
      const __m256i high = _mm256_unpackhi_epi8(a, b);
      const __m256i pairs[4] = {
          _mm256_unpacklo_epi8(low, zero), _mm256_unpackhi_epi8(low, zero),
          _mm256_unpacklo_epi8(high, zero), _mm256_unpackhi_epi8(high, zero)};
      for (int part = 0; part < 2; ++part) {
        const __m256i weight = Pair(weights[part] + k);
        for (int i = 0; i < 4; ++i) {
          sums[part][i] = _mm256_add_epi32(sums[part][i],
                                           _mm256_madd_epi16(pairs[i], weight));
        }
      }
    }
    __m256i result[4];
    for (int i = 0; i < 4; ++i) {
      result[i] = _mm256_srai_epi32(
          _mm256_add_epi32(Sum(sums[0][i], sums[1][i]), half), kWeightBits);
    }
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out + at),
        _mm256_packus_epi16(_mm256_packs_epi32(result[0], result[1]),
                            _mm256_packs_epi32(result[2], result[3])));
  }
}

bool HasAvx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}

// Rows y .. y + count - 1 of `in`, narrowed, one after the other to `out`.
void Horizontal(const Image& in, const Taps& columns, int64_t y, int64_t count,
                bool avx2, uint8_t* out) {
  const int64_t stride = columns.count() * 4;
  const int64_t end = y + count;
  if (avx2) {
    for (; y + kGroup <= end; y += kGroup, out += kGroup * stride) {
      HorizontalAvx2<kGroup>(in, columns, y, out, stride);
    }
    for (; y < end; ++y, out += stride) {
      HorizontalAvx2<1>(in, columns, y, out, stride);
    }
    return;
  }
  for (; y < end; ++y, out += stride) HorizontalPlain(in, columns, y, out);
}

// Row y of the result from `in`, whose first row is row `top` of what the taps
// count, and up to 28 bytes after it.
void Vertical(const Image& in, const Taps& rows, int64_t y, int64_t top,
              bool avx2, uint8_t* out) {
  if (avx2) {
    VerticalAvx2(in, rows, y, top, out);
  } else {
    VerticalPlain(in, rows, y, top, out);
  }
}

// One row R G B X ... to its place in three planes.
void Split(const uint8_t* row, int64_t width, bool flip, int64_t plane,
           uint8_t* out) {
  if (flip) {
    for (int64_t x = 0; x < width; ++x) {
      const uint8_t* pixel = row + (width - 1 - x) * 4;
      out[x] = pixel[0];
      out[plane + x] = pixel[1];
      out[2 * plane + x] = pixel[2];
    }
    return;
  }
  for (int64_t x = 0; x < width; ++x) {
    out[x] = row[x * 4];
    out[plane + x] = row[x * 4 + 1];
    out[2 * plane + x] = row[x * 4 + 2];
  }
}

}  // namespace

Taps::Taps(int64_t in, double begin, double end, int64_t out, int64_t first,
           int64_t count)
    : count_(count),
      starts_(static_cast<size_t>(count)),
      used_(static_cast<size_t>(count), 1) {
  CHECK_GE(begin, 0);
  CHECK_LE(end, static_cast<double>(in));
  CHECK_GE(count, 1);
  const double scale = (end - begin) / static_cast<double>(out);
  const double widening = std::max(scale, 1.0);
  const double inverse = 1.0 / widening;
  // Pillow's bound on a result's taps, rounded up to whole groups.
  const auto most = static_cast<int64_t>(std::ceil(widening)) * 2 + 1;
  width_ = (most + kGroup - 1) / kGroup * kGroup;
  coarse_.resize(static_cast<size_t>(count * width_));
  fine_.resize(coarse_.size());
  low_ = in;
  identity_ = true;
  std::vector<double> weights(static_cast<size_t>(width_));
  for (int64_t i = 0; i < count; ++i) {
    const double centre =
        begin + (static_cast<double>(first + i) + 0.5) * scale;
    const int64_t start =
        std::max<int64_t>(0, static_cast<int64_t>(centre - widening + 0.5));
    const int64_t stop =
        std::min<int64_t>(in, static_cast<int64_t>(centre + widening + 0.5));
    double total = 0;
    for (int64_t k = 0; k < stop - start; ++k) {
      weights[k] =
          Triangle((static_cast<double>(k + start) - centre + 0.5) * inverse);
      total += weights[k];
    }
    for (int64_t k = 0; k < stop - start; ++k) {
      if (total != 0) weights[k] /= total;
      const auto weight =
          static_cast<int32_t>(0.5 + weights[k] * (1 << kWeightBits));
      coarse_[i * width_ + k] = static_cast<int16_t>(weight >> kFineBits);
      fine_[i * width_ + k] =
          static_cast<int16_t>(weight & ((1 << kFineBits) - 1));
      if (weight != 0) used_[i] = k + 1;
    }
    starts_[i] = start;
    low_ = std::min(low_, start);
    high_ = std::max(high_, start + used_[i]);
    // A weight of one: Pillow's first tap of a line that keeps its size.
    identity_ = identity_ && coarse(i)[0] == 1 << (kWeightBits - kFineBits) &&
                starts_[i] == starts_[0] + i;
  }
}

void Taps::MoveToLow() {
  for (int64_t& start : starts_) start -= low_;
  high_ -= low_;
  low_ = 0;
}

PassOrder PillowOrder(double in_width, double in_height, int64_t width,
                      int64_t height) {
  const double narrower = in_width - static_cast<double>(width);
  const double lower = in_height - static_cast<double>(height);
  return lower > 0 && lower > 2 * narrower ? PassOrder::kVerticalFirst
                                           : PassOrder::kHorizontalFirst;
}

namespace {

void HorizontalThenVertical(const Image& in, const Taps& columns,
                            const Taps& rows, bool flip, bool avx2,
                            Image* between, uint8_t* out) {
  const int64_t width = columns.count();
  const Image* from = &in;
  int64_t left = columns.low();
  int64_t top = 0;
  if (!columns.identity()) {
    const int64_t needed = rows.high() - rows.low();
    between->Resize(width, needed);
    Horizontal(in, columns, rows.low(), needed, avx2, between->row(0));
    from = between;
    left = 0;
    top = rows.low();
  }
  std::vector<uint8_t> row(static_cast<size_t>(from->width) * 4 + kImageSlack);
  for (int64_t y = 0; y < rows.count(); ++y) {
    const uint8_t* line = row.data();
    if (rows.identity()) {
      line = from->row(rows.start(y) - top);
    } else {
      Vertical(*from, rows, y, top, avx2, row.data());
    }
    Split(line + left * 4, width, flip, rows.count() * width, out + y * width);
  }
}

void VerticalThenHorizontal(const Image& in, const Taps& columns,
                            const Taps& rows, bool flip, bool avx2,
                            Image* between, uint8_t* out) {
  const int64_t width = columns.count();
  between->Resize(in.width, rows.count());
  for (int64_t y = 0; y < rows.count(); ++y) {
    Vertical(in, rows, y, 0, avx2, between->row(y));
  }
  std::vector<uint8_t> lines(static_cast<size_t>(kGroup * width) * 4 +
                             kImageSlack);
  for (int64_t y = 0; y < rows.count(); y += kGroup) {
    const int64_t count = std::min<int64_t>(kGroup, rows.count() - y);
    Horizontal(*between, columns, y, count, avx2, lines.data());
    for (int64_t i = 0; i < count; ++i) {
      Split(lines.data() + i * width * 4, width, flip, rows.count() * width,
            out + (y + i) * width);
    }
  }
}

}  // namespace

void Resample(const Image& in, const Taps& columns, const Taps& rows,
              PassOrder order, bool flip, Image* between, uint8_t* out,
              ResamplePath path) {
  CHECK_LE(columns.high(), in.width);
  CHECK_LE(rows.high(), in.height);
  const bool avx2 = path == ResamplePath::kBest && HasAvx2();
  const bool vertical_first = order == PassOrder::kVerticalFirst &&
                              !columns.identity() && !rows.identity();
  (vertical_first ? VerticalThenHorizontal : HorizontalThenVertical)(
      in, columns, rows, flip, avx2, between, out);
}

}  // namespace altprop::data
