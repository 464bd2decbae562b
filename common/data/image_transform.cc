#include "common/data/image_transform.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/data/resample.h"
#include "common/logging.h"
#include "common/status.h"

namespace altprop::data {
namespace {

using Kind = ImageTransform::Kind;

constexpr int kAttempts = 10;
constexpr int kMostShrink = 8;

bool Resizes(Kind kind) {
  return kind != Kind::kRandomCrop && kind != Kind::kCenterCrop;
}

// Python's round(): halves to even (the rounding mode is the default one).
int64_t Nearest(double x) { return static_cast<int64_t>(std::nearbyint(x)); }

int64_t HalfAway(double x) { return static_cast<int64_t>(std::round(x)); }

int64_t Below(int64_t bound, CounterRandom& random) {
  return random.Below(static_cast<uint32_t>(bound));
}

double Uniform(double low, double high, CounterRandom& random) {
  return low + (high - low) * random.Uniform();
}

// A rectangle of random area and ratio that may not fit.
Region Attempt(const ImageTransform& t, const ImageSize& image,
               CounterRandom& random) {
  const double area = static_cast<double>(image.width * image.height) *
                      Uniform(t.min_area, t.max_area, random);
  const double ratio =
      std::exp(Uniform(std::log(t.min_ratio), std::log(t.max_ratio), random));
  return {0, 0, Nearest(std::sqrt(area * ratio)),
          Nearest(std::sqrt(area / ratio))};
}

void MoveAtRandom(const ImageSize& image, Region& region,
                  CounterRandom& random) {
  region.top = Below(image.height - region.height + 1, random);
  region.left = Below(image.width - region.width + 1, random);
}

Region TorchvisionCrop(const ImageTransform& t, const ImageSize& image,
                       CounterRandom& random) {
  for (int i = 0; i < kAttempts; ++i) {
    Region region = Attempt(t, image, random);
    if (region.width < 1 || region.width > image.width || region.height < 1 ||
        region.height > image.height) {
      continue;
    }
    MoveAtRandom(image, region, random);
    return region;
  }
  const auto width = static_cast<double>(image.width);
  const auto height = static_cast<double>(image.height);
  Region region = {0, 0, image.width, image.height};
  if (width / height < t.min_ratio) {
    region.height = Nearest(width / t.min_ratio);
  } else if (width / height > t.max_ratio) {
    region.width = Nearest(height * t.max_ratio);
  }
  region.top = (image.height - region.height) / 2;
  region.left = (image.width - region.width) / 2;
  return region;
}

// The longest legal sides beside the image's own height and width.
ImageSize DaliLongest(const ImageTransform& t, const ImageSize& image) {
  const auto width = static_cast<double>(image.width);
  const auto height = static_cast<double>(image.height);
  return {std::max<int64_t>(1, static_cast<int64_t>(height * t.max_ratio)),
          std::max<int64_t>(1, static_cast<int64_t>(width / t.min_ratio))};
}

// The largest rectangle of a legal ratio, no larger than max_area allows.
Region DaliClamped(const ImageTransform& t, const ImageSize& image) {
  const ImageSize longest = DaliLongest(t, image);
  Region region = {0, 0, std::min(image.width, longest.width),
                   std::min(image.height, longest.height)};
  const double most =
      t.max_area * static_cast<double>(image.width * image.height);
  const double area = static_cast<double>(region.width * region.height);
  const double scale = std::sqrt(std::min(1.0, most / area));
  region.width = std::max<int64_t>(
      1, static_cast<int64_t>(static_cast<double>(region.width) * scale));
  region.height = std::max<int64_t>(
      1, static_cast<int64_t>(static_cast<double>(region.height) * scale));
  return region;
}

Region DaliCrop(const ImageTransform& t, const ImageSize& image,
                CounterRandom& random) {
  const ImageSize longest = DaliLongest(t, image);
  const double least =
      t.min_area * static_cast<double>(image.width * image.height);
  const bool too_long =
      static_cast<double>(image.height * longest.width) < least ||
      static_cast<double>(image.width * longest.height) < least;
  Region region;
  bool found = false;
  for (int i = 0; i < kAttempts && !too_long && !found; ++i) {
    region = Attempt(t, image, random);
    region.width = std::max<int64_t>(1, region.width);
    region.height = std::max<int64_t>(1, region.height);
    const double ratio =
        static_cast<double>(region.width) / static_cast<double>(region.height);
    found = region.width <= image.width && region.height <= image.height &&
            ratio >= t.min_ratio && ratio <= t.max_ratio;
  }
  if (!found) region = DaliClamped(t, image);
  MoveAtRandom(image, region, random);
  return region;
}

// The whole image with its shorter side at `resize`; the longer one rounded.
ImageSize ShorterSide(const ImageSize& image, int64_t resize, bool dali) {
  const bool upright = image.width <= image.height;
  const int64_t shorter = upright ? image.width : image.height;
  const int64_t longer = upright ? image.height : image.width;
  const int64_t other = dali ? HalfAway(static_cast<double>(longer) *
                                        static_cast<double>(resize) /
                                        static_cast<double>(shorter))
                             : resize * longer / shorter;
  return upright ? ImageSize{resize, other} : ImageSize{other, resize};
}

absl::Status CheckHoldsSquare(const ImageTransform& t, const ImageSize& size) {
  if (std::min(size.width, size.height) + 2 * t.pad >= t.size) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      size.width, "x", size.height, " pixels, expected at least ",
      t.size - 2 * t.pad, "x", t.size - 2 * t.pad,
      t.pad > 0 ? absl::StrCat(" (", t.size, " less the padding)") : ""));
}

