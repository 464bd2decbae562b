#include "common/data/image_transform.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/data/test_images.h"
#include "common/data/test_status.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

using Kind = ImageTransform::Kind;

std::string TestData(const std::string& name) {
  return testing::ReadFile("common/data/testdata/images/" + name);
}

CounterRandom Draws(uint64_t sample) {
  return {1, RandomStream("test"), 0, sample};
}

std::vector<uint8_t> Applied(const std::string& bytes,
                             const ImageTransform& transform,
                             const Geometry& geometry) {
  std::vector<uint8_t> out(
      static_cast<size_t>(3 * transform.size * transform.size));
  ImageScratch scratch;
  const absl::Status status =
      ApplyGeometry(bytes, "x", transform, geometry, &scratch, out.data());
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

std::vector<uint8_t> Input(const std::string& bytes,
                           const ImageTransform& transform,
                           uint64_t sample = 0) {
  std::vector<uint8_t> out(
      static_cast<size_t>(3 * transform.size * transform.size));
  ImageScratch scratch;
  const absl::Status status =
      MakeInput(bytes, "x", transform, Draws(sample), &scratch, out.data());
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

// As a recorded picture, in planes.
std::vector<uint8_t> Recorded(const std::string& name) {
  absl::StatusOr<Image> image = DecodeImage(TestData(name), name);
  EXPECT_TRUE(image.ok()) << image.status();
  std::vector<uint8_t> planes;
  for (int c = 0; c < 3; ++c) {
    for (int64_t i = 0; i < image->width * image->height; ++i) {
      planes.push_back(image->rgbx[i * 4 + c]);
    }
  }
  return planes;
}

std::vector<uint8_t> Mirrored(std::vector<uint8_t> planes, int64_t size) {
  for (auto row = planes.begin(); row != planes.end(); row += size) {
    std::reverse(row, row + size);
  }
  return planes;
}

Geometry Box(const Region& source, int64_t size) {
  Geometry geometry;
  geometry.source = source;
  geometry.within = source;
  geometry.resized = {size, size};
  return geometry;
}

TEST(ApplyGeometry, GivesTorchvisionsBytes) {
  const std::string photo = TestData("photo.png");
  EXPECT_EQ(Input(photo, EvalTransform(32, 40)), Recorded("eval.png"));
  const ImageTransform train = TrainTransform(32);
  Geometry box = Box({3, 5, 31, 40}, 32);
  EXPECT_EQ(Applied(photo, train, box), Recorded("box.png"));
  box.flip = true;
  EXPECT_EQ(Applied(photo, train, box), Mirrored(Recorded("box.png"), 32));
  EXPECT_EQ(Applied(photo, train, Box({20, 10, 14, 9}, 32)),
            Recorded("enlarged.png"));
  EXPECT_EQ(Input(TestData("wide_photo.jpg"), EvalTransform(16, 20)),
            Recorded("wide.png"));
}

TEST(ApplyGeometry, GivesTheBytesOfTheTriangularFilter) {
  const std::string image = TestData("triangular.png");
  EXPECT_EQ(Input(image, DaliEvalTransform(28, 32)),
            Recorded("triangular_eval.png"));
  Geometry box = Box({3, 5, 26, 12}, 28);
  box.within = {0, 0, 53, 37};
  EXPECT_EQ(Applied(image, DaliTrainTransform(28), box),
            Recorded("triangular_train.png"));
}

TEST(ApplyGeometry, RotatesToTheNearestPixelAsPillow) {
  const std::string tile = TestData("tiny.png");
  const ImageTransform transform = CenterCropTransform(64);
  for (const char* angle : {"-17.3", "4.25", "20", "0.5"}) {
    Geometry geometry;
    geometry.source = {0, 0, 64, 64};
    geometry.resized = {64, 64};
    geometry.degrees = std::stod(angle);
    EXPECT_EQ(Applied(tile, transform, geometry),
              Recorded(absl::StrCat("tiny_", angle, ".png")))
        << angle;
  }
}

// A window that begins in the padding.
TEST(ApplyGeometry, PadsWithBlack) {
  const Image picture = TestPicture(8, 8);
  Geometry geometry;
  geometry.source = {0, 0, 8, 8};
  geometry.resized = {8, 8};
  geometry.left = -2;
  geometry.top = 3;
  for (const bool flip : {false, true}) {
    geometry.flip = flip;
    const auto out =
        Applied(PngBytes(picture), RandomCropTransform(8, 3), geometry);
    for (int64_t y = 0; y < 8; ++y) {
      for (int64_t x = 0; x < 8; ++x) {
        const int64_t column = (flip ? 7 - x : x) - 2;
        const bool black = column < 0 || y + 3 >= 8;
        EXPECT_EQ(out[64 + y * 8 + x],
                  black ? 0 : picture.row(y + 3)[column * 4 + 1])
            << x << "," << y;
      }
    }
  }
}

// The smaller decoding differs from the filtering of every pixel by little.
TEST(ApplyGeometry, MayDecodeAJpegSmaller) {
  JpegOptions kind;
  kind.horizontal = kind.vertical = 1;
  const std::string bytes = JpegBytes(TestPicture(300, 260), kind);
  ImageTransform exact = TrainTransform(32);
  ImageTransform fast = exact;
  fast.reserve = 1;
  const Geometry box = Box({11, 7, 270, 241}, 32);
  const auto a = Applied(bytes, exact, box);
  const auto b = Applied(bytes, fast, box);
  EXPECT_NE(a, b);
  double difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::abs(a[i] - b[i]) / static_cast<double>(a.size());
  }
  EXPECT_LT(difference, 3);
  fast.reserve = 100;
  EXPECT_EQ(Applied(bytes, fast, box), a);
  // Never below the size wanted: nothing to save here.
  fast.reserve = 1;
  const Geometry small = Box({10, 10, 40, 63}, 32);
  EXPECT_EQ(Applied(bytes, fast, small), Applied(bytes, exact, small));
}

TEST(DrawGeometry, TakesTheWholeCentreForEvaluation) {
  const auto geometry =
      DrawGeometry(EvalTransform(224, 256), {500, 375}, Draws(0));
  ASSERT_TRUE(geometry.ok());
  EXPECT_EQ(geometry->resized.width, 341);  // 341.33
  EXPECT_EQ(geometry->resized.height, 256);
  EXPECT_EQ(geometry->left, 58);  // 58.5, to even
  EXPECT_EQ(geometry->top, 16);
  EXPECT_FALSE(geometry->flip);
  const auto dali =
      DrawGeometry(DaliEvalTransform(224, 256), {300, 501}, Draws(0));
  EXPECT_EQ(dali->resized.width, 256);
  EXPECT_EQ(dali->resized.height, 428);  // 427.52
  EXPECT_EQ(dali->top, 102);
  EXPECT_EQ(
      DrawGeometry(DaliEvalTransform(224, 256), {500, 375}, Draws(0))->left,
      59);  // 58.5, away from zero
}

// Offsets of the authors' program for images resized on disk.
TEST(DrawGeometry, CutsTheCentreHalfToEven) {
  const ImageTransform transform = CenterCropTransform(224);
  for (const auto& [side, offset] : std::vector<std::pair<int64_t, int64_t>>{
           {341, 58}, {257, 16}, {299, 38}, {224, 0}}) {
    EXPECT_EQ(DrawGeometry(transform, {side, 256}, Draws(0))->left, offset);
    EXPECT_EQ(DrawGeometry(transform, {256, side}, Draws(0))->top, offset);
  }
}

TEST(DrawGeometry, ResizesBeforeARandomWindow) {
  const ImageTransform transform = ResizeRandomCropTransform(224, 256);
  EXPECT_TRUE(transform.random());
  for (const auto& [image, resized] :
       std::vector<std::pair<ImageSize, ImageSize>>{
           {{64, 64}, {256, 256}},
           {{500, 375}, {341, 256}},  // 341.33
           {{375, 500}, {256, 341}},
           {{256, 300}, {256, 300}},
           {{1, 7}, {256, 1792}}}) {
    int64_t least_left = 1000, most_left = 0, least_top = 1000, most_top = 0;
    int flips = 0;
    constexpr int kDraws = 2000;
    for (int i = 0; i < kDraws; ++i) {
      const auto g = DrawGeometry(transform, image, Draws(i));
      ASSERT_TRUE(g.ok()) << g.status();
      EXPECT_EQ(g->resized.width, resized.width);
      EXPECT_EQ(g->resized.height, resized.height);
      EXPECT_EQ(g->source.width, image.width);
      EXPECT_EQ(g->source.height, image.height);
      least_left = std::min(least_left, g->left);
      most_left = std::max(most_left, g->left);
      least_top = std::min(least_top, g->top);
      most_top = std::max(most_top, g->top);
      flips += g->flip ? 1 : 0;
    }
    EXPECT_GE(least_left, 0);
    EXPECT_GE(least_top, 0);
    EXPECT_LE(most_left, resized.width - 224);
    EXPECT_LE(most_top, resized.height - 224);
    // Every position of the shorter side comes up; of the others nearly all.
    EXPECT_LE(least_left, (resized.width - 224) / 50);
    EXPECT_GE(most_left, (resized.width - 224) * 49 / 50);
    EXPECT_LE(least_top, (resized.height - 224) / 50);
    EXPECT_GE(most_top, (resized.height - 224) * 49 / 50);
    EXPECT_NEAR(flips, kDraws / 2, 90);
  }
}

// The window is one of the image that EvalTransform resizes: a square of the
// whole resized image, then cut by hand.
TEST(ApplyGeometry, CutsARandomWindowOfTheResizedImage) {
  constexpr int64_t kSize = 48, kResize = 64;
  const ImageTransform random = ResizeRandomCropTransform(kSize, kResize);
  // Side and the stored image's: enlarged, shrunk, and left alone.
  for (const int64_t side : {int64_t{16}, int64_t{150}, kResize}) {
    const std::string bytes = PngBytes(TestPicture(side, side));
    const std::vector<uint8_t> whole =
        Input(bytes, EvalTransform(kResize, kResize));
    if (side == kResize) {
      const Image picture = TestPicture(side, side);
      for (int64_t i = 0; i < side * side; ++i) {
        ASSERT_EQ(whole[i], picture.rgbx[i * 4]);
      }
    }
    for (uint64_t sample = 0; sample < 8; ++sample) {
      const auto g = DrawGeometry(random, {side, side}, Draws(sample));
      ASSERT_TRUE(g.ok());
      std::vector<uint8_t> expected;
      for (int64_t c = 0; c < 3; ++c) {
        for (int64_t y = 0; y < kSize; ++y) {
          const auto row = whole.begin() + (c * kResize + g->top + y) * kResize;
          expected.insert(expected.end(), row + g->left, row + g->left + kSize);
        }
      }
      if (g->flip) expected = Mirrored(expected, kSize);
      EXPECT_EQ(Input(bytes, random, sample), expected) << side;
      if (side != kResize) continue;
      EXPECT_EQ(Input(bytes, RandomCropTransform(kSize), sample), expected);
    }
  }
}

TEST(DrawGeometry, RefusesAnImageSmallerThanItsCrop) {
  EXPECT_THAT(DrawGeometry(CenterCropTransform(224), {500, 200}, Draws(0)),
              FailsWith("500x200 pixels, expected at least 224x224"));
  EXPECT_THAT(
      DrawGeometry(RandomCropTransform(64, 4), {55, 64}, Draws(0)),
      FailsWith("55x64 pixels, expected at least 56x56 (64 less the padding)"));
  EXPECT_TRUE(
      DrawGeometry(RandomCropTransform(64, 4), {56, 64}, Draws(0)).ok());
}

void ExpectInside(const Region& region, const ImageSize& image) {
  EXPECT_GE(region.left, 0);
  EXPECT_GE(region.top, 0);
  EXPECT_GE(region.width, 1);
  EXPECT_GE(region.height, 1);
  EXPECT_LE(region.left + region.width, image.width);
  EXPECT_LE(region.top + region.height, image.height);
}

TEST(DrawGeometry, DrawsCropsOfTheStatedAreaAndRatio) {
  constexpr int kDraws = 4000;
  const ImageSize image = {400, 400};
  for (const ImageTransform& transform :
       {TrainTransform(), DaliTrainTransform()}) {
    double area = 0, log_ratio = 0, flips = 0, left = 0;
    for (int i = 0; i < kDraws; ++i) {
      const auto g = DrawGeometry(transform, image, Draws(i));
      ASSERT_TRUE(g.ok());
      ExpectInside(g->source, image);
      EXPECT_EQ(g->within.width, transform.kind == Kind::kRandomResizedCrop
                                     ? g->source.width
                                     : image.width);
      const double ratio = static_cast<double>(g->source.width) /
                           static_cast<double>(g->source.height);
      // Whole pixels move a ratio a little beyond its range, but not DALI's.
      const double slack =
          transform.kind == Kind::kDaliRandomResizedCrop ? 0 : 0.02;
      EXPECT_GE(ratio, 0.75 - slack);
      EXPECT_LE(ratio, 4.0 / 3 + slack);
      area += static_cast<double>(g->source.width * g->source.height) / 160000;
      log_ratio += std::log(ratio);
      flips += g->flip ? 1 : 0;
      if (g->source.width < 400) {
        left += static_cast<double>(g->source.left) /
                static_cast<double>(400 - g->source.width);
      } else {
        left += 0.5;
      }
    }
    // An area a fits a square image with probability min(1, -ln a / ln 4/3):
    // the mean of those drawn from 0.08 .. 1 that fit is 0.478. Four standard
    // errors, here and below.
    EXPECT_NEAR(area / kDraws, 0.478, 0.015);
    EXPECT_NEAR(log_ratio / kDraws, 0, 0.011);
    EXPECT_NEAR(flips / kDraws, 0.5, 0.032);
    EXPECT_NEAR(left / kDraws, 0.5, 0.02);
  }
}

TEST(DrawGeometry, FallsBackToALegalRatio) {
  // 1000 x 10: no rectangle of a legal ratio has 8 % of the area.
  const auto torchvision = DrawGeometry(TrainTransform(), {1000, 10}, Draws(3));
  EXPECT_EQ(torchvision->source.width, 13);  // 13.3
  EXPECT_EQ(torchvision->source.height, 10);
  EXPECT_EQ(torchvision->source.left, 493);
  const auto upright = DrawGeometry(TrainTransform(), {9, 1000}, Draws(3));
  EXPECT_EQ(upright->source.width, 9);
  EXPECT_EQ(upright->source.height, 12);
  EXPECT_EQ(upright->source.top, 494);
  std::vector<int64_t> lefts;
  for (int i = 0; i < 20; ++i) {
    const auto dali = DrawGeometry(DaliTrainTransform(), {1000, 10}, Draws(i));
    ExpectInside(dali->source, {1000, 10});
    EXPECT_EQ(dali->source.width, 13);
    EXPECT_EQ(dali->source.height, 10);
    lefts.push_back(dali->source.left);
  }
  EXPECT_GT(*std::max_element(lefts.begin(), lefts.end()),
            *std::min_element(lefts.begin(), lefts.end()) + 100);
}

TEST(DrawGeometry, TakesAnyImage) {
  for (const ImageTransform& transform :
       {TrainTransform(), DaliTrainTransform(), EvalTransform(),
        DaliEvalTransform()}) {
    for (const ImageSize image :
         {ImageSize{1, 1}, {2, 1}, {1, 7}, {3, 2}, {1, 60000}, {60000, 1}}) {
      const auto g = DrawGeometry(transform, image, Draws(1));
      ASSERT_TRUE(g.ok());
      ExpectInside(g->source, image);
    }
  }
  EXPECT_EQ(Input(PngBytes(TestPicture(1, 1)), TrainTransform(8)).size(), 192);
  EXPECT_EQ(Input(JpegBytes(TestPicture(3, 200)), EvalTransform(8, 9)).size(),
            192);
}

TEST(DrawGeometry, IsAFunctionOfItsDraws) {
  const ImageTransform transform = RandomCropTransform(64, 4, 20);
  const auto a = DrawGeometry(transform, {64, 64}, Draws(7));
  const auto b = DrawGeometry(transform, {64, 64}, Draws(7));
  EXPECT_EQ(a->left, b->left);
  EXPECT_EQ(a->degrees, b->degrees);
  double least = 0, most = 0;
  for (int i = 0; i < 300; ++i) {
    const auto g = DrawGeometry(transform, {64, 64}, Draws(i));
    EXPECT_GE(g->left, -4);
    EXPECT_LE(g->left, 4);
    EXPECT_GE(g->top, -4);
    EXPECT_LE(g->top, 4);
    least = std::min(least, g->degrees);
    most = std::max(most, g->degrees);
  }
  EXPECT_LT(least, -18);
  EXPECT_GE(least, -20);
  EXPECT_GT(most, 18);
  EXPECT_LE(most, 20);
}

}  // namespace
}  // namespace altprop::data
