#include "common/training/report.h"

#include <cmath>
#include <limits>
#include <string>

#include "common/training/report_chart.h"
#include "common/training/report_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

using testing::ElementsAre;

// Not gmock's HasSubstr, which would print the whole page.
bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

Report TwoEpochs() {
  Report report;
  report.header = {
      "EP on glyphs", "a paper", RunState::kRunning, "epoch 2 of 4", {}};
  report.lines = {
      {"train", 1, 240, {{"loss", 0.123}, {"accuracy", 0.924}}, 20},
      {"test", 1, 240, {{"loss", 0.1}, {"accuracy", 0.9595}}, 22},
      {"train", 2, 480, {{"loss", 0.03}, {"accuracy", 0.967}}, 42},
      {"test", 2, 480, {{"loss", 0.05}, {"accuracy", 0.9583}}, 44},
  };
  return report;
}

TEST(RenderReport, IsOnePageWithoutAnyAddress) {
  const std::string html = RenderReport(TwoEpochs());
  EXPECT_THAT(html, testing::StartsWith("<!doctype html>"));
  EXPECT_THAT(html, testing::EndsWith("</html>\n"));
  EXPECT_TRUE(Has(html, "name=\"viewport\""));
  EXPECT_TRUE(Has(html, "prefers-color-scheme: dark"));
  for (const char* outside :
       {"http:", "https:", "//", "src=", "@import", "<script", "url("}) {
    EXPECT_FALSE(Has(html, outside)) << outside;
  }
}

TEST(RenderReport, ReloadsItselfWhileTheRunGoesOn) {
  Report report = TwoEpochs();
  EXPECT_TRUE(Has(RenderReport(report), "http-equiv=\"refresh\""));
  report.header.state = RunState::kFinished;
  EXPECT_FALSE(Has(RenderReport(report), "refresh"));
}

TEST(RenderReport, ShowsLastAndBestValues) {
  const std::string html = RenderReport(TwoEpochs());
  EXPECT_TRUE(Has(html, "<span>Accuracy, test</span><strong>95.83 %"));
  EXPECT_TRUE(Has(html, "best 95.95 % (epoch 1)"));
  EXPECT_TRUE(Has(html, "<span>Loss, test</span><strong>0.05<"));
  EXPECT_TRUE(Has(html, "best 0.05 (epoch 2)"));
  EXPECT_TRUE(Has(html, "<strong>0:00:44<"));
}

TEST(RenderReport, DrawsAChartPerMetricAndACurvePerSplit) {
  const std::string html = RenderReport(TwoEpochs());
  EXPECT_EQ(CountOf(html, "<figure>"), 2u);
  EXPECT_EQ(CountOf(html, "class=\"curve\""), 4u);
  EXPECT_EQ(CountOf(html, ">epoch</text>"), 2u);  // the axis
  EXPECT_TRUE(Has(html,
                  "<title>test Accuracy: 95.95 %\nepoch 1, step "
                  "240, 0:00:22</title>"));
}

TEST(RenderReport, CountsStepsWhenThereAreSeveralLinesAnEpoch) {
  Report report = TwoEpochs();
  report.lines.insert(report.lines.begin(),
                      {"train", 1, 100, {{"loss", 0.2}}, 9});
  const std::string html = RenderReport(report);
  EXPECT_EQ(CountOf(html, ">epoch</text>"), 0u);
  EXPECT_EQ(CountOf(html, ">step</text>"), 2u);
}

TEST(RenderReport, PutsThePapersNumberBesideOurs) {
  Report report = TwoEpochs();
  report.header.paper_values = {{"test", "accuracy", 0.9683, "Table 1"}};
  const std::string html = RenderReport(report);
  EXPECT_TRUE(Has(html, "<dt>paper</dt><dd>96.83 %</dd>"));
  EXPECT_TRUE(Has(html, "<dt>this run</dt><dd>95.83 %</dd>"));
  EXPECT_TRUE(Has(html, "<dt>difference</dt><dd>-1.00 points</dd>"));
  EXPECT_TRUE(Has(html, "<dt>best of this run</dt><dd>95.95 %</dd>"));
  EXPECT_TRUE(Has(html, "Table 1"));
  EXPECT_EQ(CountOf(html, "class=\"reference\""), 1u);
}

TEST(RenderReport, EscapesEveryText) {
  const std::string evil = "<u>&\"'";
  Report report;
  report.header = {
      evil, evil, RunState::kStopped, evil, {{evil, evil, 1, evil}}};
  report.lines = {{evil, 1, 1, {{evil, 1.0}}, 0}};
  report.histograms = {{evil, {0, 1, 1, 1, 2, 0, {1, 1}}}};
  report.facts = {{evil, {{evil, evil}}}};
  const std::string html = RenderReport(report);
  EXPECT_FALSE(Has(html, "<u>"));
  EXPECT_FALSE(Has(html, "&\""));
  EXPECT_TRUE(Has(html, "&lt;u&gt;&amp;&quot;&#39;"));
}

TEST(RenderReport, StandsNotFiniteValues) {
  Report report = TwoEpochs();
  report.lines.push_back({"train", 3, 500, {{"loss", NAN}}, 50});
  report.lines.push_back({"test", 3, 500, {{"accuracy", NAN}}, 50});
  const std::string html = RenderReport(report);
  EXPECT_TRUE(Has(html, "n/a"));
  EXPECT_FALSE(Has(html, "nan"));
  EXPECT_FALSE(Has(html, "inf\""));
}

