#include "common/data/glyph_shapes.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace altprop::data {
namespace {

using Shapes = std::vector<Shape>;

Stroke Lines(std::vector<Point> points) { return {false, std::move(points)}; }
Stroke Curve(std::vector<Point> points) { return {true, std::move(points)}; }

Shapes Zero() {
  return {{Curve({{0.05F, -0.7F},
                  {-0.28F, -0.5F},
                  {-0.4F, 0},
                  {-0.27F, 0.52F},
                  {0, 0.7F},
                  {0.28F, 0.5F},
                  {0.4F, 0},
                  {0.27F, -0.52F},
                  {0.02F, -0.7F}})},
          {Curve({{0.02F, -0.66F},
                  {-0.4F, -0.35F},
                  {-0.42F, 0.3F},
                  {0, 0.67F},
                  {0.42F, 0.33F},
                  {0.4F, -0.38F},
                  {-0.05F, -0.66F}})}};
}

Shapes One() {
  return {{Lines({{0, -0.7F}, {0, 0.7F}})},
          {Lines({{-0.26F, -0.42F}, {0.04F, -0.7F}, {0.04F, 0.7F}})},
          {Lines({{-0.22F, -0.45F}, {0.02F, -0.7F}, {0.02F, 0.68F}}),
           Lines({{-0.28F, 0.68F}, {0.3F, 0.68F}})}};
}

Shapes Two() {
  return {{Curve({{-0.38F, -0.4F},
                  {-0.2F, -0.66F},
                  {0.15F, -0.68F},
                  {0.37F, -0.38F},
                  {0.2F, -0.02F},
                  {-0.15F, 0.33F},
                  {-0.42F, 0.66F}}),
           Lines({{-0.42F, 0.66F}, {0.44F, 0.66F}})},
          {Curve({{-0.36F, -0.48F},
                  {0, -0.7F},
                  {0.34F, -0.42F},
                  {0.15F, 0.1F},
                  {-0.25F, 0.55F},
                  {-0.42F, 0.5F},
                  {-0.22F, 0.4F},
                  {0.08F, 0.62F},
                  {0.44F, 0.56F}})}};
}

Shapes Three() {
  return {{Curve({{-0.36F, -0.55F},
                  {0, -0.7F},
                  {0.32F, -0.45F},
                  {0.18F, -0.12F},
                  {-0.1F, -0.03F}}),
           Curve({{-0.1F, -0.03F},
                  {0.25F, 0.07F},
                  {0.38F, 0.36F},
                  {0.12F, 0.67F},
                  {-0.22F, 0.67F},
                  {-0.42F, 0.5F}})},
          {Lines({{-0.36F, -0.67F}, {0.34F, -0.67F}, {-0.04F, -0.12F}}),
           Curve({{-0.04F, -0.12F},
                  {0.3F, 0},
                  {0.36F, 0.4F},
                  {0.05F, 0.69F},
                  {-0.4F, 0.5F}})}};
}

Shapes Four() {
  return {{Lines({{0.14F, -0.7F}, {-0.43F, 0.2F}, {0.45F, 0.2F}}),
           Lines({{0.17F, -0.7F}, {0.17F, 0.7F}})},
          {Lines({{-0.3F, -0.64F}, {-0.37F, 0.08F}, {0.42F, 0.08F}}),
           Lines({{0.26F, -0.6F}, {0.22F, 0.7F}})}};
}

Shapes Five() {
  return {{Lines({{0.37F, -0.67F}, {-0.28F, -0.67F}, {-0.33F, -0.1F}}),
           Curve({{-0.33F, -0.1F},
                  {0.05F, -0.2F},
                  {0.37F, 0.1F},
                  {0.3F, 0.5F},
                  {-0.05F, 0.7F},
                  {-0.4F, 0.54F}})},
          {Lines({{-0.24F, -0.6F}, {-0.3F, -0.05F}}),
           Lines({{-0.24F, -0.62F}, {0.4F, -0.66F}}),
           Curve({{-0.3F, -0.05F},
                  {0.1F, -0.12F},
                  {0.36F, 0.24F},
                  {0.1F, 0.64F},
                  {-0.36F, 0.64F}})}};
}

Shapes Six() {
  return {{Curve({{0.25F, -0.68F},
                  {-0.14F, -0.42F},
                  {-0.38F, 0.12F},
                  {-0.22F, 0.6F},
                  {0.18F, 0.64F},
                  {0.36F, 0.32F},
                  {0.12F, 0.03F},
                  {-0.22F, 0.14F},
                  {-0.36F, 0.36F}})},
          {Curve({{0.06F, -0.7F},
                  {-0.28F, -0.2F},
                  {-0.34F, 0.4F},
                  {0, 0.7F},
                  {0.3F, 0.42F},
                  {0.05F, 0.1F},
                  {-0.3F, 0.34F}})}};
}

Shapes Seven() {
  return {{Lines({{-0.4F, -0.66F}, {0.42F, -0.66F}, {-0.1F, 0.7F}})},
          {Lines({{-0.4F, -0.64F}, {0.4F, -0.64F}, {-0.04F, 0.7F}}),
           Lines({{-0.18F, 0.02F}, {0.34F, 0}})},
          {Curve({{-0.4F, -0.52F},
                  {-0.1F, -0.66F},
                  {0.4F, -0.62F},
                  {0.12F, -0.05F},
                  {0, 0.7F}})}};
}

Shapes Eight() {
  return {{Curve({{0.24F, -0.6F},
                  {-0.12F, -0.68F},
                  {-0.28F, -0.36F},
                  {0.02F, -0.04F},
                  {0.34F, 0.3F},
                  {0.08F, 0.69F},
                  {-0.3F, 0.48F},
                  {-0.16F, 0.12F},
                  {0.2F, -0.2F},
                  {0.28F, -0.5F},
                  {0.05F, -0.69F}})},
          {Curve({{0, -0.7F},
                  {-0.29F, -0.37F},
                  {0, -0.05F},
                  {0.29F, -0.37F},
                  {0, -0.7F}}),
           Curve({{0, -0.05F},
                  {-0.36F, 0.33F},
                  {0, 0.7F},
                  {0.36F, 0.33F},
                  {0, -0.05F}})}};
}

Shapes Nine() {
  return {{Curve({{0.31F, -0.4F},
                  {0, -0.7F},
                  {-0.33F, -0.38F},
                  {-0.05F, -0.08F},
                  {0.31F, -0.36F}}),
           Lines({{0.31F, -0.45F}, {0.24F, 0.7F}})},
          {Curve({{0.3F, -0.5F},
                  {-0.05F, -0.68F},
                  {-0.34F, -0.3F},
                  {-0.02F, -0.06F},
                  {0.3F, -0.4F},
                  {0.36F, 0.1F},
                  {0.1F, 0.64F},
                  {-0.3F, 0.58F}})}};
}

float Spline(float p0, float p1, float p2, float p3, float t) {
  const float a = 2 * p1;
  const float b = p2 - p0;
  const float c = 2 * p0 - 5 * p1 + 4 * p2 - p3;
  const float d = 3 * (p1 - p2) + p3 - p0;
  return 0.5F * (a + (b + (c + d * t) * t) * t);
}

}  // namespace

const std::vector<Shape>& ShapesOf(int digit) {
  static const auto* const shapes =
      new std::array<Shapes, 10>{Zero(), One(), Two(),   Three(), Four(),
                                 Five(), Six(), Seven(), Eight(), Nine()};
  return (*shapes)[digit];
}

std::vector<Point> Polyline(const Stroke& stroke, int steps) {
  const std::vector<Point>& points = stroke.points;
  if (!stroke.curved) return points;
  std::vector<Point> line = {points.front()};
  for (size_t i = 1; i < points.size(); ++i) {
    const Point& before = points[i < 2 ? 0 : i - 2];
    const Point& from = points[i - 1];
    const Point& to = points[i];
    const Point& after = points[std::min(i + 1, points.size() - 1)];
    for (int step = 1; step <= steps; ++step) {
      const float t = static_cast<float>(step) / static_cast<float>(steps);
      line.push_back({Spline(before.x, from.x, to.x, after.x, t),
                      Spline(before.y, from.y, to.y, after.y, t)});
    }
  }
  return line;
}

}  // namespace altprop::data
