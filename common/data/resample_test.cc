#include "common/data/resample.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "common/data/test_images.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

std::vector<uint8_t> Resized(const Image& image, const Taps& columns,
                             const Taps& rows, bool flip, ResamplePath path,
                             PassOrder order = PassOrder::kHorizontalFirst) {
  std::vector<uint8_t> out(
      static_cast<size_t>(3 * columns.count() * rows.count()));
  Image between;
  Resample(image, columns, rows, order, flip, &between, out.data(), path);
  return out;
}

// The definition, in double: rounded to a byte after each pass.
double Weight(double distance, double scale) {
  return std::max(0.0, 1 - std::abs(distance) / std::max(1.0, scale));
}

std::vector<double> Line(const std::vector<double>& in, double begin,
                         double end, int64_t out) {
  const double scale = (end - begin) / static_cast<double>(out);
  std::vector<double> line;
  for (int64_t i = 0; i < out; ++i) {
    const double centre = begin + (static_cast<double>(i) + 0.5) * scale;
    double sum = 0, total = 0;
    for (size_t k = 0; k < in.size(); ++k) {
      const double w = Weight(static_cast<double>(k) + 0.5 - centre, scale);
      sum += w * in[k];
      total += w;
    }
    line.push_back(std::floor(sum / total + 0.5));
  }
  return line;
}

double At(const Image& image, int64_t x, int64_t y, int c) {
  return image.row(y)[x * 4 + c];
}

TEST(Resample, IsTheFilterOfItsDefinition) {
  const Image image = TestPicture(37, 29);
  for (const auto& [width, height] :
       std::vector<std::pair<int64_t, int64_t>>{{12, 9}, {60, 45}, {5, 70}}) {
    const auto out =
        Resized(image, Taps(37, 0, 37, width, 0, width),
                Taps(29, 0, 29, height, 0, height), false, ResamplePath::kBest);
    for (int c = 0; c < 3; ++c) {
      std::vector<std::vector<double>> narrow;
      for (int64_t y = 0; y < 29; ++y) {
        std::vector<double> row;
        for (int64_t x = 0; x < 37; ++x) row.push_back(At(image, x, y, c));
        narrow.push_back(Line(row, 0, 37, width));
      }
      for (int64_t x = 0; x < width; ++x) {
        std::vector<double> column;
        for (int64_t y = 0; y < 29; ++y) column.push_back(narrow[y][x]);
        const std::vector<double> expected = Line(column, 0, 29, height);
        for (int64_t y = 0; y < height; ++y) {
          // 22-bit weights may round the other way, in each pass.
          EXPECT_NEAR(out[(c * height + y) * width + x], expected[y], 1);
        }
      }
    }
  }
}

TEST(Resample, GivesTheSameBytesOnBothPaths) {
  for (const int64_t width : {3, 8, 37, 200}) {
    for (const int64_t height : {3, 29, 111}) {
      const Image image = TestPicture(width, height, 5);
      for (const int64_t size : {1, 7, 16, 33, 250}) {
        for (const bool flip : {false, true}) {
          const Taps columns(width, 0.5, static_cast<double>(width) - 0.25,
                             size, 0, size);
          const Taps rows(height, 0, static_cast<double>(height), 2 * size,
                          size / 2, size);
          for (const PassOrder order :
               {PassOrder::kHorizontalFirst, PassOrder::kVerticalFirst}) {
            EXPECT_EQ(
                Resized(image, columns, rows, flip, ResamplePath::kBest, order),
                Resized(image, columns, rows, flip, ResamplePath::kPlain,
                        order))
                << width << "x" << height << " to " << size;
          }
        }
      }
    }
  }
}

Image Transposed(const Image& image) {
  Image other;
  other.Resize(image.height, image.width);
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      for (int c = 0; c < 4; ++c) {
        other.row(x)[y * 4 + c] = image.row(y)[x * 4 + c];
      }
    }
  }
  return other;
}

TEST(Resample, VerticallyFirstIsTheTransposedImageHorizontallyFirst) {
  const Image image = TestPicture(53, 90);
  const Taps columns(53, 0, 53, 21, 0, 21);
  const Taps rows(90, 5, 90, 30, 4, 19);
  const auto a = Resized(image, columns, rows, false, ResamplePath::kBest,
                         PassOrder::kVerticalFirst);
  const auto b = Resized(Transposed(image), rows, columns, false,
                         ResamplePath::kBest, PassOrder::kHorizontalFirst);
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < 19; ++y) {
      for (int64_t x = 0; x < 21; ++x) {
        EXPECT_EQ(a[(c * 19 + y) * 21 + x], b[(c * 21 + x) * 19 + y]);
      }
    }
  }
}

TEST(Resample, KeepsALineOfItsOwnSize) {
  const Image image = TestPicture(20, 11);
  const Taps columns(20, 3, 19, 16, 0, 16);
  const Taps rows(11, 0, 11, 11, 2, 6);
  ASSERT_TRUE(columns.identity());
  ASSERT_TRUE(rows.identity());
  const auto out = Resized(image, columns, rows, true, ResamplePath::kBest);
  for (int64_t y = 0; y < 6; ++y) {
    for (int64_t x = 0; x < 16; ++x) {
      EXPECT_EQ(out[16 * 6 + y * 16 + 15 - x], At(image, x + 3, y + 2, 1));
    }
  }
}

TEST(Resample, MirrorsTheResult) {
  const Image image = TestPicture(30, 30);
  const Taps taps(30, 0, 30, 13, 0, 13);
  const auto plain = Resized(image, taps, taps, false, ResamplePath::kBest);
  const auto mirrored = Resized(image, taps, taps, true, ResamplePath::kBest);
  for (int64_t row = 0; row < 3 * 13; ++row) {
    for (int64_t x = 0; x < 13; ++x) {
      EXPECT_EQ(mirrored[row * 13 + x], plain[row * 13 + 12 - x]);
    }
  }
}

TEST(Taps, OfAWindowAreThoseOfTheWhole) {
  const Taps whole(100, 0, 100, 40, 0, 40);
  Taps window(100, 0, 100, 40, 10, 5);
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(window.start(i), whole.start(10 + i));
    for (int64_t k = 0; k < window.used(i); ++k) {
      EXPECT_EQ(window.coarse(i)[k], whole.coarse(10 + i)[k]);
      EXPECT_EQ(window.fine(i)[k], whole.fine(10 + i)[k]);
    }
  }
  const int64_t low = window.low();
  const int64_t high = window.high();
  EXPECT_EQ(low, whole.start(10));
  window.MoveToLow();
  EXPECT_EQ(window.start(0), 0);
  EXPECT_EQ(window.low(), 0);
  EXPECT_EQ(window.high(), high - low);
}

TEST(Taps, WeighOneInAll) {
  for (const int64_t in : {1, 2, 9, 640}) {
    for (const int64_t out : {1, 4, 224, 1000}) {
      const Taps taps(in, 0, static_cast<double>(in), out, 0, out);
      for (int64_t i = 0; i < out; ++i) {
        int64_t total = 0;
        for (int64_t k = 0; k < taps.used(i); ++k) {
          total += taps.coarse(i)[k] * 2048 + taps.fine(i)[k];
        }
        EXPECT_NEAR(total, 1 << 22, taps.used(i)) << in << " " << out;
        EXPECT_LE(taps.start(i) + taps.used(i), in);
      }
    }
  }
}

}  // namespace
}  // namespace altprop::data
