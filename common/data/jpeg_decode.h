// libjpeg-turbo behind two functions; see image_decode.h, which is the
// interface for everyone else.
#ifndef COMMON_DATA_JPEG_DECODE_H_
#define COMMON_DATA_JPEG_DECODE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/data/image_decode.h"

namespace altprop::data {

// Begins with a JPEG marker.
bool IsJpeg(absl::string_view bytes);

// Errors have no file name yet. No limit is looked at.
absl::StatusOr<ImageSize> ReadJpegSize(absl::string_view bytes);
absl::Status DecodeJpeg(absl::string_view bytes, const DecodeOptions& options,
                        int shrink, const Region& region, Image* image);

}  // namespace altprop::data

#endif  // COMMON_DATA_JPEG_DECODE_H_
