#include "common/training/report.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/training/progress.h"
#include "common/training/report_chart.h"
#include "common/training/report_format.h"
#include "common/training/report_style.h"

namespace altprop::training {
namespace {

constexpr int kColors = 6;

// One metric of one split, over the run.
struct Series {
  std::string metric, split;
  std::vector<std::pair<const MetricsLine*, double>> points;
};

bool IsPercent(absl::string_view metric) { return metric == "accuracy"; }

// "accuracy" -> "Accuracy"; names of a method's own stay as the paper has them.
std::string Title(absl::string_view metric) {
  if (metric == "accuracy") return "Accuracy";
  if (metric == "loss") return "Loss";
  return std::string(metric);
}

// Charts and legends show these first, others in order of appearance.
int Rank(absl::string_view name) {
  constexpr absl::string_view kFirst[] = {"train", "test", "val"};
  const auto* it = std::find(std::begin(kFirst), std::end(kFirst), name);
  return static_cast<int>(it - std::begin(kFirst));
}

int MetricRank(absl::string_view name) {
  return name == "accuracy" ? 0 : name == "loss" ? 1 : 2;
}

Series& FindOrAdd(std::vector<Series>& all, const std::string& metric,
                  const std::string& split) {
  for (Series& series : all) {
    if (series.metric == metric && series.split == split) return series;
  }
  all.push_back({metric, split, {}});
  return all.back();
}

std::vector<Series> Collect(const std::vector<MetricsLine>& lines) {
  std::vector<Series> all;
  for (const MetricsLine& line : lines) {
    for (const auto& [metric, value] : line.values) {
      FindOrAdd(all, metric, line.split).points.emplace_back(&line, value);
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::pair(MetricRank(a.metric), Rank(a.split)) <
           std::pair(MetricRank(b.metric), Rank(b.split));
  });
  return all;
}

const Series* FindSeries(const std::vector<Series>& all,
                         absl::string_view metric, absl::string_view split) {
  for (const Series& series : all) {
    if (series.metric == metric && series.split == split) return &series;
  }
  return nullptr;
}

// Whether every curve has one point an epoch, so epochs can be the axis.
bool OnePerEpoch(const std::vector<MetricsLine>& lines) {
  std::set<std::pair<absl::string_view, int64_t>> seen;
  return std::all_of(lines.begin(), lines.end(), [&](const MetricsLine& line) {
    return seen.emplace(line.split, line.epoch).second;
  });
}

std::string PointLabel(const MetricsLine& line) {
  return absl::StrFormat("epoch %d, step %s, %s", line.epoch,
                         FormatCount(line.step),
                         FormatDuration(line.wall_time));
}

Curve MakeCurve(const Series& series, int color, bool by_epoch) {
  Curve curve{series.split, color, {}};
  for (const auto& [line, value] : series.points) {
    const int64_t x = by_epoch ? line->epoch : line->step;
    curve.points.push_back({static_cast<double>(x), value, PointLabel(*line)});
  }
  return curve;
}

// A chart for each metric. The colour of a split is the same in all of them.
std::vector<Chart> MakeCharts(const std::vector<Series>& all,
                              const Report& report) {
  const bool by_epoch = OnePerEpoch(report.lines);
  std::vector<std::string> splits = {"train", "test", "val"};
  std::vector<Chart> charts;
  std::vector<std::string> metrics;
  for (const Series& series : all) {
    const auto split = std::find(splits.begin(), splits.end(), series.split);
    const auto color = static_cast<int>(split - splits.begin()) % kColors;
    if (split == splits.end()) splits.push_back(series.split);
    const auto metric =
        std::find(metrics.begin(), metrics.end(), series.metric);
    const size_t index = static_cast<size_t>(metric - metrics.begin());
    if (metric == metrics.end()) {
      metrics.push_back(series.metric);
      charts.push_back({Title(series.metric),
                        by_epoch ? "epoch" : "step",
                        IsPercent(series.metric),
                        {},
                        {}});
    }
    charts[index].curves.push_back(MakeCurve(series, color, by_epoch));
  }
  for (const PaperValue& paper : report.header.paper_values) {
    const auto metric = std::find(metrics.begin(), metrics.end(), paper.metric);
    if (metric == metrics.end()) continue;
    charts[static_cast<size_t>(metric - metrics.begin())].references.push_back(
        {absl::StrCat("paper, ", paper.split), paper.value});
  }
  return charts;
}

using Point = std::pair<const MetricsLine*, double>;

// The best finite point: the highest accuracy, the lowest of anything else.
std::optional<Point> Best(const Series& series) {
  std::optional<Point> best;
  const double sign = IsPercent(series.metric) ? 1 : -1;
  for (const Point& point : series.points) {
    if (!std::isfinite(point.second)) continue;
    if (!best || sign * point.second > sign * best->second) best = point;
  }
  return best;
}

std::string Card(absl::string_view name, absl::string_view value,
                 absl::string_view note) {
  return absl::StrCat("<li><span>", EscapeHtml(name), "</span><strong>",
                      EscapeHtml(value), "</strong><span>", EscapeHtml(note),
                      "</span></li>\n");
}

// The last value of a metric, of the split that tells most.
std::string MetricCard(const std::vector<Series>& all,
                       absl::string_view metric) {
  for (const char* split : {"test", "val", "train"}) {
    const Series* series = FindSeries(all, metric, split);
    if (series == nullptr) continue;
    const bool percent = IsPercent(metric);
    const std::optional<Point> best = Best(*series);
    const std::string note =
        best ? absl::StrCat("best ", FormatValue(best->second, percent),
                            " (epoch ", best->first->epoch, ")")
             : "";
    return Card(absl::StrCat(Title(metric), ", ", split),
                FormatValue(series->points.back().second, percent), note);
  }
  return "";
}

// "312 steps/s", evaluation and logging included.
std::string Rate(const MetricsLine& last) {
  const double rate = static_cast<double>(last.step) / last.wall_time;
  if (!std::isfinite(rate)) return "";
  return rate < 100 ? absl::StrFormat("%.3g steps/s", rate)
                    : absl::StrCat(FormatCount(std::llround(rate)), " steps/s");
}

std::string Cards(const std::vector<Series>& all, const Report& report) {
  std::string html = "<ul class=\"cards\">\n";
  absl::StrAppend(&html, MetricCard(all, "accuracy"), MetricCard(all, "loss"));
  const MetricsLine& last = report.lines.back();
  absl::StrAppend(
      &html,
      Card("Steps", FormatCount(last.step), absl::StrCat("epoch ", last.epoch)),
      Card("Training time", FormatDuration(last.wall_time), Rate(last)));
  return html + "</ul>\n";
}

std::string Difference(double ours, double paper, bool percent) {
  const double difference = ours - paper;
  return percent ? absl::StrFormat("%+.2f points", 100 * difference)
                 : absl::StrFormat("%+.4g", difference);
}

std::string Number(absl::string_view name, absl::string_view value) {
  return absl::StrCat("<div><dt>", name, "</dt><dd>", value, "</dd></div>");
}

std::string PaperBox(const PaperValue& paper, const std::vector<Series>& all) {
  const bool percent = IsPercent(paper.metric);
  const Series* series = FindSeries(all, paper.metric, paper.split);
  std::string last = "n/a", difference = "n/a", best = "n/a";
  if (series != nullptr) {
    const double value = series->points.back().second;
    last = FormatValue(value, percent);
    if (std::isfinite(value)) {
      difference = Difference(value, paper.value, percent);
    }
    if (const std::optional<Point> point = Best(*series)) {
      best = FormatValue(point->second, percent);
    }
  }
  return absl::StrCat(
      "<div class=\"box versus\"><p><b>", EscapeHtml(Title(paper.metric)), ", ",
      EscapeHtml(paper.split), "</b> <span>", EscapeHtml(paper.source),
      "</span></p>\n<dl>", Number("paper", FormatValue(paper.value, percent)),
      Number("this run", last), Number("difference", difference),
      Number("best of this run", best), "</dl></div>\n");
}

std::string PaperBoxes(const Report& report, const std::vector<Series>& all) {
  if (report.header.paper_values.empty()) return "";
  std::string html = "<h2>The paper and this run</h2>\n";
  for (const PaperValue& paper : report.header.paper_values) {
    html += PaperBox(paper, all);
  }
  return html;
}

// A row for each epoch: the last value of every series in it.
std::string EpochTable(const std::vector<Series>& all) {
  std::set<int64_t> epochs;
  for (const Series& series : all) {
    for (const Point& point : series.points) epochs.insert(point.first->epoch);
  }
  std::string html =
      "<details><summary>Every epoch</summary>\n<div class=\"box\"><table "
      "class=\"numbers\"><thead><tr><th>epoch</th>";
  for (const Series& series : all) {
    absl::StrAppend(&html, "<th>", EscapeHtml(series.metric), ", ",
                    EscapeHtml(series.split), "</th>");
  }
  html += "</tr></thead>\n<tbody>";
  std::vector<size_t> next(all.size(), 0);
  for (const int64_t epoch : epochs) {
    absl::StrAppend(&html, "<tr><td>", epoch, "</td>");
    for (size_t i = 0; i < all.size(); ++i) {
      std::string text;
      for (; next[i] < all[i].points.size() &&
             all[i].points[next[i]].first->epoch <= epoch;
           ++next[i]) {
        text = FormatValue(all[i].points[next[i]].second,
                           IsPercent(all[i].metric));
      }
      absl::StrAppend(&html, "<td>", text, "</td>");
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div></details>\n";
}

std::string Facts(const std::vector<FactTable>& tables) {
  std::string html = "<div class=\"columns\">\n";
  for (const FactTable& table : tables) {
    absl::StrAppend(&html, "<section><h2>", EscapeHtml(table.title),
                    "</h2>\n<div class=\"box\"><table class=\"facts\">");
    for (const auto& [name, value] : table.rows) {
      absl::StrAppend(&html, "<tr><th>", EscapeHtml(name), "</th><td>",
                      EscapeHtml(value), "</td></tr>\n");
    }
    html += "</table></div></section>\n";
  }
  return html + "</div>\n";
}

std::string Head(const ReportHeader& header) {
  const char* refresh = header.state == RunState::kRunning
                            ? "<meta http-equiv=\"refresh\" content=\"30\">\n"
                            : "";
  return absl::StrCat(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta "
      "charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n",
      refresh, "<link rel=\"icon\" href=\"data:,\">\n<title>",
      EscapeHtml(header.title), "</title>\n<style>", kReportStyle,
      "</style>\n</head>\n");
}

std::string Heading(const ReportHeader& header) {
  const char* state = header.state == RunState::kRunning    ? "running"
                      : header.state == RunState::kFinished ? "finished"
                                                            : "stopped";
  std::string html = absl::StrCat("<header><h1>", EscapeHtml(header.title),
                                  "</h1>\n<p class=\"subtitle\">",
                                  EscapeHtml(header.subtitle), "</p>\n");
  absl::StrAppend(&html, "<p class=\"state ", state, "\">", state);
  if (!header.state_text.empty()) {
    absl::StrAppend(&html, ": ", EscapeHtml(header.state_text));
  }
  return html + "</p></header>\n";
}

std::string Measurements(const Report& report) {
  if (report.lines.empty()) {
    return "<p class=\"subtitle\">Nothing has been measured yet.</p>\n";
  }
  const std::vector<Series> all = Collect(report.lines);
  std::string html = Cards(all, report) + PaperBoxes(report, all);
  html += "<h2>Curves</h2>\n<div class=\"charts\">\n";
  for (const Chart& chart : MakeCharts(all, report)) html += RenderChart(chart);
  for (const Chart& chart : report.charts) html += RenderChart(chart);
  return html + "</div>\n" + EpochTable(all);
}

}  // namespace

std::string RenderPage(const ReportHeader& header, absl::string_view body,
                       const std::vector<FactTable>& facts,
                       absl::string_view footer) {
  return absl::StrCat(Head(header), "<body>\n<main>\n", Heading(header), body,
                      Facts(facts), "<footer>", footer,
                      "</footer>\n</main>\n</body>\n</html>\n");
}

std::string RenderReport(const Report& report) {
  std::string body = Measurements(report);
  if (!report.histograms.empty()) {
    body += "<h2>Histograms</h2>\n<div class=\"charts\">\n";
    for (const auto& [title, histogram] : report.histograms) {
      body += RenderHistogram(title, histogram);
    }
    body += "</div>\n";
  }
  return RenderPage(
      report.header, body, report.facts,
      "Drawn from <code>metrics.jsonl</code>. Beside this page: "
      "<code>flags.txt</code> makes the run again, the event files are for "
      "TensorBoard.");
}

}  // namespace altprop::training