void CentreWindow(const ImageTransform& t, Geometry& g) {
  const auto offset = [&](int64_t side) {
    const double half = static_cast<double>(side - t.size) / 2;
    return t.kind == Kind::kDaliResizeCenterCrop ? HalfAway(half)
                                                 : Nearest(half);
  };
  g.left = offset(g.resized.width);
  g.top = offset(g.resized.height);
}

void RandomWindow(const ImageTransform& t, Geometry& g, CounterRandom& random) {
  const int64_t room = 2 * t.pad - t.size + 1;
  g.top = Below(g.resized.height + room, random) - t.pad;
  g.left = Below(g.resized.width + room, random) - t.pad;
}

// The largest shrink that leaves `reserve` times what is wanted.
int Shrink(const ImageTransform& t, const Geometry& g) {
  int shrink = 1;
  if (t.reserve <= 0) return shrink;
  const auto fits = [&](int by) {
    return static_cast<double>(g.source.width) >=
               t.reserve * by * static_cast<double>(g.resized.width) &&
           static_cast<double>(g.source.height) >=
               t.reserve * by * static_cast<double>(g.resized.height);
  };
  while (shrink < kMostShrink && fits(2 * shrink)) shrink *= 2;
  return shrink;
}

// One side of a resized crop, in pixels of the shrunk image: the taps, counted
// from `from`, the first pixel that any result needs.
struct Side {
  // begin .. begin + length - 1 becomes `out` pixels, of which `count` from
  // `first` on are wanted; taps end at limit .. limit + limit_length - 1.
  Side(int64_t begin, int64_t length, int64_t limit, int64_t limit_length,
       int64_t out, int64_t first, int64_t count, int shrink)
      : from(limit / shrink),
        taps((limit + limit_length + shrink - 1) / shrink - from,
             static_cast<double>(begin) / shrink - static_cast<double>(from),
             static_cast<double>(begin + length) / shrink -
                 static_cast<double>(from),
             out, first, count) {
    from += taps.low();
    taps.MoveToLow();
  }
  int64_t from;
  Taps taps;
};

absl::Status ResizedWindow(absl::string_view bytes, const std::string& path,
                           const ImageTransform& t, const Geometry& g,
                           ImageScratch* scratch, uint8_t* out) {
  const int shrink = CanShrink(bytes) ? Shrink(t, g) : 1;
  const Side across(g.source.left, g.source.width, g.within.left,
                    g.within.width, g.resized.width, g.left, t.size, shrink);
  const Side down(g.source.top, g.source.height, g.within.top, g.within.height,
                  g.resized.height, g.top, t.size, shrink);
  const Region region = {across.from, down.from, across.taps.high(),
                         down.taps.high()};
  DecodeOptions options;
  options.smooth_chroma = t.smooth_chroma;
  ALTPROP_RETURN_IF_ERROR(
      DecodeImage(bytes, path, options, shrink, region, &scratch->image));
  const PassOrder order =
      PillowOrder(static_cast<double>(g.source.width) / shrink,
                  static_cast<double>(g.source.height) / shrink,
                  g.resized.width, g.resized.height);
  Resample(scratch->image, across.taps, down.taps, order, g.flip,
           &scratch->between, out);
  return absl::OkStatus();
}

