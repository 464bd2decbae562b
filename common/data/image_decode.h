// JPEG and PNG files to pixels, hostile ones refused.
//
// What a file is, its first bytes tell, not its name. Grey, palette and 16-bit
// images become 8-bit RGB, an alpha channel is dropped; CMYK and YCCK are taken
// as stored inverted, the way that Adobe's programs write them and Pillow reads
// them. Baseline, progressive and arithmetic-coded JPEG of 8 bits.
//
// Errors are kDataLoss and one line with the file: what is neither JPEG nor
// PNG, breaks off, breaks the format's rules, or exceeds a limit. Whether a
// file is one does not depend on the part asked for.
#ifndef COMMON_DATA_IMAGE_DECODE_H_
#define COMMON_DATA_IMAGE_DECODE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::data {

struct ImageSize {
  int64_t width = 0;
  int64_t height = 0;
};

// A rectangle of pixels; left and top count from 0.
struct Region {
  int64_t left = 0;
  int64_t top = 0;
  int64_t width = 0;
  int64_t height = 0;
};

// Four bytes a pixel, row by row: red, green, blue and one without meaning. A
// few bytes past the last pixel may be read (kImageSlack).
struct Image {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> rgbx;

  const uint8_t* row(int64_t y) const { return rgbx.data() + y * width * 4; }
  uint8_t* row(int64_t y) { return rgbx.data() + y * width * 4; }
  // Keeps the memory it has.
  void Resize(int64_t new_width, int64_t new_height);
};
inline constexpr size_t kImageSlack = 64;

// What a file may ask for.
struct DecodeLimits {
  int64_t pixels = int64_t{1} << 26;  // width times height
  int scans = 100;                    // of a progressive JPEG; 10 are usual
};

struct DecodeOptions {
  DecodeLimits limits;
  // JPEG's colour planes of half the size: interpolated, as Pillow does, or
  // repeated, which is faster and what NVIDIA's decoder does.
  bool smooth_chroma = true;
};

// The size in a file's header. `path` is for error lines only.
absl::StatusOr<ImageSize> ReadImageSize(absl::string_view bytes,
                                        const std::string& path,
                                        const DecodeLimits& limits = {});

// A JPEG can be decoded at 1/2, 1/4 and 1/8 of its size, each pixel about the
// mean of the square it stands for; for less work than the whole. PNG cannot.
bool CanShrink(absl::string_view bytes);

// `region` of the image shrunk by `shrink` (1, or 2, 4, 8 if CanShrink), whose
// size is the original's divided by `shrink` and rounded up. The pixels are
// those of the whole image decoded; the rest costs less, or nothing. CHECKs
// that the region is in the image.
absl::Status DecodeImage(absl::string_view bytes, const std::string& path,
                         const DecodeOptions& options, int shrink,
                         const Region& region, Image* image);

// The whole image.
absl::StatusOr<Image> DecodeImage(absl::string_view bytes,
                                  const std::string& path,
                                  const DecodeOptions& options = {});

}  // namespace altprop::data

#endif  // COMMON_DATA_IMAGE_DECODE_H_
