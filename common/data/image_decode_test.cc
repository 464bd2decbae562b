#include "common/data/image_decode.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/data/test_images.h"
#include "common/data/test_status.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

using Colours = JpegOptions::Colours;

std::string TestData(const std::string& name) {
  return testing::ReadFile("common/data/testdata/images/" + name);
}

Image Decoded(const std::string& bytes, const DecodeOptions& options = {}) {
  absl::StatusOr<Image> image = DecodeImage(bytes, "x", options);
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? *std::move(image) : Image();
}

std::vector<JpegOptions> EveryKind() {
  std::vector<JpegOptions> kinds;
  const int samplings[][2] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}};
  for (const auto& [horizontal, vertical] : samplings) {
    for (const bool progressive : {false, true}) {
      JpegOptions kind;
      kind.horizontal = horizontal;
      kind.vertical = vertical;
      kind.progressive = progressive;
      kinds.push_back(kind);
    }
  }
  JpegOptions kind;
  kind.restart_rows = 1;
  kinds.push_back(kind);
  kind.arithmetic = true;
  kinds.push_back(kind);
  kind = {};
  for (const Colours colours :
       {Colours::kRgb, Colours::kGrey, Colours::kCmyk, Colours::kYcck}) {
    kind.colours = colours;
    kind.horizontal = kind.vertical = colours == Colours::kYcck ? 2 : 1;
    kinds.push_back(kind);
  }
  return kinds;
}

std::string Name(const JpegOptions& kind) {
  return absl::StrCat(kind.horizontal, "x", kind.vertical,
                      kind.progressive ? " progressive" : "",
                      kind.arithmetic ? " arithmetic" : "", " colours ",
                      static_cast<int>(kind.colours));
}

TEST(DecodeImage, GivesPillowsPixelsOfAJpeg) {
  for (const char* name :
       {"jpeg444", "jpeg422", "jpeg420", "progressive", "grey", "cmyk"}) {
    const Image jpeg = Decoded(TestData(absl::StrCat(name, ".jpg")));
    const Image expected = Decoded(TestData(absl::StrCat(name, ".png")));
    ASSERT_EQ(jpeg.width, 67);
    ASSERT_EQ(jpeg.height, 51);
    EXPECT_EQ(Differences(jpeg, expected), 0) << name;
  }
}

TEST(DecodeImage, GivesThePixelsOfEveryKindOfPng) {
  const Image picture = TestPicture(41, 23);
  for (const int bits : {8, 16}) {
    for (const bool alpha : {false, true}) {
      for (const bool interlaced : {false, true}) {
        const Image image =
            Decoded(PngBytes(picture, {bits, alpha, false, interlaced}));
        ASSERT_EQ(image.width, 41);
        ASSERT_EQ(image.height, 23);
        EXPECT_EQ(Differences(image, picture), 0) << bits << alpha;
        const Image grey =
            Decoded(PngBytes(picture, {bits, alpha, true, interlaced}));
        for (int64_t x = 0; x < 41; ++x) {
          const uint8_t* pixel = grey.row(5) + x * 4;
          EXPECT_EQ(pixel[0], picture.row(5)[x * 4]);
          EXPECT_EQ(pixel[1], pixel[0]);
          EXPECT_EQ(pixel[2], pixel[0]);
        }
      }
    }
  }
}

TEST(DecodeImage, GivesTheSamePixelsForAPartAsForTheWhole) {
  const Image picture = TestPicture(133, 101);
  const Region regions[] = {
      {0, 0, 133, 101}, {0, 0, 1, 1},     {132, 100, 1, 1}, {37, 41, 50, 33},
      {17, 16, 16, 16}, {64, 90, 69, 11}, {5, 1, 120, 2},   {31, 0, 33, 101}};
  for (const JpegOptions& kind : EveryKind()) {
    const std::string bytes = JpegBytes(picture, kind);
    for (const bool smooth : {true, false}) {
      DecodeOptions options;
      options.smooth_chroma = smooth;
      const Image whole = Decoded(bytes, options);
      for (const Region& region : regions) {
        Image part;
        ASSERT_TRUE(DecodeImage(bytes, "x", options, 1, region, &part).ok());
        ASSERT_EQ(part.width, region.width);
        ASSERT_EQ(part.height, region.height);
        EXPECT_EQ(Differences(part, whole, region.left, region.top), 0)
            << Name(kind) << " smooth " << smooth << " at " << region.left
            << "," << region.top;
      }
    }
  }
}

