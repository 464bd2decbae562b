// Included once per instruction set, with ALTPROP_KERNELS defined as the name
// of the table and ALTPROP_CAPABILITY as its processor's. The compiler makes
// vectors of the loops over channels. Everything is in an unnamed namespace and
// uses no library templates, so that no function compiled for a newer
// instruction set can be linked into code for an older one.

// NOLINTBEGIN(google-build-namespaces,misc-definitions-in-headers)

#include <cstdint>

#include "common/kernels/batch_norm_kernel.h"

namespace altprop::kernels::batch_norm {
namespace {

// Rows whose sums float still holds well.
constexpr int64_t kRows = 64;

// Adds float sums over at most kRows rows to double ones. `add(row, first,
// second)`: what one row adds. `part`: scratch for 2 channels floats.
template <typename Add>
void SumRows(int64_t rows, int64_t channels, float* part, double* first,
             double* second, const Add& add) {
  for (int64_t begin = 0; begin < rows; begin += kRows) {
    for (int64_t i = 0; i < 2 * channels; ++i) part[i] = 0;
    const int64_t end = begin + kRows < rows ? begin + kRows : rows;
    for (int64_t r = begin; r < end; ++r) add(r, part, part + channels);
    for (int64_t c = 0; c < channels; ++c) {
      first[c] += part[c];
      second[c] += part[channels + c];
    }
  }
}

void Moments(const Forward& block, const float* shift, float* part, double* sum,
             double* square) {
  const int64_t channels = block.channels;
  SumRows(block.rows, channels, part, sum, square,
          [&](int64_t r, float* __restrict first, float* __restrict second) {
            const float* __restrict x = block.x + r * channels;
            for (int64_t c = 0; c < channels; ++c) {
              const float centred = x[c] - shift[c];
              first[c] += centred;
              second[c] += centred * centred;
            }
          });
}

template <bool kRelu, bool kShortcut>
void ApplyRows(const Forward& block, const float* __restrict scale,
               const float* __restrict offset) {
  const int64_t channels = block.channels;
  for (int64_t r = 0; r < block.rows; ++r) {
    const float* x = block.x + r * channels;
    const float* shortcut = kShortcut ? block.shortcut + r * channels : x;
    float* __restrict y = block.y + r * channels;
    for (int64_t c = 0; c < channels; ++c) {
      float value = x[c] * scale[c] + offset[c];
      if (kShortcut) value += shortcut[c];
      // A NaN stays one.
      y[c] = kRelu && value < 0 ? 0.0F : value;
    }
  }
}

void Apply(const Forward& block, const float* scale, const float* offset,
           bool relu) {
  if (block.shortcut != nullptr) {
    (relu ? ApplyRows<true, true> : ApplyRows<false, true>)(block, scale,
                                                            offset);
  } else {
    (relu ? ApplyRows<true, false> : ApplyRows<false, false>)(block, scale,
                                                              offset);
  }
}

// dz of entry c of a row.
template <bool kRelu>
inline float Pass(const float* dy, const float* y, int64_t c) {
  return !kRelu || y[c] > 0 ? dy[c] : 0.0F;
}

template <bool kRelu>
void ReduceRows(const Backward& block, const float* mean, float* part,
                double* sum, double* product) {
  const int64_t channels = block.channels;
  SumRows(block.rows, channels, part, sum, product,
          [&](int64_t r, float* __restrict first, float* __restrict second) {
            const float* __restrict dy = block.dy + r * channels;
            const float* __restrict y =
                kRelu ? block.y + r * channels : nullptr;
            const float* __restrict x = block.x + r * channels;
            for (int64_t c = 0; c < channels; ++c) {
              const float dz = Pass<kRelu>(dy, y, c);
              first[c] += dz;
              second[c] += dz * (x[c] - mean[c]);
            }
          });
}

void Reduce(const Backward& block, const float* mean, float* part, double* sum,
            double* product) {
  (block.y != nullptr ? ReduceRows<true> : ReduceRows<false>)(block, mean, part,
                                                              sum, product);
}

template <bool kRelu, bool kShortcut>
void GradientRows(const Backward& block, const float* __restrict mean,
                  const float* __restrict a, const float* __restrict b,
                  const float* __restrict d) {
  const int64_t channels = block.channels;
  for (int64_t r = 0; r < block.rows; ++r) {
    const float* __restrict dy = block.dy + r * channels;
    const float* __restrict y = kRelu ? block.y + r * channels : nullptr;
    const float* __restrict x = block.x + r * channels;
    float* __restrict dx = block.dx + r * channels;
    float* __restrict dshortcut =
        kShortcut ? block.dshortcut + r * channels : nullptr;
    for (int64_t c = 0; c < channels; ++c) {
      const float dz = Pass<kRelu>(dy, y, c);
      dx[c] = dz * a[c] + (x[c] - mean[c]) * b[c] + d[c];
      if (kShortcut) dshortcut[c] = dz;
    }
  }
}

void Gradient(const Backward& block, const float* mean, const float* a,
              const float* b, const float* d) {
  const bool relu = block.y != nullptr;
  if (block.dshortcut != nullptr) {
    (relu ? GradientRows<true, true> : GradientRows<false, true>)(block, mean,
                                                                  a, b, d);
  } else {
    (relu ? GradientRows<true, false> : GradientRows<false, false>)(block, mean,
                                                                    a, b, d);
  }
}

}  // namespace

extern const Kernels ALTPROP_KERNELS = {ALTPROP_CAPABILITY, Moments, Apply,
                                        Reduce, Gradient};

}  // namespace altprop::kernels::batch_norm

// NOLINTEND(google-build-namespaces,misc-definitions-in-headers)