TEST(RenderReport, IsDrawnBeforeAnythingWasMeasured) {
  EXPECT_TRUE(Has(RenderReport({}), "Nothing has been measured yet"));
}

TEST(RenderReport, StaysSmallForALongRun) {
  Report report;
  for (int64_t step = 1; step <= 100000; ++step) {
    report.lines.push_back(
        {"train", step / 1000, step, {{"loss", std::sin(0.001 * step)}}, 0});
  }
  EXPECT_LT(RenderReport(report).size(), 200000u);
}

TEST(RenderHistogram, HasABarPerBin) {
  Histogram h;
  h.min = 0;
  h.max = 1;
  h.finite = 6;
  h.not_finite = 2;
  h.counts = {1, 2, 3};
  const std::string html = RenderHistogram("states", h);
  EXPECT_EQ(CountOf(html, "class=\"bar\""), 3u);
  EXPECT_TRUE(Has(html, "<title>0.6667 to 1: 3</title>"));
  EXPECT_TRUE(Has(html, "not finite <b>2</b>"));
  EXPECT_EQ(CountOf(RenderHistogram("none", {}), "class=\"bar\""), 0u);
}

TEST(RenderBars, HasANamedBarPerFiniteValue) {
  const BarChart chart{"heights",
                       "layer",
                       1,
                       {{"1", 0.5, "a<b"}, {"2", 0.25, ""}, {"B", NAN, ""}}};
  const std::string html = RenderBars(chart);
  EXPECT_EQ(CountOf(html, "class=\"bar\""), 2u);
  EXPECT_TRUE(Has(html, ">B</text>"));
  EXPECT_TRUE(Has(html, "<title>1: 0.5\na&lt;b</title>"));
  EXPECT_FALSE(Has(html, "nan"));
  EXPECT_EQ(CountOf(RenderBars({}), "class=\"bar\""), 0u);
}

TEST(RenderChart, LineStylesAndALegendOfItsOwn) {
  Chart chart{"title", "step", false, {}, {}};
  chart.curves = {{"solid", 0, {{0, 1, ""}, {1, 2, ""}}},
                  {"dots", 1, {{0, 1, ""}, {1, 2, ""}}, LineStyle::kDotted}};
  EXPECT_EQ(CountOf(RenderChart(chart), "class=\"curve\""), 1u);
  EXPECT_EQ(CountOf(RenderChart(chart), "class=\"curve dotted\""), 1u);
  EXPECT_TRUE(Has(RenderChart(chart), "solid <b>2</b>"));
  chart.legend = {{"one", 1}, {"dashes", -1, LineStyle::kDashed}};
  const std::string html = RenderChart(chart);
  EXPECT_TRUE(Has(html, "class=\"key c1\"><i></i>one"));
  EXPECT_TRUE(Has(html, "class=\"key ink dashed\"><i></i>dashes"));
  EXPECT_FALSE(Has(html, "solid <b>2</b>"));
}

TEST(RenderPage, HasBodyFactsAndFooter) {
  const std::string html =
      RenderPage({"a & b", "", RunState::kFinished, "", {}}, "<p>body</p>",
                 {{"Facts", {{"T1", "3"}}}}, "foot");
  EXPECT_TRUE(Has(html, "<h1>a &amp; b</h1>"));
  EXPECT_TRUE(Has(html, "<p>body</p>"));
  EXPECT_TRUE(Has(html, "<th>T1</th><td>3</td>"));
  EXPECT_TRUE(Has(html, "<footer>foot</footer>"));
}

TEST(Ticks, AreRoundAndInside) {
  EXPECT_THAT(Ticks(0, 10, 5), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(Ticks(1, 4, 5), ElementsAre(1, 1.5, 2, 2.5, 3, 3.5, 4));
  EXPECT_THAT(Ticks(-0.03, 0.07, 2), ElementsAre(0, testing::DoubleEq(0.05)));
  const double big = 1e17;  // neighbours are 16 apart
  EXPECT_LT(Ticks(big, big + 32, 5).size(), 30u);
}

std::vector<ChartPoint> Wave(size_t size) {
  std::vector<ChartPoint> points;
  for (size_t i = 0; i < size; ++i) {
    points.push_back({static_cast<double>(i), std::sin(0.1 * i), ""});
  }
  return points;
}

TEST(Thin, KeepsAShortCurveAsItIs) {
  EXPECT_EQ(Thin(Wave(50), 50).size(), 50u);
  EXPECT_EQ(Thin({}, 50).size(), 0u);
}

TEST(Thin, KeepsPeaksGapsOrderAndTheEnd) {
  std::vector<ChartPoint> points = Wave(10000);
  points[4321].y = 7;
  points[1234].y = -7;
  points[5678].y = NAN;
  const auto thin = Thin(points, 100);
  EXPECT_LE(thin.size(), 100u);
  EXPECT_GT(thin.size(), 60u);
  for (size_t i = 1; i < thin.size(); ++i) {
    EXPECT_LT(thin[i - 1].x, thin[i].x);
  }
  bool high = false, low = false, gap = false;
  for (const ChartPoint& point : thin) {
    high = high || point.y == 7;
    low = low || point.y == -7;
    gap = gap || std::isnan(point.y);
  }
  EXPECT_TRUE(high && low && gap);
  EXPECT_EQ(thin.back().x, 9999);
}

TEST(FormatCount, SeparatesThousands) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(-1234567), "-1,234,567");
  EXPECT_EQ(FormatCount(-123), "-123");
}

}  // namespace
}  // namespace altprop::training