TEST(DecodeImage, GivesTheSamePartOfAShrunkJpeg) {
  const Image picture = TestPicture(133, 101);
  for (const JpegOptions& kind : EveryKind()) {
    const std::string bytes = JpegBytes(picture, kind);
    for (const int shrink : {2, 4, 8}) {
      const int64_t width = (133 + shrink - 1) / shrink;
      const int64_t height = (101 + shrink - 1) / shrink;
      Image whole, part;
      ASSERT_TRUE(
          DecodeImage(bytes, "x", {}, shrink, {0, 0, width, height}, &whole)
              .ok());
      const Region region = {width / 3, height / 4, width / 2, height / 2};
      ASSERT_TRUE(DecodeImage(bytes, "x", {}, shrink, region, &part).ok());
      EXPECT_EQ(Differences(part, whole, region.left, region.top), 0)
          << Name(kind) << " shrunk " << shrink;
    }
  }
}

TEST(DecodeImage, ShrinksToTheMeanOfSquares) {
  const Image picture = TestPicture(64, 48);
  JpegOptions kind;
  kind.horizontal = kind.vertical = 1;
  const std::string bytes = JpegBytes(picture, kind);
  const Image whole = Decoded(bytes);
  Image small;
  ASSERT_TRUE(DecodeImage(bytes, "x", {}, 8, {0, 0, 8, 6}, &small).ok());
  for (int64_t y = 0; y < 6; ++y) {
    for (int64_t x = 0; x < 8; ++x) {
      double mean = 0;
      for (int64_t i = 0; i < 64; ++i) {
        mean += whole.row(8 * y + i / 8)[(8 * x + i % 8) * 4] / 64.0;
      }
      // The mean of the whole's pixels was rounded and clamped 64 times.
      EXPECT_NEAR(small.row(y)[x * 4], mean, 1.5);
    }
  }
}

// Stored inverted: 255 is no ink.
TEST(DecodeImage, TurnsInksIntoLight) {
  Image inks;
  inks.Resize(32, 16);
  const std::vector<std::vector<int>> cases = {
      // C, M, Y, K as stored; red, green, blue
      {255, 255, 255, 255, 255, 255, 255}, {255, 255, 255, 0, 0, 0, 0},
      {0, 255, 255, 255, 0, 255, 255},     {255, 0, 255, 255, 255, 0, 255},
      {255, 255, 0, 128, 128, 128, 0},     {100, 200, 50, 200, 78, 157, 39}};
  for (const Colours colours : {Colours::kCmyk, Colours::kYcck}) {
    for (const std::vector<int>& c : cases) {
      for (int64_t i = 0; i < 32 * 16; ++i) {
        for (int k = 0; k < 4; ++k) {
          inks.rgbx[i * 4 + k] = static_cast<uint8_t>(c[k]);
        }
      }
      JpegOptions kind;
      kind.colours = colours;
      kind.quality = 100;
      const Image image = Decoded(JpegBytes(inks, kind));
      for (int k = 0; k < 3; ++k) {
        // YCCK passes through two colour conversions in eight bits.
        EXPECT_NEAR(image.row(7)[9 * 4 + k], c[4 + k], 3);
      }
    }
  }
}

TEST(DecodeImage, ReadsTheSizeFromTheHeaderAlone) {
  const std::string jpeg = JpegBytes(TestPicture(31, 17));
  const auto size = ReadImageSize(jpeg.substr(0, jpeg.size() - 50), "x");
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->width, 31);
  EXPECT_EQ(size->height, 17);
  EXPECT_EQ(ReadImageSize(PngBytes(TestPicture(8, 9)), "x")->height, 9);
}

TEST(DecodeImage, RefusesWhatIsNoImage) {
  EXPECT_THAT(DecodeImage("", "a/b.jpg"),
              FailsWith("a/b.jpg: the file is empty"));
  EXPECT_THAT(DecodeImage("GIF89a", "a/b.jpg"),
              FailsWith("a/b.jpg: neither JPEG nor PNG: begins with the bytes "
                        "47494638"));
  EXPECT_THAT(DecodeImage("\xFF\xD8\xFF", "x.jpg"), FailsNaming("x.jpg: "));
}

