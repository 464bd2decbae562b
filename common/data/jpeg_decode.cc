#include "common/data/jpeg_decode.h"

#include <jerror.h>
#include <jpeglib.h>  // needs <cstdio> and <cstddef>, from the header above

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace altprop::data {
namespace {

// More than an interpolated colour sample reaches sideways, in pixels.
constexpr int64_t kChromaReach = 4;

// libjpeg reports through pointers to its own structs, the first member of
// ours. An error jumps over libjpeg's frames alone: the frames that call
// setjmp hold nothing with a destructor.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = {};
  bool ended = false;  // libjpeg went on with an end marker of its own
};

struct ScanLimit {
  jpeg_progress_mgr base{};
  int most = 0;
};

void OnError(j_common_ptr info) {
  auto* error = reinterpret_cast<ErrorManager*>(info->err);
  error->base.format_message(info, error->message);
  std::longjmp(error->jump, 1);
}

// Warnings are passed over, as every user of libjpeg does (a few extraneous
// bytes are common), but for the end of the data.
void OnMessage(j_common_ptr info, int level) {
  auto* error = reinterpret_cast<ErrorManager*>(info->err);
  if (level < 0 && error->base.msg_code == JWRN_JPEG_EOF) error->ended = true;
}

void OnProgress(j_common_ptr info) {
  const auto* limit = reinterpret_cast<const ScanLimit*>(info->progress);
  const auto* decoder = reinterpret_cast<jpeg_decompress_struct*>(info);
  if (decoder->input_scan_number <= limit->most) return;
  auto* error = reinterpret_cast<ErrorManager*>(info->err);
  std::snprintf(error->message, sizeof(error->message), "more than %d scans",
                limit->most);
  std::longjmp(error->jump, 1);
}

// One file. Each method is false on an error, which error() tells.
class JpegReader {
 public:
  JpegReader() {
    info_.err = jpeg_std_error(&error_.base);
    error_.base.error_exit = OnError;
    error_.base.emit_message = OnMessage;
    error_.base.output_message = [](j_common_ptr) {};
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  bool ReadHeader(absl::string_view bytes) {
    if (setjmp(error_.jump) != 0) return false;  // NOLINT(cert-err52-cpp)
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, reinterpret_cast<const uint8_t*>(bytes.data()),
                 bytes.size());
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  // Reads what is before the pixels; all of a progressive file.
  bool Start(const DecodeOptions& options, int shrink) {
    limit_.base.progress_monitor = OnProgress;
    limit_.most = options.limits.scans;
    if (setjmp(error_.jump) != 0) return false;  // NOLINT(cert-err52-cpp)
    info_.progress = &limit_.base;
    info_.scale_num = 1;
    info_.scale_denom = shrink;
    info_.dct_method = JDCT_ISLOW;
    info_.do_fancy_upsampling = options.smooth_chroma ? TRUE : FALSE;
    info_.out_color_space = four_inks() ? JCS_CMYK : JCS_EXT_RGBX;
    jpeg_start_decompress(&info_);
    return true;
  }

  // The columns that Rows() will give: at least left .. left + width - 1.
  bool SelectColumns(int64_t left, int64_t width, int64_t* first) {
    *first = 0;
    if (!CanSelectColumns()) return true;
    const int64_t begin = std::max<int64_t>(0, left - kChromaReach);
    const int64_t end =
        std::min<int64_t>(info_.output_width, left + width + kChromaReach);
    auto offset = static_cast<JDIMENSION>(begin);
    auto count = static_cast<JDIMENSION>(end - begin);
    if (setjmp(error_.jump) != 0) return false;  // NOLINT(cert-err52-cpp)
    jpeg_crop_scanline(&info_, &offset, &count);
    *first = offset;
    return true;
  }

  bool SkipRows(int64_t count) {
    if (setjmp(error_.jump) != 0) return false;  // NOLINT(cert-err52-cpp)
    if (count > 0) jpeg_skip_scanlines(&info_, static_cast<JDIMENSION>(count));
    return true;
  }

  // `row`: four bytes for each of row_pixels().
  bool ReadRow(uint8_t* row) {
    if (setjmp(error_.jump) != 0) return false;  // NOLINT(cert-err52-cpp)
    jpeg_read_scanlines(&info_, &row, 1);
    return true;
  }

  const jpeg_decompress_struct& info() const { return info_; }
  int64_t row_pixels() const { return info_.output_width; }
  bool ended() const { return error_.ended; }
  absl::Status Error() const {
    return absl::DataLossError(absl::StrCat("JPEG: ", error_.message));
  }
  // Where the header ended.
  size_t bytes_left() const { return info_.src->bytes_in_buffer; }

  bool four_inks() const {
    return info_.jpeg_color_space == JCS_CMYK ||
           info_.jpeg_color_space == JCS_YCCK;
  }

 private:
  // libjpeg-turbo takes the wrong width for unusual samplings when it shrinks
  // (corrected in its 2.1.5.1).
  bool CanSelectColumns() const {
    for (int c = 0; c < info_.num_components; ++c) {
      const jpeg_component_info& component = info_.comp_info[c];
      const int most = c == 0 ? 2 : 1;
      if (component.h_samp_factor > most || component.v_samp_factor > most) {
        return false;
      }
    }
    return !four_inks();
  }

  jpeg_decompress_struct info_{};
  ErrorManager error_{};
  ScanLimit limit_;
};

// Adobe's inks are stored inverted: 255 is none. As Pillow converts them.
void InksToColours(uint8_t* row, int64_t pixels) {
  for (uint8_t* p = row; p < row + 4 * pixels; p += 4) {
    const int light = p[3];
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - p[c]) * light + 128;
      const int ink = ((product >> 8) + product) >> 8;
      p[c] = static_cast<uint8_t>(std::max(0, light - ink));
    }
  }
}

