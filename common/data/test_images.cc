#include "common/data/test_images.h"

#include <cstdio>
#include <cstdlib>
// After the above: the next header needs FILE and size_t.
#include <jpeglib.h>
#include <png.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/logging.h"

namespace altprop::data {
namespace {

using Colours = JpegOptions::Colours;

void SetColours(const JpegOptions& options, jpeg_compress_struct& encoder) {
  const bool inks =
      options.colours == Colours::kCmyk || options.colours == Colours::kYcck;
  encoder.input_components = 4;
  encoder.in_color_space = inks ? JCS_CMYK : JCS_EXT_RGBX;
  jpeg_set_defaults(&encoder);
  switch (options.colours) {
    case Colours::kYcc:
      jpeg_set_colorspace(&encoder, JCS_YCbCr);
      break;
    case Colours::kRgb:
      jpeg_set_colorspace(&encoder, JCS_RGB);
      break;
    case Colours::kGrey:
      jpeg_set_colorspace(&encoder, JCS_GRAYSCALE);
      break;
    case Colours::kCmyk:
      jpeg_set_colorspace(&encoder, JCS_CMYK);
      break;
    case Colours::kYcck:
      jpeg_set_colorspace(&encoder, JCS_YCCK);
      break;
  }
}

void AppendPng(png_structp png, png_bytep bytes, png_size_t count) {
  static_cast<std::string*>(png_get_io_ptr(png))
      ->append(reinterpret_cast<const char*>(bytes), count);
}

// One row as the PNG stores it.
std::vector<uint8_t> PngRow(const uint8_t* rgbx, int64_t width,
                            const PngOptions& options) {
  std::vector<uint8_t> row;
  const int colours = options.grey ? 1 : 3;
  for (int64_t x = 0; x < width; ++x) {
    for (int c = 0; c < colours + (options.alpha ? 1 : 0); ++c) {
      row.push_back(c < colours ? rgbx[x * 4 + c] : x % 256);
      if (options.bits == 16) row.push_back((x * 7) % 256);
    }
  }
  return row;
}

}  // namespace

Image TestPicture(int64_t width, int64_t height, uint32_t seed) {
  Image image;
  image.Resize(width, height);
  uint32_t noise = seed * 2654435761U + 1;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      noise = noise * 1664525U + 1013904223U;
      const auto grain = static_cast<int>(noise >> 28);
      uint8_t* pixel = image.row(y) + x * 4;
      pixel[0] = static_cast<uint8_t>(255 * x / width);
      pixel[1] = static_cast<uint8_t>(
          std::min<int64_t>(255, 220 * y / height + grain));
      pixel[2] = static_cast<uint8_t>(
          ((x + seed) / 6 + y / 9) % 2 == 0 ? 40 + grain : 200);
      pixel[3] = static_cast<uint8_t>(255 - 255 * x / width);
    }
  }
  return image;
}

std::string JpegBytes(const Image& picture, const JpegOptions& options) {
  jpeg_compress_struct encoder;
  jpeg_error_mgr errors;
  encoder.err = jpeg_std_error(&errors);  // ends the test on an error
  jpeg_create_compress(&encoder);
  unsigned char* memory = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libjpeg's type
  jpeg_mem_dest(&encoder, &memory, &size);
  encoder.image_width = static_cast<JDIMENSION>(picture.width);
  encoder.image_height = static_cast<JDIMENSION>(picture.height);
  SetColours(options, encoder);
  jpeg_set_quality(&encoder, options.quality, TRUE);
  for (int c = 0; c < encoder.num_components; ++c) {
    encoder.comp_info[c].h_samp_factor = c == 0 ? options.horizontal : 1;
    encoder.comp_info[c].v_samp_factor = c == 0 ? options.vertical : 1;
  }
  encoder.restart_in_rows = options.restart_rows;
  encoder.arith_code = options.arithmetic ? TRUE : FALSE;
  if (options.progressive) jpeg_simple_progression(&encoder);
  jpeg_start_compress(&encoder, TRUE);
  for (int64_t y = 0; y < picture.height; ++y) {
    auto* row = const_cast<uint8_t*>(picture.row(y));
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  jpeg_destroy_compress(&encoder);
  std::string bytes(reinterpret_cast<const char*>(memory), size);
  std::free(memory);
  return bytes;
}

std::string PngBytes(const Image& picture, const PngOptions& options) {
  std::string bytes;
  png_structp png =
      png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  CHECK(info != nullptr);
  png_set_write_fn(png, &bytes, AppendPng, [](png_structp) {});
  const int type = (options.grey ? 0 : PNG_COLOR_MASK_COLOR) |
                   (options.alpha ? PNG_COLOR_MASK_ALPHA : 0);
  png_set_IHDR(png, info, static_cast<png_uint_32>(picture.width),
               static_cast<png_uint_32>(picture.height), options.bits, type,
               options.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  const int passes = png_set_interlace_handling(png);
  for (int pass = 0; pass < passes; ++pass) {
    for (int64_t y = 0; y < picture.height; ++y) {
      png_write_row(png, PngRow(picture.row(y), picture.width, options).data());
    }
  }
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

int64_t Differences(const Image& a, const Image& b, int64_t left, int64_t top) {
  int64_t differences = 0;
  for (int64_t y = 0; y < a.height; ++y) {
    for (int64_t x = 0; x < a.width; ++x) {
      const uint8_t* pixel = a.row(y) + x * 4;
      const uint8_t* other = b.row(top + y) + (left + x) * 4;
      for (int c = 0; c < 3; ++c) differences += pixel[c] != other[c];
    }
  }
  return differences;
}

}  // namespace altprop::data
