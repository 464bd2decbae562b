#include "common/data/png_decode.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"

namespace altprop::data {
namespace {

constexpr absl::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
// The most that one chunk beside the pixels may unpack to.
constexpr png_alloc_size_t kMostChunkBytes = 1 << 23;

// What libpng's callbacks reach through its pointers. An error jumps over
// libpng's frames alone: the frames that call setjmp hold nothing with a
// destructor.
struct State {
  absl::string_view bytes;
  size_t at = 0;
  std::jmp_buf jump;
  char message[256] = {};
};

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  auto* state = static_cast<State*>(png_get_error_ptr(png));
  std::snprintf(state->message, sizeof(state->message), "PNG: %s", message);
  std::longjmp(state->jump, 1);
}

void OnWarning(png_structp, png_const_charp) {}

void Read(png_structp png, png_bytep to, png_size_t count) {
  auto* state = static_cast<State*>(png_get_io_ptr(png));
  if (count > state->bytes.size() - state->at) {
    std::snprintf(state->message, sizeof(state->message),
                  "the PNG data breaks off after %zu bytes",
                  state->bytes.size());
    std::longjmp(state->jump, 1);
  }
  std::memcpy(to, state->bytes.data() + state->at, count);
  state->at += count;
}

// One file. Each method is false on an error, which Error() tells.
class PngReader {
 public:
  explicit PngReader(absl::string_view bytes) { state_.bytes = bytes; }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  bool ReadHeader() {
    if (setjmp(state_.jump) != 0) return false;  // NOLINT(cert-err52-cpp)
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state_, OnError,
                                  OnWarning);
    if (png_ == nullptr) return OutOfMemory();
    info_ = png_create_info_struct(png_);
    if (info_ == nullptr) return OutOfMemory();
    png_set_read_fn(png_, &state_, Read);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(png_, kMostChunkBytes);
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(png_, info_);
    return true;
  }

  // Eight bits of red, green, blue and a filler from any kind of PNG; alpha
  // becomes the filler.
  bool Start() {
    if (setjmp(state_.jump) != 0) return false;  // NOLINT(cert-err52-cpp)
    png_set_strip_16(png_);
    png_set_expand(png_);
    png_set_gray_to_rgb(png_);
    png_set_add_alpha(png_, 0xFF, PNG_FILLER_AFTER);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool ReadRow(uint8_t* row) {
    if (setjmp(state_.jump) != 0) return false;  // NOLINT(cert-err52-cpp)
    png_read_row(png_, row, nullptr);
    return true;
  }

  // Checks what follows the pixels.
  bool Finish() {
    if (setjmp(state_.jump) != 0) return false;  // NOLINT(cert-err52-cpp)
    png_read_end(png_, nullptr);
    return true;
  }

  ImageSize size() const {
    return {png_get_image_width(png_, info_),
            png_get_image_height(png_, info_)};
  }
  int passes() const { return passes_; }
  absl::Status Error() const { return absl::DataLossError(state_.message); }

 private:
  bool OutOfMemory() {
    std::snprintf(state_.message, sizeof(state_.message), "out of memory");
    return false;
  }

  State state_{};
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  int passes_ = 1;
};

// Every row, since a PNG's rows depend on those above.
absl::Status ReadWhole(PngReader& reader, Image* image) {
  const ImageSize size = reader.size();
  image->Resize(size.width, size.height);
  for (int pass = 0; pass < reader.passes(); ++pass) {
    for (int64_t y = 0; y < size.height; ++y) {
      if (!reader.ReadRow(image->row(y))) return reader.Error();
    }
  }
  return absl::OkStatus();
}

// Moves `region` to the beginning.
void Cut(const Region& region, Image* image) {
  const auto bytes = static_cast<size_t>(region.width) * 4;
  for (int64_t y = 0; y < region.height; ++y) {
    std::memmove(image->rgbx.data() + y * static_cast<int64_t>(bytes),
                 image->row(region.top + y) + region.left * 4, bytes);
  }
  image->Resize(region.width, region.height);
}

}  // namespace

bool IsPng(absl::string_view bytes) {
  return bytes.substr(0, kSignature.size()) == kSignature;
}

absl::StatusOr<ImageSize> ReadPngSize(absl::string_view bytes) {
  PngReader reader(bytes);
  if (!reader.ReadHeader()) return reader.Error();
  return reader.size();
}

absl::Status DecodePng(absl::string_view bytes, const Region& region,
                       Image* image) {
  PngReader reader(bytes);
  if (!reader.ReadHeader() || !reader.Start()) return reader.Error();
  if (absl::Status s = ReadWhole(reader, image); !s.ok()) return s;
  if (!reader.Finish()) return reader.Error();
  Cut(region, image);
  return absl::OkStatus();
}

}  // namespace altprop::data
