#include "common/training/report_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/logging.h"
#include "common/training/report_format.h"

namespace altprop::training {
namespace {

// The drawing's own units; the page scales it to the width there is.
constexpr double kWidth = 480, kHeight = 272;
constexpr double kLeft = 64, kRight = 14, kTop = 14, kBottom = 44;
constexpr size_t kMostPoints = 320;  // per curve
constexpr size_t kMostDots = 60;     // a curve with more is drawn without them

// One axis: values to drawing units, linear or logarithmic.
struct Axis {
  double low = 0, high = 1;
  double start = 0, end = 1;  // where low and high are drawn
  bool logarithmic = false;

  double Scaled(double value) const {
    return logarithmic ? std::log10(value) : value;
  }
  double operator()(double value) const {
    const double a = Scaled(low), b = Scaled(high);
    return start + (Scaled(value) - a) / (b - a) * (end - start);
  }
};

std::vector<double> LogTicks(double low, double high) {
  std::vector<double> ticks;
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  const int every = std::max(1, (last - first + 5) / 6);
  for (int decade = first; decade <= last; decade += every) {
    const double tick = std::pow(10.0, decade);
    if (tick >= low && tick <= high) ticks.push_back(tick);
  }
  return ticks;
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void Add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

Axis MakeXAxis(const Chart& chart) {
  Range range;
  for (const Curve& curve : chart.curves) {
    for (const ChartPoint& point : curve.points) range.Add(point.x);
  }
  if (range.empty()) range = {0, 1};
  if (range.low == range.high) range = {range.low - 0.5, range.high + 0.5};
  return {range.low, range.high, kLeft + 6, kWidth - kRight - 6, false};
}

Axis MakeYAxis(const Chart& chart) {
  Range range;
  for (const Curve& curve : chart.curves) {
    for (const ChartPoint& point : curve.points) range.Add(point.y);
  }
  const bool logarithmic =
      !chart.percent && range.low > 0 && range.high > 100 * range.low;
  for (const ReferenceLine& line : chart.references) range.Add(line.y);
  if (range.empty()) range = {0, 1};
  Axis axis{range.low, range.high, kHeight - kBottom, kTop,
            logarithmic && range.low > 0};
  if (axis.logarithmic) {
    axis.low /= 1.3;
    axis.high *= 1.3;
    return axis;
  }
  double room = 0.06 * (axis.high - axis.low);
  if (room == 0) room = std::max(0.05 * std::abs(axis.high), 1e-3);
  axis.low = range.low >= 0 ? std::max(0.0, axis.low - room) : axis.low - room;
  axis.high += room;
  if (chart.percent) axis.high = std::min(axis.high, std::max(1.0, range.high));
  return axis;
}

void DrawYAxis(const Axis& y, bool percent, std::string& svg) {
  const std::vector<double> ticks =
      y.logarithmic ? LogTicks(y.low, y.high) : Ticks(y.low, y.high, 5);
  for (const double tick : ticks) {
    absl::StrAppendFormat(
        &svg,
        "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>"
        "<text class=\"tick\" x=\"%g\" y=\"%.1f\" dy=\".35em\" "
        "text-anchor=\"end\">%s</text>\n",
        kLeft, kWidth - kRight, y(tick), y(tick), kLeft - 7, y(tick),
        TickLabel(tick, percent));
  }
}

void DrawXAxis(const Axis& x, const std::vector<double>& ticks,
               absl::string_view title, std::string& svg) {
  const double base = kHeight - kBottom;
  absl::StrAppendFormat(
      &svg, "<line class=\"axis\" x1=\"%g\" x2=\"%g\" y1=\"%g\" y2=\"%g\"/>\n",
      kLeft, kWidth - kRight, base, base);
  for (const double tick : ticks) {
    absl::StrAppendFormat(
        &svg,
        "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>"
        "<text class=\"tick\" x=\"%.1f\" y=\"%g\" dy=\"1.25em\" "
        "text-anchor=\"middle\">%s</text>\n",
        x(tick), x(tick), base, base + 4, x(tick), base + 1,
        TickLabel(tick, false));
  }
  absl::StrAppendFormat(
      &svg,
      "<text class=\"name\" x=\"%g\" y=\"%g\" text-anchor=\"end\">%s</text>\n",
      kWidth - kRight, kHeight - 4, EscapeHtml(title));
}

absl::string_view StyleClass(LineStyle style) {
  switch (style) {
    case LineStyle::kSolid:
      return "";
    case LineStyle::kDotted:
      return " dotted";
    case LineStyle::kDashed:
      return " dashed";
  }
  return "";
}

std::string PathOf(const std::vector<ChartPoint>& points, const Axis& x,
                   const Axis& y) {
  std::string path;
  bool gap = true;
  for (const ChartPoint& point : points) {
    if (!std::isfinite(point.y)) {
      gap = true;
      continue;
    }
    absl::StrAppendFormat(&path, "%c%.1f %.1f", gap ? 'M' : 'L', x(point.x),
                          y(point.y));
    gap = false;
  }
  return path;
}

void DrawCurve(const Curve& curve, const Chart& chart, const Axis& x,
               const Axis& y, std::string& svg) {
  const std::vector<ChartPoint> points = Thin(curve.points, kMostPoints);
  absl::StrAppendFormat(
      &svg, "<g class=\"c%d\"><path class=\"curve%s\" d=\"%s\"/>", curve.color,
      StyleClass(curve.style), PathOf(points, x, y));
  const bool dots =
      points.size() <= kMostDots && curve.style == LineStyle::kSolid;
  for (const ChartPoint& point : points) {
    if (!std::isfinite(point.y)) continue;
    if (dots) {
      absl::StrAppendFormat(
          &svg, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"/>",
          x(point.x), y(point.y));
    }
    absl::StrAppendFormat(
        &svg,
        "<circle class=\"hit\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"><title>%s %s: "
        "%s\n%s</title></circle>",
        x(point.x), y(point.y), EscapeHtml(curve.name), EscapeHtml(chart.title),
        FormatValue(point.y, chart.percent), EscapeHtml(point.label));
  }
  svg += "</g>\n";
}

void DrawReference(const ReferenceLine& line, const Axis& y, bool percent,
                   std::string& svg) {
  if (!std::isfinite(line.y) || (y.logarithmic && line.y <= 0)) return;
  absl::StrAppendFormat(
      &svg,
      "<g class=\"reference\"><line x1=\"%g\" x2=\"%g\" y1=\"%.1f\" "
      "y2=\"%.1f\"/><title>%s: %s</title></g>\n",
      kLeft, kWidth - kRight, y(line.y), y(line.y), EscapeHtml(line.name),
      FormatValue(line.y, percent));
}

// The last value that is one.
double LastValue(const Curve& curve) {
  for (auto it = curve.points.rbegin(); it != curve.points.rend(); ++it) {
    if (std::isfinite(it->y)) return it->y;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

std::string OwnLegend(const std::vector<LegendKey>& keys) {
  std::string html = "<p class=\"legend\">";
  for (const LegendKey& key : keys) {
    absl::StrAppend(&html, "<span class=\"key ",
                    key.color < 0 ? "ink" : absl::StrCat("c", key.color),
                    StyleClass(key.style), "\"><i></i>", EscapeHtml(key.name),
                    "</span>");
  }
  return html + "</p>\n";
}

std::string Legend(const Chart& chart) {
  if (!chart.legend.empty()) return OwnLegend(chart.legend);
  std::string html = "<p class=\"legend\">";
  for (const Curve& curve : chart.curves) {
    absl::StrAppendFormat(&html,
                          "<span class=\"key c%d\"><i></i>%s <b>%s</b></span>",
                          curve.color, EscapeHtml(curve.name),
                          FormatValue(LastValue(curve), chart.percent));
  }
  for (const ReferenceLine& line : chart.references) {
    absl::StrAppendFormat(
        &html, "<span class=\"key paper\"><i></i>%s <b>%s</b></span>",
        EscapeHtml(line.name), FormatValue(line.y, chart.percent));
  }
  return html + "</p>\n";
}

std::string Figure(absl::string_view title, absl::string_view under_title,
                   absl::string_view drawing) {
  return absl::StrFormat(
      "<figure><figcaption>%s</figcaption>\n%s<svg viewBox=\"0 0 %g %g\" "
      "role=\"img\" aria-label=\"%s\">\n%s</svg></figure>\n",
      EscapeHtml(title), under_title, kWidth, kHeight, EscapeHtml(title),
      drawing);
}

// Ticks of an axis that counts epochs or steps.
std::vector<double> WholeTicks(const Axis& axis) {
  std::vector<double> ticks = Ticks(axis.low, axis.high, 6);
  ticks.erase(std::remove_if(ticks.begin(), ticks.end(),
                             [](double t) { return t != std::round(t); }),
              ticks.end());
  return ticks;
}

std::string HistogramFacts(const Histogram& h) {
  const auto n = static_cast<double>(std::max<int64_t>(1, h.finite));
  const double mean = h.sum / n;
  const double variance = h.sum_of_squares / n - mean * mean;
  std::string text = absl::StrFormat(
      "<p class=\"legend\"><span class=\"key\">n <b>%s</b></span><span "
      "class=\"key\">mean <b>%s</b></span><span class=\"key\">std "
      "<b>%s</b></span>",
      FormatCount(h.finite), FormatValue(mean, false),
      FormatValue(std::sqrt(std::max(0.0, variance)), false));
  if (h.not_finite > 0) {
    absl::StrAppend(&text, "<span class=\"key\">not finite <b>",
                    FormatCount(h.not_finite), "</b></span>");
  }
  return text + "</p>\n";
}

void DrawBar(const Histogram& h, size_t i, const Axis& x, const Axis& y,
             std::string& svg) {
  const auto bins = static_cast<double>(h.counts.size());
  const double step = (x.end - x.start) / bins;
  const auto low = static_cast<double>(i) / bins;
  const auto high = static_cast<double>(i + 1) / bins;
  const double top = y(static_cast<double>(h.counts[i]));
  const double gap = step > 3 ? 1 : 0;
  absl::StrAppendFormat(
      &svg,
      "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
      "height=\"%.1f\"><title>%s to %s: %s</title></rect>",
      x.start + low * (x.end - x.start) + gap / 2, top, step - gap,
      kHeight - kBottom - top,
      FormatValue(h.min * (1 - low) + h.max * low, false),
      FormatValue(h.min * (1 - high) + h.max * high, false),
      FormatCount(h.counts[i]));
}

// A bar around `middle`, with its name below and its value above.
void DrawNamedBar(const Bar& bar, double middle, double width, const Axis& y,
                  std::string& svg) {
  const double base = kHeight - kBottom;
  absl::StrAppendFormat(&svg,
                        "<text class=\"tick\" x=\"%.1f\" y=\"%g\" "
                        "dy=\"1.25em\" text-anchor=\"middle\">%s</text>",
                        middle, base + 1, EscapeHtml(bar.name));
  if (!std::isfinite(bar.value)) return;
  const double top = y(bar.value);
  absl::StrAppendFormat(
      &svg,
      "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
      "height=\"%.1f\"><title>%s: %s\n%s</title></rect>",
      middle - width / 2, top, width, base - top, EscapeHtml(bar.name),
      FormatValue(bar.value, false), EscapeHtml(bar.label));
  absl::StrAppendFormat(
      &svg,
      "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s"
      "</text>\n",
      middle, top - 4, EscapeHtml(absl::StrFormat("%.2g", bar.value)));
}

// Adds, in order, the indices in [begin, end) of the lowest and the highest
// point and of one that is not finite.
void KeepExtremes(const std::vector<ChartPoint>& points, size_t begin,
                  size_t end, std::vector<size_t>& kept) {
  std::optional<size_t> low, high, gap;
  for (size_t i = begin; i < end; ++i) {
    if (!std::isfinite(points[i].y)) {
      gap = i;
      continue;
    }
    if (!low || points[i].y < points[*low].y) low = i;
    if (!high || points[i].y > points[*high].y) high = i;
  }
  const size_t before = kept.size();
  for (const std::optional<size_t> index : {low, high, gap}) {
    if (index) kept.push_back(*index);
  }
  std::sort(kept.begin() + static_cast<ptrdiff_t>(before), kept.end());
}

}  // namespace

std::string RenderChart(const Chart& chart) {
  const Axis x = MakeXAxis(chart), y = MakeYAxis(chart);
  std::string svg;
  DrawYAxis(y, chart.percent, svg);
  DrawXAxis(x, WholeTicks(x), chart.x_title, svg);
  for (const ReferenceLine& line : chart.references) {
    DrawReference(line, y, chart.percent, svg);
  }
  for (const Curve& curve : chart.curves) DrawCurve(curve, chart, x, y, svg);
  return Figure(chart.title, Legend(chart), svg);
}

std::string RenderBars(const BarChart& chart) {
  double high = chart.high;
  for (const Bar& bar : chart.bars) {
    if (std::isfinite(bar.value)) high = std::max(high, bar.value);
  }
  const Axis y{0, high, kHeight - kBottom, kTop, false};
  std::string svg;
  DrawYAxis(y, false, svg);
  const double slot =
      (kWidth - kRight - kLeft) /
      static_cast<double>(std::max<size_t>(1, chart.bars.size()));
  const double width = std::min(0.7 * slot, 56.0);
  svg += "<g class=\"c0\">";
  for (size_t i = 0; i < chart.bars.size(); ++i) {
    DrawNamedBar(chart.bars[i], kLeft + (static_cast<double>(i) + 0.5) * slot,
                 width, y, svg);
  }
  svg += "</g>\n";
  DrawXAxis({}, {}, chart.x_title, svg);
  return Figure(chart.title, "", svg);
}

std::string RenderHistogram(absl::string_view title, const Histogram& h) {
  int64_t most = 1;
  for (const int64_t count : h.counts) most = std::max(most, count);
  Axis x{h.min, h.max, kLeft + 6, kWidth - kRight - 6, false};
  if (h.min == h.max) x.low -= 1, x.high += 1;
  const Axis y{0, 1.05 * static_cast<double>(most), kHeight - kBottom, kTop,
               false};
  std::string svg;
  DrawYAxis(y, false, svg);
  svg += "<g class=\"c0\">";
  for (size_t i = 0; i < h.counts.size(); ++i) DrawBar(h, i, x, y, svg);
  svg += "</g>\n";
  DrawXAxis(x, Ticks(x.low, x.high, 6), "value", svg);
  return Figure(title, HistogramFacts(h), svg);
}

std::vector<ChartPoint> Thin(const std::vector<ChartPoint>& points,
                             size_t most) {
  CHECK_GE(most, 4u);
  if (points.size() <= most) return points;
  const size_t stretches = (most - 1) / 3;
  std::vector<size_t> kept;
  for (size_t s = 0; s < stretches; ++s) {
    KeepExtremes(points, points.size() * s / stretches,
                 points.size() * (s + 1) / stretches, kept);
  }
  kept.push_back(points.size() - 1);
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  std::vector<ChartPoint> thinned;
  thinned.reserve(kept.size());
  for (const size_t i : kept) thinned.push_back(points[i]);
  return thinned;
}

}  // namespace altprop::training
