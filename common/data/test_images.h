// Small JPEG and PNG files for tests, and what they decode to.
#ifndef COMMON_DATA_TEST_IMAGES_H_
#define COMMON_DATA_TEST_IMAGES_H_

#include <cstdint>
#include <string>

#include "common/data/image_decode.h"

namespace altprop::data {

// A picture that no two places of look alike: slopes, bars and noise.
Image TestPicture(int64_t width, int64_t height, uint32_t seed = 0);

struct JpegOptions {
  int quality = 90;
  int horizontal = 2;  // sampling of the first component; the others' is 1
  int vertical = 2;
  bool progressive = false;
  bool arithmetic = false;
  int restart_rows = 0;  // MCU rows between restart markers
  enum class Colours {
    kYcc,
    kRgb,
    kGrey,
    kCmyk,
    kYcck
  } colours = Colours::kYcc;
};

// With four inks the picture's bytes are taken as they are: C, M, Y, K.
std::string JpegBytes(const Image& picture, const JpegOptions& options = {});

struct PngOptions {
  int bits = 8;  // or 16: the second byte of a sample is noise
  bool alpha = false;
  bool grey = false;  // of the red plane
  bool interlaced = false;
};
std::string PngBytes(const Image& picture, const PngOptions& options = {});

// Bytes of colour planes that differ, over the whole region of `a` placed at
// (left, top) of `b`.
int64_t Differences(const Image& a, const Image& b, int64_t left = 0,
                    int64_t top = 0);

}  // namespace altprop::data

#endif  // COMMON_DATA_TEST_IMAGES_H_
