#include "iterbin/switch_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace altprop::iterbin {
namespace {

using training::Chart;
using training::Curve;
using training::LineStyle;
using training::MetricsLine;

double Accuracy(const MetricsLine& line) {
  for (const auto& [name, value] : line.values) {
    if (name == "accuracy") return value;
  }
  return std::nan("");
}

Curve AccuracyOf(const std::string& split, const std::string& name, int color,
                 const std::vector<MetricsLine>& lines) {
  Curve curve;
  curve.name = name;
  curve.color = color;
  for (const MetricsLine& line : lines) {
    if (line.split != split) continue;
    curve.points.push_back({static_cast<double>(line.epoch), Accuracy(line),
                            absl::StrCat("epoch ", line.epoch)});
  }
  return curve;
}

}  // namespace

Chart SwitchChart(const Options& options, const State& state,
                  const std::vector<MetricsLine>& lines) {
  Chart chart;
  chart.title = "Accuracy and layer switches";
  chart.x_title = "epoch";
  chart.percent = true;
  const std::string split = options.evaluated_split();
  chart.curves = {
      AccuracyOf(split, split, 0, lines),
      AccuracyOf(options.run.log_every > 0 ? "train_epoch" : "train",
                 "training batches", 1, lines)};
  double low = 1, high = 0;
  for (const Curve& curve : chart.curves) {
    for (const auto& point : curve.points) {
      low = std::min(low, point.y);
      high = std::max(high, point.y);
    }
  }
  Curve marks;
  marks.name = "a layer becomes binary";
  marks.color = 2;
  marks.style = LineStyle::kDotted;
  const bool at_once = options.mode == Mode::kAllBinary;
  for (size_t j = 0; j < state.order.size(); ++j) {
    const int64_t epoch =
        at_once ? 1 : static_cast<int64_t>(j) * options.epochs_per_layer + 1;
    if (epoch > state.at.epoch + 1 || (at_once && j > 0)) break;
    const Layer& layer = state.network.layers[state.order[j]];
    const std::string label =
        at_once ? "all layers"
                : absl::StrCat("layer ", state.order[j] + 1, ", ", layer.name);
    const auto x = static_cast<double>(epoch);
    marks.points.push_back({x, low, label});
    marks.points.push_back({x, high, label});
    marks.points.push_back({x, std::numeric_limits<double>::quiet_NaN(), ""});
  }
  chart.curves.push_back(std::move(marks));
  return chart;
}

}  // namespace altprop::iterbin
