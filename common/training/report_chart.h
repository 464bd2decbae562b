#ifndef COMMON_TRAINING_REPORT_CHART_H_
#define COMMON_TRAINING_REPORT_CHART_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/training/histogram.h"

namespace altprop::training {

// Charts for report.html: <figure> elements with inline SVG. Colours and font
// sizes are the page's CSS (report_style.h), so one drawing serves light and
// dark, desktop and phone; points and bars carry a <title>, which browsers show
// as a tooltip.

struct ChartPoint {
  double x = 0;
  double y = 0;       // not finite: a gap in the curve
  std::string label;  // the tooltip's second line: "epoch 2, step 2400"
};

enum class LineStyle { kSolid, kDotted, kDashed };

struct Curve {
  std::string name;                // "test"
  int color = 0;                   // 0 to 5: the page's series colours
  std::vector<ChartPoint> points;  // by x
  LineStyle style = LineStyle::kSolid;
};

// A dashed horizontal line, as for a paper's number.
struct ReferenceLine {
  std::string name;
  double y = 0;
};

// An entry of a legend; `color` -1 is that of text.
struct LegendKey {
  std::string name;
  int color = -1;
  LineStyle style = LineStyle::kSolid;
};

struct Chart {
  std::string title;
  std::string x_title;
  bool percent = false;  // y is a fraction, shown as per cent
  std::vector<Curve> curves;
  std::vector<ReferenceLine> references;
  // In place of an entry per curve with its last value, where colours and line
  // styles mean something each.
  std::vector<LegendKey> legend = {};
};

struct Bar {
  std::string name;   // below the bar: short
  double value = 0;   // not finite: no bar
  std::string label;  // the tooltip's second line
};

// Bars from 0 to at least `high`.
struct BarChart {
  std::string title;
  std::string x_title;
  double high = 1;
  std::vector<Bar> bars;
};

// The vertical axis is logarithmic where all values are positive and span more
// than two decades (never for per cent).
std::string RenderChart(const Chart& chart);
std::string RenderBars(const BarChart& chart);
std::string RenderHistogram(absl::string_view title, const Histogram& h);

// At most `most` points (at least 4): of each stretch of the curve its lowest
// and highest, so no peak is lost, and a gap where there was one.
std::vector<ChartPoint> Thin(const std::vector<ChartPoint>& points,
                             size_t most);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_REPORT_CHART_H_
