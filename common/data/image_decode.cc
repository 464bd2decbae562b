#include "common/data/image_decode.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/data/jpeg_decode.h"
#include "common/data/png_decode.h"
#include "common/logging.h"
#include "common/status.h"

namespace altprop::data {
namespace {

constexpr size_t kShownBytes = 4;

absl::Status NoImage(absl::string_view bytes) {
  if (bytes.empty()) return absl::DataLossError("the file is empty");
  return absl::DataLossError(
      absl::StrCat("neither JPEG nor PNG: begins with the bytes ",
                   absl::BytesToHexString(bytes.substr(0, kShownBytes))));
}

absl::StatusOr<ImageSize> SizeOf(absl::string_view bytes) {
  if (IsJpeg(bytes)) return ReadJpegSize(bytes);
  if (IsPng(bytes)) return ReadPngSize(bytes);
  return NoImage(bytes);
}

absl::Status CheckSize(const ImageSize& size, const DecodeLimits& limits) {
  if (size.width > 0 && size.height > 0 &&
      size.width <= limits.pixels / size.height) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat(
      size.width, "x", size.height, " pixels, expected at least 1 and at most ",
      limits.pixels, " in all"));
}

int64_t Shrunk(int64_t side, int shrink) {
  return (side + shrink - 1) / shrink;
}

void CheckInside(const Region& region, const ImageSize& size, int shrink) {
  CHECK_GE(region.left, 0);
  CHECK_GE(region.top, 0);
  CHECK_GE(region.width, 1);
  CHECK_GE(region.height, 1);
  CHECK_LE(region.left + region.width, Shrunk(size.width, shrink));
  CHECK_LE(region.top + region.height, Shrunk(size.height, shrink));
}

absl::Status Decode(absl::string_view bytes, const DecodeOptions& options,
                    int shrink, const Region& region, Image* image) {
  if (IsJpeg(bytes)) return DecodeJpeg(bytes, options, shrink, region, image);
  return DecodePng(bytes, region, image);
}

}  // namespace

void Image::Resize(int64_t new_width, int64_t new_height) {
  width = new_width;
  height = new_height;
  rgbx.resize(static_cast<size_t>(width * height) * 4 + kImageSlack);
}

bool CanShrink(absl::string_view bytes) { return IsJpeg(bytes); }

absl::StatusOr<ImageSize> ReadImageSize(absl::string_view bytes,
                                        const std::string& path,
                                        const DecodeLimits& limits) {
  absl::StatusOr<ImageSize> size = SizeOf(bytes);
  if (!size.ok()) return Annotate(size.status(), path);
  ALTPROP_RETURN_IF_ERROR(Annotate(CheckSize(*size, limits), path));
  return size;
}

absl::Status DecodeImage(absl::string_view bytes, const std::string& path,
                         const DecodeOptions& options, int shrink,
                         const Region& region, Image* image) {
  CHECK(shrink == 1 || CanShrink(bytes));
  ALTPROP_ASSIGN_OR_RETURN(const ImageSize size,
                           ReadImageSize(bytes, path, options.limits));
  CheckInside(region, size, shrink);
  return Annotate(Decode(bytes, options, shrink, region, image), path);
}

absl::StatusOr<Image> DecodeImage(absl::string_view bytes,
                                  const std::string& path,
                                  const DecodeOptions& options) {
  ALTPROP_ASSIGN_OR_RETURN(const ImageSize size,
                           ReadImageSize(bytes, path, options.limits));
  Image image;
  ALTPROP_RETURN_IF_ERROR(DecodeImage(bytes, path, options, 1,
                                      {0, 0, size.width, size.height}, &image));
  return image;
}

}  // namespace altprop::data