// A file that breaks off has no end marker; within the pixels' code those two
// bytes do not occur.
bool HasEnd(absl::string_view data) {
  return data.rfind("\xFF\xD9") != absl::string_view::npos;
}

absl::Status BreaksOff(size_t bytes) {
  return absl::DataLossError(
      absl::StrCat("the JPEG data breaks off after ", bytes, " bytes"));
}

absl::Status CheckColours(const jpeg_decompress_struct& info) {
  switch (info.jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr:
    case JCS_CMYK:
    case JCS_YCCK:
      return absl::OkStatus();
    default:
      return absl::DataLossError(
          absl::StrCat("a JPEG of ", info.num_components,
                       " colour components, expected 1, 3 or 4"));
  }
}

absl::Status ReadRows(JpegReader& reader, const Region& region, Image* image) {
  int64_t first = 0;
  if (!reader.SelectColumns(region.left, region.width, &first) ||
      !reader.SkipRows(region.top)) {
    return reader.Error();
  }
  image->Resize(region.width, region.height);
  std::vector<uint8_t> row(static_cast<size_t>(reader.row_pixels()) * 4);
  for (int64_t y = 0; y < region.height; ++y) {
    if (!reader.ReadRow(row.data())) return reader.Error();
    std::memcpy(image->row(y), row.data() + (region.left - first) * 4,
                static_cast<size_t>(region.width) * 4);
  }
  return absl::OkStatus();
}

}  // namespace

bool IsJpeg(absl::string_view bytes) {
  return bytes.substr(0, 3) == "\xFF\xD8\xFF";
}

absl::StatusOr<ImageSize> ReadJpegSize(absl::string_view bytes) {
  JpegReader reader;
  if (!reader.ReadHeader(bytes)) return reader.Error();
  if (reader.ended()) return BreaksOff(bytes.size());
  return ImageSize{reader.info().image_width, reader.info().image_height};
}

absl::Status DecodeJpeg(absl::string_view bytes, const DecodeOptions& options,
                        int shrink, const Region& region, Image* image) {
  JpegReader reader;
  if (!reader.ReadHeader(bytes)) return reader.Error();
  if (!HasEnd(bytes.substr(bytes.size() - reader.bytes_left()))) {
    return BreaksOff(bytes.size());
  }
  if (absl::Status s = CheckColours(reader.info()); !s.ok()) return s;
  if (!reader.Start(options, shrink)) return reader.Error();
  if (absl::Status s = ReadRows(reader, region, image); !s.ok()) return s;
  if (reader.ended()) return BreaksOff(bytes.size());
  if (reader.four_inks()) {
    InksToColours(image->rgbx.data(), region.width * region.height);
  }
  return absl::OkStatus();
}

}  // namespace altprop::data