// Pillow's rotation to the nearest pixel: an affine map in 16.16 fixed point.
void Rotate(const Image& in, double degrees, Image* out) {
  constexpr double kPi = 3.14159265358979323846;
  constexpr double kDigits = 1e15;  // its matrix is rounded to 15 decimals
  constexpr double kOne = 65536;
  const auto fixed = [](double v) {
    return static_cast<int64_t>(std::floor(v * kOne + 0.5));
  };
  const double angle = -std::fmod(degrees + 360, 360) * kPi / 180;
  const double cosine = std::nearbyint(std::cos(angle) * kDigits) / kDigits;
  const double sine = std::nearbyint(std::sin(angle) * kDigits) / kDigits;
  const double x0 = static_cast<double>(in.width) / 2;
  const double y0 = static_cast<double>(in.height) / 2;
  const double shift_x = cosine * -x0 + sine * -y0 + x0;
  const double shift_y = -sine * -x0 + cosine * -y0 + y0;
  int64_t line_x = fixed(shift_x + cosine * 0.5 + sine * 0.5);
  int64_t line_y = fixed(shift_y - sine * 0.5 + cosine * 0.5);
  const int64_t step_x = fixed(cosine);
  const int64_t step_y = fixed(-sine);
  out->Resize(in.width, in.height);
  for (int64_t y = 0; y < in.height; ++y) {
    int64_t at_x = line_x;
    int64_t at_y = line_y;
    uint8_t* to = out->row(y);
    for (int64_t x = 0; x < in.width; ++x, to += 4) {
      const int64_t column = at_x >> 16;
      const int64_t row = at_y >> 16;
      if (column >= 0 && column < in.width && row >= 0 && row < in.height) {
        std::memcpy(to, in.row(row) + column * 4, 4);
      } else {
        std::memset(to, 0, 4);
      }
      at_x += step_x;
      at_y += step_y;
    }
    line_x += fixed(sine);
    line_y += fixed(cosine);
  }
}

// The window of an image that is not resized; black outside of it. The window
// begins at (left, top) of `image`.
void CopyWindow(const Image& image, int64_t left, int64_t top, int64_t size,
                bool flip, uint8_t* out) {
  const int64_t plane = size * size;
  std::memset(out, 0, static_cast<size_t>(3 * plane));
  for (int64_t y = std::max<int64_t>(0, -top);
       y < std::min(size, image.height - top); ++y) {
    for (int64_t x = std::max<int64_t>(0, -left);
         x < std::min(size, image.width - left); ++x) {
      const uint8_t* pixel = image.row(top + y) + (left + x) * 4;
      uint8_t* to = out + y * size + (flip ? size - 1 - x : x);
      for (int c = 0; c < 3; ++c) to[c * plane] = pixel[c];
    }
  }
}

// What of 0 .. length - 1 a window of `size` from `first` on covers; never
// nothing.
std::array<int64_t, 2> Covered(int64_t first, int64_t size, int64_t length) {
  const int64_t begin = std::clamp<int64_t>(first, 0, length - 1);
  return {begin, std::clamp<int64_t>(first + size, begin + 1, length) - begin};
}

absl::Status PlainWindow(absl::string_view bytes, const std::string& path,
                         const ImageTransform& t, const Geometry& g,
                         ImageScratch* scratch, uint8_t* out) {
  DecodeOptions options;
  options.smooth_chroma = t.smooth_chroma;
  Region region = g.source;
  if (g.degrees == 0) {
    const auto [left, width] = Covered(g.left, t.size, g.source.width);
    const auto [top, height] = Covered(g.top, t.size, g.source.height);
    region = {left, top, width, height};
  }
  ALTPROP_RETURN_IF_ERROR(
      DecodeImage(bytes, path, options, 1, region, &scratch->image));
  const Image* image = &scratch->image;
  if (g.degrees != 0) {
    Rotate(*image, g.degrees, &scratch->rotated);
    image = &scratch->rotated;
  }
  CopyWindow(*image, g.left - region.left, g.top - region.top, t.size, g.flip,
             out);
  return absl::OkStatus();
}

}  // namespace

