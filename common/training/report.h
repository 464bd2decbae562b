#ifndef COMMON_TRAINING_REPORT_H_
#define COMMON_TRAINING_REPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/training/histogram.h"
#include "common/training/metrics.h"
#include "common/training/report_chart.h"

namespace altprop::training {

// A published number, shown beside the run's own best and last values and drawn
// as a dashed line in that metric's chart.
struct PaperValue {
  std::string split = "test";
  std::string metric = "accuracy";
  double value = 0;    // in the metric's own unit: a fraction for accuracy
  std::string source;  // "Laborieux et al. 2021, Table 1"
};

struct FactTable {
  std::string title;  // "Flags"
  std::vector<std::pair<std::string, std::string>> rows;
};

// How the run stands; kRunning makes the page reload itself every half minute.
enum class RunState { kRunning, kFinished, kStopped };

// What the training program says about the run: everything on the page that
// does not come out of the run directory.
struct ReportHeader {
  std::string title;     // "Equilibrium propagation: MLP 784-512-10 on glyphs"
  std::string subtitle;  // the paper
  RunState state = RunState::kRunning;
  std::string state_text;  // "epoch 3 of 10", "10 epochs in 0:00:41", "SIGINT"
  std::vector<PaperValue> paper_values;
};

struct Report {
  ReportHeader header;
  std::vector<MetricsLine> lines;                             // oldest first
  std::vector<std::pair<std::string, Histogram>> histograms;  // by title
  std::vector<FactTable> facts;
  std::vector<Chart> charts = {};  // the method's own, after the metrics'
};

// A page in the report's look around `body`, HTML, with the facts below it.
// `footer`: HTML, one line.
std::string RenderPage(const ReportHeader& header, absl::string_view body,
                       const std::vector<FactTable>& facts,
                       absl::string_view footer);

// One self-contained HTML page: no script, no font, no address of anything
// else. Charts are inline SVG, one per metric with a curve per split; long
// curves are thinned to a few hundred points that keep every extreme. Follows
// the reader's light or dark setting, and reads well on a phone. All text is
// escaped.
std::string RenderReport(const Report& report);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_REPORT_H_
