// Digits drawn by the program: a data set that needs no download.
//
// Each image is a digit's strokes (a few ways of writing each), with its
// control points moved a little, rotated, sheared, scaled and shifted, drawn
// with a pen of random width and ink, under pixel noise. Sample i of a split is
// a function of (seed, split, i) alone, by additions, multiplications,
// divisions and square roots in float: the same bytes on every machine. Labels
// go round, 0 to 9, so every prefix is balanced.
#ifndef COMMON_DATA_GLYPHS_H_
#define COMMON_DATA_GLYPHS_H_

#include <cstdint>

#include "common/data/image_set.h"

namespace altprop::data {

inline constexpr int64_t kGlyphSide = 28;
inline constexpr int64_t kGlyphClasses = 10;
inline constexpr int64_t kGlyphsTrain = 12000;
inline constexpr int64_t kGlyphsTest = 2000;

enum class Split { kTrain, kTest };

// The first `count` glyphs of a split, uint8 [count, 1, 28, 28], ink 255 on 0.
// Uses ATen's threads. `count`: 0 or more.
ImageSet DrawGlyphs(uint64_t seed, Split split, int64_t count);

}  // namespace altprop::data

#endif  // COMMON_DATA_GLYPHS_H_