bool ImageTransform::random() const {
  return flip || rotation != 0 || kind == Kind::kRandomCrop ||
         kind == Kind::kResizeRandomCrop || kind == Kind::kRandomResizedCrop ||
         kind == Kind::kDaliRandomResizedCrop;
}

ImageTransform TrainTransform(int64_t size) {
  ImageTransform t;
  t.kind = Kind::kRandomResizedCrop;
  t.size = size;
  t.flip = true;
  return t;
}

ImageTransform EvalTransform(int64_t size, int64_t resize) {
  ImageTransform t;
  t.kind = Kind::kResizeCenterCrop;
  t.size = size;
  t.resize = resize;
  return t;
}

ImageTransform DaliTrainTransform(int64_t size) {
  ImageTransform t = TrainTransform(size);
  t.kind = Kind::kDaliRandomResizedCrop;
  t.smooth_chroma = false;
  return t;
}

ImageTransform DaliEvalTransform(int64_t size, int64_t resize) {
  ImageTransform t = EvalTransform(size, resize);
  t.kind = Kind::kDaliResizeCenterCrop;
  t.smooth_chroma = false;
  return t;
}

ImageTransform RandomCropTransform(int64_t size, int64_t pad, double rotation) {
  ImageTransform t;
  t.kind = Kind::kRandomCrop;
  t.size = size;
  t.pad = pad;
  t.rotation = rotation;
  t.flip = true;
  return t;
}

ImageTransform CenterCropTransform(int64_t size) {
  ImageTransform t;
  t.kind = Kind::kCenterCrop;
  t.size = size;
  return t;
}

ImageTransform ResizeRandomCropTransform(int64_t size, int64_t resize) {
  CHECK_GE(resize, size);
  ImageTransform t = EvalTransform(size, resize);
  t.kind = Kind::kResizeRandomCrop;
  t.flip = true;
  return t;
}

absl::StatusOr<Geometry> DrawGeometry(const ImageTransform& transform,
                                      const ImageSize& image,
                                      CounterRandom random) {
  const ImageTransform& t = transform;
  const ImageSize square = {t.size, t.size};
  Geometry g;
  g.source = {0, 0, image.width, image.height};
  g.within = g.source;
  g.resized = image;
  // The mirror first: what else is drawn takes a number of draws that varies.
  g.flip = t.flip && random.Below(2) == 1;
  if (t.rotation != 0) g.degrees = Uniform(-t.rotation, t.rotation, random);
  if (!Resizes(t.kind)) ALTPROP_RETURN_IF_ERROR(CheckHoldsSquare(t, image));
  switch (t.kind) {
    case Kind::kRandomResizedCrop:
      g.source = TorchvisionCrop(t, image, random);
      g.within = g.source;
      g.resized = square;
      break;
    case Kind::kDaliRandomResizedCrop:
      g.source = DaliCrop(t, image, random);
      g.resized = square;
      break;
    case Kind::kResizeCenterCrop:
    case Kind::kDaliResizeCenterCrop:
      g.resized =
          ShorterSide(image, t.resize, t.kind == Kind::kDaliResizeCenterCrop);
      CentreWindow(t, g);
      break;
    case Kind::kResizeRandomCrop:
      g.resized = ShorterSide(image, t.resize, /*dali=*/false);
      RandomWindow(t, g, random);
      break;
    case Kind::kRandomCrop:
      RandomWindow(t, g, random);
      break;
    case Kind::kCenterCrop:
      CentreWindow(t, g);
      break;
  }
  return g;
}

absl::Status ApplyGeometry(absl::string_view bytes, const std::string& path,
                           const ImageTransform& transform,
                           const Geometry& geometry, ImageScratch* scratch,
                           uint8_t* out) {
  return Resizes(transform.kind)
             ? ResizedWindow(bytes, path, transform, geometry, scratch, out)
             : PlainWindow(bytes, path, transform, geometry, scratch, out);
}

absl::Status MakeInput(absl::string_view bytes, const std::string& path,
                       const ImageTransform& transform, CounterRandom random,
                       ImageScratch* scratch, uint8_t* out) {
  ALTPROP_ASSIGN_OR_RETURN(const ImageSize size, ReadImageSize(bytes, path));
  absl::StatusOr<Geometry> geometry = DrawGeometry(transform, size, random);
  if (!geometry.ok()) return Annotate(geometry.status(), path);
  return ApplyGeometry(bytes, path, transform, *geometry, scratch, out);
}

}  // namespace altprop::data
