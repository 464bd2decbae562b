// From an image of any size to a network's input: crop, resize, mirror.
//
// Every transform is one rectangle of the image, resized, and a square window
// of the result, maybe mirrored: a Geometry. Which one is drawn at random; the
// arithmetic is Pillow's: a triangular filter that widens when an image
// shrinks (antialiasing), half-pixel centres, 22-bit weights, eight bits
// between the passes. The bytes equal torchvision's on Pillow images.
#ifndef COMMON_DATA_IMAGE_TRANSFORM_H_
#define COMMON_DATA_IMAGE_TRANSFORM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/data/image_decode.h"
#include "common/random.h"

namespace altprop::data {

struct ImageTransform {
  enum class Kind {
    // A rectangle of random area and shape, resized to the square. As
    // torchvision draws it (RandomResizedCrop): area uniform, log of the ratio
    // uniform, ten attempts, then the largest centred one of a legal ratio.
    kRandomResizedCrop,
    // The same as NVIDIA DALI draws it: an attempt counts when the ratio of
    // its whole pixels is legal too, an image too long for the least area
    // takes the clamped rectangle at once, that one's position is random, and
    // the filter reaches beyond the rectangle.
    kDaliRandomResizedCrop,
    // The shorter side to `resize` pixels, then the central square. The longer
    // side is cut to a whole number (torchvision), the offset rounded half to
    // even.
    kResizeCenterCrop,
    // The same as DALI rounds: both to nearest, half away from zero.
    kDaliResizeCenterCrop,
    // The shorter side to `resize` pixels (at least `size`), then a square at
    // a random position. An image whose shorter side is `resize` stays as it
    // is.
    kResizeRandomCrop,
    // A square at a random position, of the image as it is.
    kRandomCrop,
    // The central square of the image as it is (offsets half to even).
    kCenterCrop,
  };

  Kind kind = Kind::kResizeCenterCrop;
  int64_t size = 224;                    // of the square
  int64_t resize = 256;                  // shorter side; kinds that set it
  double min_area = 0.08, max_area = 1;  // fractions of the image
  double min_ratio = 3.0 / 4, max_ratio = 4.0 / 3;  // width / height
  bool flip = false;    // mirrored with probability 1/2
  double rotation = 0;  // degrees; k...Crop without resizing: an angle uniform
                        // in +- rotation, nearest pixel, black corners, first
  int64_t pad = 0;      // k...Crop without resizing: black pixels around
  bool smooth_chroma = true;  // see DecodeOptions
  // A JPEG is decoded at 1/2, 1/4 or 1/8 when that leaves at least `reserve`
  // times the pixels wanted each way: the smaller, the faster and the further
  // from filtering every pixel. 0: never shrunk, the exact bytes.
  double reserve = 0;

  // Whether anything is drawn at random.
  bool random() const;
};

// torchvision's ImageNet training and validation, at any size.
ImageTransform TrainTransform(int64_t size = 224);
ImageTransform EvalTransform(int64_t size = 224, int64_t resize = 256);
// DALI's.
ImageTransform DaliTrainTransform(int64_t size = 224);
ImageTransform DaliEvalTransform(int64_t size = 224, int64_t resize = 256);
// Images stored at about their final size: a crop after `pad` black pixels on
// each side, mirrored half the time, after a rotation of up to `rotation`
// degrees; and the central square.
ImageTransform RandomCropTransform(int64_t size, int64_t pad = 0,
                                   double rotation = 0);
ImageTransform CenterCropTransform(int64_t size);
// The shorter side to `resize` pixels, then a random square, mirrored half the
// time: what EvalTransform takes the centre of.
ImageTransform ResizeRandomCropTransform(int64_t size = 224,
                                         int64_t resize = 256);

// One transform of one image: `source` is resized to `resized`, and the window
// of size x size pixels at (left, top) of that is the input. Outside is black.
struct Geometry {
  Region source;
  Region within;  // the filter takes no pixel outside of this; holds `source`
  ImageSize resized;
  int64_t left = 0;
  int64_t top = 0;
  bool flip = false;
  double degrees = 0;  // counterclockwise, about the centre, before the window
};

// Draws a geometry for an image. Takes a fixed part of `random` for each kind
// but for attempts. Error (kInvalidArgument, `IMAGE: 20x30 pixels, ...`,
// without the file's name): smaller than the square, where nothing is resized.
absl::StatusOr<Geometry> DrawGeometry(const ImageTransform& transform,
                                      const ImageSize& image,
                                      CounterRandom random);

// What one thread keeps between images.
struct ImageScratch {
  Image image;
  Image rotated;
  Image between;
};

// `out`: uint8 [3, size, size].
absl::Status ApplyGeometry(absl::string_view bytes, const std::string& path,
                           const ImageTransform& transform,
                           const Geometry& geometry, ImageScratch* scratch,
                           uint8_t* out);

// Size, draw, decode, resize: one file to one input. Errors name `path`.
absl::Status MakeInput(absl::string_view bytes, const std::string& path,
                       const ImageTransform& transform, CounterRandom random,
                       ImageScratch* scratch, uint8_t* out);

}  // namespace altprop::data

#endif  // COMMON_DATA_IMAGE_TRANSFORM_H_
