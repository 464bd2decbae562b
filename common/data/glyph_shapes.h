// How each digit is written: strokes through control points, in a box of about
// 1 x 1.4 around the origin, y downwards.
#ifndef COMMON_DATA_GLYPH_SHAPES_H_
#define COMMON_DATA_GLYPH_SHAPES_H_

#include <vector>

namespace altprop::data {

struct Point {
  float x, y;
};

// A pen movement: straight lines between the points, or a curve through them.
struct Stroke {
  bool curved;
  std::vector<Point> points;
};

using Shape = std::vector<Stroke>;

// The ways of writing `digit` (0 to 9), at least one.
const std::vector<Shape>& ShapesOf(int digit);

// The polyline that draws `stroke`: itself, or its centripetal-free (uniform)
// Catmull-Rom spline in `steps` pieces a span.
std::vector<Point> Polyline(const Stroke& stroke, int steps);

}  // namespace altprop::data

#endif  // COMMON_DATA_GLYPH_SHAPES_H_