// Every length short of the whole, whichever part is asked for.
TEST(DecodeImage, RefusesAFileThatBreaksOff) {
  const Image picture = TestPicture(40, 24);
  JpegOptions progressive;
  progressive.progressive = true;
  for (const std::string& bytes :
       {JpegBytes(picture), JpegBytes(picture, progressive),
        PngBytes(picture)}) {
    for (size_t size = 0; size < bytes.size() - 1; ++size) {
      Image part;
      const std::string cut = bytes.substr(0, size);
      const auto read = ReadImageSize(cut, "cut.jpg");
      if (!read.ok()) {
        EXPECT_THAT(read, FailsNaming("cut.jpg: ")) << size;
        continue;
      }
      const absl::Status status =
          DecodeImage(cut, "cut.jpg", {}, 1, {3, 2, 4, 4}, &part);
      EXPECT_TRUE(absl::IsDataLoss(status)) << size << ": " << status;
      EXPECT_THAT(absl::StatusOr<int>(status), FailsNaming("cut.jpg: "));
    }
  }
}

TEST(DecodeImage, SaysWhereAJpegBreaksOff) {
  const std::string bytes = JpegBytes(TestPicture(40, 24));
  EXPECT_THAT(DecodeImage(bytes.substr(0, bytes.size() - 30), "x.jpg"),
              FailsWith(absl::StrCat("x.jpg: the JPEG data breaks off after ",
                                     bytes.size() - 30, " bytes")));
}

// Where the frame header says the height and the width.
size_t FrameAt(const std::string& jpeg, bool progressive) {
  return jpeg.find(progressive ? "\xFF\xC2" : "\xFF\xC0") + 5;
}

TEST(DecodeImage, RefusesAHeaderOfFourMilliardPixels) {
  for (const bool is_progressive : {false, true}) {
    JpegOptions options;
    options.progressive = is_progressive;
    std::string bytes = JpegBytes(TestPicture(16, 16), options);
    const size_t at = FrameAt(bytes, is_progressive);
    bytes.replace(at, 4, "\xFF\xFF\xFF\xFF");
    EXPECT_THAT(DecodeImage(bytes, "big.jpg"),
                FailsWith("big.jpg: JPEG: Maximum supported image dimension is "
                          "65500 pixels"));
    bytes.replace(at, 4, "\xF0\xF0\xF0\xF0");
    EXPECT_THAT(DecodeImage(bytes, "big.jpg"),
                FailsWith("big.jpg: 61680x61680 pixels, expected at least 1 "
                          "and at most 67108864 in all"));
  }
  std::string png = PngBytes(TestPicture(16, 16));
  png.replace(16, 8, std::string("\0\0\xFF\xFF\0\0\xFF\xFF", 8));
  EXPECT_THAT(DecodeImage(png, "big.png"), FailsNaming("big.png: "));
}

TEST(DecodeImage, RefusesMoreScansThanAllowed) {
  JpegOptions progressive;
  progressive.progressive = true;
  const std::string bytes = JpegBytes(TestPicture(16, 16), progressive);
  DecodeOptions options;
  options.limits.scans = 3;
  EXPECT_THAT(DecodeImage(bytes, "x.jpg", options),
              FailsWith("x.jpg: JPEG: more than 3 scans"));
  options.limits.scans = 10;
  EXPECT_TRUE(DecodeImage(bytes, "x.jpg", options).ok());
}

// Each byte changed in three ways: an error that names the file, or pixels.
TEST(DecodeImage, SurvivesDamage) {
  const Image picture = TestPicture(24, 16);
  JpegOptions progressive;
  progressive.progressive = true;
  JpegOptions inks;
  inks.colours = Colours::kYcck;
  int errors = 0;
  for (const std::string& bytes :
       {JpegBytes(picture), JpegBytes(picture, progressive),
        JpegBytes(picture, inks), PngBytes(picture)}) {
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (const int flip : {0x01, 0x80, 0xFF}) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        DecodeOptions options;
        options.limits.pixels = 1 << 16;
        const auto size = ReadImageSize(damaged, "x.jpg", options.limits);
        if (!size.ok()) {
          EXPECT_THAT(size, FailsNaming("x.jpg: "));
          ++errors;
          continue;
        }
        Image part;
        const Region region = {size->width / 3, size->height / 3,
                               (size->width + 2) / 3, (size->height + 2) / 3};
        const absl::Status status =
            DecodeImage(damaged, "x.jpg", options, 1, region, &part);
        if (status.ok()) continue;
        EXPECT_THAT(absl::StatusOr<int>(status), FailsNaming("x.jpg: "));
        ++errors;
      }
    }
  }
  EXPECT_GT(errors, 100);
}

}  // namespace
}  // namespace altprop::data
