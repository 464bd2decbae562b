// Pillow's 8-bit resizing with a triangular filter, to the last bit.
//
// A tap's weight is its distance's triangle, widened when the image shrinks,
// normalised in double and rounded to 22 bits; a pass sums pixels in integers
// and rounds to 8 bits. Integer sums do not depend on their order, so the
// vectorised path gives the plain one's bytes.
#ifndef COMMON_DATA_RESAMPLE_H_
#define COMMON_DATA_RESAMPLE_H_

#include <cstdint>
#include <vector>

#include "common/data/image_decode.h"

namespace altprop::data {

// Which pixels of a line make each pixel of the result, and their weights.
class Taps {
 public:
  // A line of `in` pixels, of which the part from `begin` to `end` (at least 0,
  // at most `in`, pixels may be cut) becomes `out` pixels; the weights for
  // result `first` .. first + count - 1 of them.
  Taps(int64_t in, double begin, double end, int64_t out, int64_t first,
       int64_t count);

  int64_t count() const { return count_; }
  // The first pixel that result i takes.
  int64_t start(int64_t i) const { return starts_[i]; }
  // So many from there on; the weights after them, up to a multiple of four,
  // are 0.
  int64_t used(int64_t i) const { return used_[i]; }
  // The pixels that any result takes: low() .. high() - 1.
  int64_t low() const { return low_; }
  int64_t high() const { return high_; }
  // Each result is the pixel at the same distance from low(), unchanged.
  bool identity() const { return identity_; }
  // Counts pixels from low() on: for a line that was cut to those needed.
  void MoveToLow();

  // The weights of result i: coarse * 2^11 + fine, in units of 2^-22. Both fit
  // a signed 16-bit factor.
  const int16_t* coarse(int64_t i) const { return &coarse_[i * width_]; }
  const int16_t* fine(int64_t i) const { return &fine_[i * width_]; }

 private:
  int64_t count_;
  int64_t width_ = 0;  // weights kept a result, a multiple of four
  int64_t low_ = 0;
  int64_t high_ = 0;
  bool identity_ = false;
  std::vector<int64_t> starts_;
  std::vector<int64_t> used_;
  std::vector<int16_t> coarse_;
  std::vector<int16_t> fine_;
};

// kBest: AVX2 where the machine has it.
enum class ResamplePath { kBest, kPlain };

// Which pass comes first decides the last bit.
enum class PassOrder { kHorizontalFirst, kVerticalFirst };

// What Pillow 13 does for a rectangle that becomes width x height pixels, as
// seen from outside: vertical first where that saves more than twice the rows
// that the other saves columns. Releases before it: always horizontal first.
PassOrder PillowOrder(double in_width, double in_height, int64_t width,
                      int64_t height);

// `in`, of columns.high() x rows.high() pixels or more, to columns.count() x
// rows.count() pixels. `between` is scratch. `out`: uint8 [3, rows, columns],
// each row mirrored if `flip`.
void Resample(const Image& in, const Taps& columns, const Taps& rows,
              PassOrder order, bool flip, Image* between, uint8_t* out,
              ResamplePath path = ResamplePath::kBest);

}  // namespace altprop::data

#endif  // COMMON_DATA_RESAMPLE_H_
