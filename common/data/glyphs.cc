#include "common/data/glyphs.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "common/data/glyph_shapes.h"
#include "common/random.h"

namespace altprop::data {
namespace {

constexpr int kSide = static_cast<int>(kGlyphSide);
constexpr int kPixels = kSide * kSide;

// How far one writer is from another. Lengths are in boxes of a digit (shapes)
// or in pixels; ranges are uniform. Chosen so that a 784-512-10 network gets
// about 97 to 98 %, as on MNIST.
constexpr float kPointJitter = 0.06F;  // of a control point, each coordinate
constexpr float kBoxLow = 10.0F, kBoxHigh = 14.5F;       // pixels per unit
constexpr float kAspectLow = 0.75F, kAspectHigh = 1.2F;  // width over height
constexpr float kMostTilt = 0.14F;  // tan(angle / 2): 16 degrees
constexpr float kMostShear = 0.25F;
constexpr float kMostShift = 1.8F;                // pixels, each direction
constexpr float kPenLow = 0.6F, kPenHigh = 1.6F;  // radius, pixels
constexpr float kInkLow = 150.0F, kInkHigh = 255.0F;
constexpr float kNoise = 0.16F;  // times a deviation of 148: 24 of 255
constexpr int kSplineSteps = 4;

// Squared distances from pixel centres to what was drawn so far.
using Canvas = std::array<float, kPixels>;
constexpr float kFar = 1e6F;

// From a shape's box to pixels: scale, shear, rotate, shift.
struct Placement {
  float xx, xy, yx, yy, x0, y0;

  Point Apply(Point p) const {
    return {xx * p.x + xy * p.y + x0, yx * p.x + yy * p.y + y0};
  }
};

Placement RandomPlacement(CounterRandom& random) {
  const float height = random.Uniform(kBoxLow, kBoxHigh);
  const float width = height * random.Uniform(kAspectLow, kAspectHigh);
  const float shear = random.Uniform(-kMostShear, kMostShear);
  // (cos, sin) as rational functions of tan(angle / 2): no libm, whose last
  // digits differ between machines.
  const float t = random.Uniform(-kMostTilt, kMostTilt);
  const float cosine = (1 - t * t) / (1 + t * t);
  const float sine = 2 * t / (1 + t * t);
  constexpr float kCentre = 0.5F * (kSide - 1);
  Placement place{};
  place.xx = width * cosine;
  place.yx = width * sine;
  place.xy = height * (shear * cosine - sine);
  place.yy = height * (shear * sine + cosine);
  place.x0 = kCentre + random.Uniform(-kMostShift, kMostShift);
  place.y0 = kCentre + random.Uniform(-kMostShift, kMostShift);
  return place;
}

void Widen(float a, float b, float reach, int* first, int* last) {
  *first = static_cast<int>(std::max(0.0F, std::min(a, b) - reach));
  *last =
      static_cast<int>(std::clamp(std::max(a, b) + reach, -1.0F, kSide - 1.0F));
}

// Lowers the canvas to the squared distance from segment ab, where that is
// below reach.
void DrawSegment(Point a, Point b, float reach, Canvas& canvas) {
  const float dx = b.x - a.x;
  const float dy = b.y - a.y;
  const float inverse = 1 / std::max(dx * dx + dy * dy, 1e-6F);
  int left = 0;
  int right = 0;
  int top = 0;
  int bottom = 0;
  Widen(a.x, b.x, reach, &left, &right);
  Widen(a.y, b.y, reach, &top, &bottom);
  for (int y = top; y <= bottom; ++y) {
    const float py = static_cast<float>(y) - a.y;
    float* row = &canvas[static_cast<size_t>(y) * kSide];
    for (int x = left; x <= right; ++x) {
      const float px = static_cast<float>(x) - a.x;
      const float along = std::clamp((px * dx + py * dy) * inverse, 0.0F, 1.0F);
      const float ex = px - along * dx;
      const float ey = py - along * dy;
      row[x] = std::min(row[x], ex * ex + ey * ey);
    }
  }
}

void DrawShape(const Shape& shape, float pen, CounterRandom& random,
               Canvas& canvas) {
  const Placement place = RandomPlacement(random);
  for (Stroke stroke : shape) {
    for (Point& p : stroke.points) {
      p.x += random.Uniform(-kPointJitter, kPointJitter);
      p.y += random.Uniform(-kPointJitter, kPointJitter);
      p = place.Apply(p);
    }
    const std::vector<Point> line = Polyline(stroke, kSplineSteps);
    for (size_t i = 1; i < line.size(); ++i) {
      DrawSegment(line[i - 1], line[i], pen + 1, canvas);
    }
  }
}

// Ink where the pen passed, its edge one pixel soft, and noise everywhere: four
// uniform bytes added up, about normal.
void Develop(const Canvas& canvas, float pen, float ink, CounterRandom& random,
             uint8_t* image) {
  std::array<float, kPixels> noise;  // NOLINT: filled before it is read
  for (float& value : noise) {
    const uint32_t bits = random.Next();
    const uint32_t sum =
        (bits & 0xFF) + (bits >> 8 & 0xFF) + (bits >> 16 & 0xFF) + (bits >> 24);
    value = (static_cast<float>(sum) - 510) * kNoise;
  }
  for (size_t i = 0; i < kPixels; ++i) {
    const float coverage =
        std::clamp(pen + 0.5F - std::sqrt(canvas[i]), 0.0F, 1.0F);
    const float value = std::clamp(ink * coverage + noise[i], 0.0F, 255.0F);
    image[i] = static_cast<uint8_t>(std::lround(value));
  }
}

void DrawGlyph(uint64_t seed, Split split, int64_t sample, uint8_t* image) {
  constexpr uint64_t kStream = RandomStream("glyphs");
  CounterRandom random(seed, kStream, split == Split::kTrain ? 0 : 1,
                       static_cast<uint64_t>(sample));
  const std::vector<Shape>& shapes =
      ShapesOf(static_cast<int>(sample % kGlyphClasses));
  const Shape& shape =
      shapes[random.Below(static_cast<uint32_t>(shapes.size()))];
  const float pen = random.Uniform(kPenLow, kPenHigh);
  const float ink = random.Uniform(kInkLow, kInkHigh);
  Canvas canvas;
  canvas.fill(kFar);
  DrawShape(shape, pen, random, canvas);
  Develop(canvas, pen, ink, random, image);
}

}  // namespace

ImageSet DrawGlyphs(uint64_t seed, Split split, int64_t count) {
  ImageSet set;
  set.classes = kGlyphClasses;
  set.images = at::empty({count, 1, kGlyphSide, kGlyphSide}, at::kByte);
  set.labels = at::empty({count}, at::kLong);
  auto* images = set.images.mutable_data_ptr<uint8_t>();
  auto* labels = set.labels.mutable_data_ptr<int64_t>();
  constexpr int64_t kGrain = 64;
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      DrawGlyph(seed, split, i, images + i * kPixels);
      labels[i] = i % kGlyphClasses;
    }
  });
  return set;
}

}  // namespace altprop::data
