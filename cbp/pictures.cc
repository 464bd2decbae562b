#include "cbp/pictures.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/histc.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/training/atomic_file.h"

namespace altprop::cbp {
namespace {

using training::Chart;
using training::Curve;

constexpr double kRange = 2.5;  // |w / s| in the chart
constexpr int64_t kBins = 200;
constexpr size_t kMostLayers = 6;  // histograms on the page

at::Tensor OverScale(const Constrained& c, size_t k) {
  return c.w.narrow(0, c.offsets[k], c.offsets[k + 1] - c.offsets[k]) /
         c.ScaleOf(k);
}

Curve Upright(const std::string& name, double x, double high, int color,
              training::LineStyle style) {
  return {name, color, {{x, 0, ""}, {x, high, ""}}, style};
}

Chart WeightsChart(const Constrained& c, Mode mode, double u) {
  at::Tensor counts;
  for (size_t k = 0; k < c.size(); ++k) {
    const at::Tensor own =
        at::histc(OverScale(c, k).to(at::kFloat), kBins, -kRange, kRange)
            .to(at::kDouble)
            .cpu();
    counts = counts.defined() ? counts + own : own;
  }
  Chart chart;
  chart.title = "Constrained weights: density of w / s, levels and free zones";
  chart.x_title = "w / s";
  Curve density;
  density.name = "weights";
  double high = 0;
  for (int64_t i = 0; i < kBins; ++i) {
    const double x = -kRange + (static_cast<double>(i) + 0.5) * 2 * kRange /
                                   static_cast<double>(kBins);
    const double y = counts[i].item<double>() /
                     static_cast<double>(c.weights()) *
                     static_cast<double>(kBins) / (2 * kRange);
    high = std::max(high, y);
    density.points.push_back({x, y, absl::StrFormat("%.3f", y)});
  }
  const LevelSet levels = LevelsOf(mode);
  for (int k = 0; k < levels.size; ++k) {
    chart.curves.push_back(
        Upright("levels", levels.f[k], high, 1, training::LineStyle::kDashed));
    if (k + 1 == levels.size || u >= 1) continue;
    const double half = levels.gap(k) * (1 - u) / 2;
    for (const double x : {levels.b[k] - half, levels.b[k] + half}) {
      chart.curves.push_back(
          Upright("free zones", x, high, 2, training::LineStyle::kDotted));
    }
  }
  chart.curves.push_back(std::move(density));
  chart.legend = {{"weights", 0, training::LineStyle::kSolid},
                  {"levels", 1, training::LineStyle::kDashed},
                  {"edges of the free zones", 2, training::LineStyle::kDotted}};
  return chart;
}

double ValueIn(const training::MetricsLine& line, absl::string_view name) {
  for (const auto& [key, value] : line.values) {
    if (key == name) return value;
  }
  return std::nan("");
}

}  // namespace

absl::Status DrawWeights(const Constrained& c, Mode mode, double u,
                         int64_t step, training::RunDirectory& directory) {
  if (c.size() == 0) return absl::OkStatus();
  const at::NoGradGuard no_grad;
  directory.SetChart(WeightsChart(c, mode, u));
  const size_t shown = std::min(c.size(), kMostLayers);
  for (size_t i = 0; i < shown; ++i) {
    // From the first to the last.
    const size_t k = shown == 1 ? 0 : i * (c.size() - 1) / (shown - 1);
    ALTPROP_RETURN_IF_ERROR(directory.LogHistogram(
        absl::StrCat("w / s of ", c.names[k]), step, OverScale(c, k)));
  }
  return absl::OkStatus();
}

absl::Status WriteProgress(int64_t first_epoch, int64_t samples,
                           const training::RunDirectory& directory) {
  std::string text;
  const auto row = [&](double epoch, double top1, double top5, double cfs) {
    absl::StrAppendFormat(&text, "%.18e\t%.18e\t%.18e\t%.18e\n", epoch, top1,
                          top5, cfs);
  };
  row(0, 0, 0, 0);
  const auto count = static_cast<double>(samples);
  double cfs = 0;
  for (const training::MetricsLine& line : directory.lines()) {
    if (line.epoch <= first_epoch) continue;
    const double read = ValueIn(line, "cfs");
    if (std::isfinite(read)) cfs = read;
    if (line.split != "test") continue;
    row(static_cast<double>(line.epoch - 1 - first_epoch),
        std::round(ValueIn(line, "accuracy") * count),
        std::round(ValueIn(line, "accuracy5") * count), cfs);
  }
  return training::WriteFileAtomically(directory.File("progress.txt"), text);
}

}  // namespace altprop::cbp
