#include "eqprop/gradient_check_report.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "ATen/TensorOperators.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/logging.h"
#include "common/random.h"
#include "common/status.h"
#include "common/training/atomic_file.h"
#include "common/training/checkpoint.h"
#include "common/training/report_chart.h"
#include "common/training/report_format.h"

namespace altprop::eqprop {
namespace {

namespace fs = std::filesystem;

using training::BarChart;
using training::Chart;
using training::ChartPoint;
using training::EscapeHtml;
using training::LineStyle;

constexpr int64_t kElements = 3;  // drawn in each plot

// ---- The table ----

std::string Cell(double value) {
  return absl::StrCat("<td>", training::FormatValue(value, false), "</td>");
}

std::string TableRow(absl::string_view name, const at::Tensor& ep,
                     const at::Tensor& mean, const at::Tensor& bptt) {
  const Agreement one = Compare(ep, bptt);
  std::string html =
      absl::StrCat("<tr><td>", EscapeHtml(name), "</td>", Cell(one.rmse),
                   Cell(one.sign_error), Cell(one.cosine));
  if (mean.defined()) {
    const Agreement both = Compare(mean, bptt);
    absl::StrAppend(&html, Cell(both.rmse), Cell(both.cosine));
  }
  return html + "</tr>\n";
}

std::string Table(const GradientCheck& plus, const GradientCheck* minus) {
  std::string html =
      "<h2>Equilibrium propagation against backpropagation</h2>\n<div "
      "class=\"box\"><table class=\"numbers\"><thead><tr><th>of</th>"
      "<th>RMSE</th><th>sign error</th><th>cosine of sums</th>";
  if (minus != nullptr) {
    html +=
        "<th>RMSE, mean of &plusmn;&beta;</th>"
        "<th>cosine, mean of &plusmn;&beta;</th>";
  }
  html += "</tr></thead>\n<tbody>";
  for (size_t i = 0; i < plus.rows.size(); ++i) {
    const GradientCheckRow& row = plus.rows[i];
    at::Tensor mean;
    if (minus != nullptr) mean = (row.ep + minus->rows[i].ep) / 2;
    html += TableRow(row.key, row.ep, mean, row.bptt);
    if (!row.corrected.defined()) continue;
    html += TableRow(absl::StrCat(row.key, ", corrected"), row.ep, mean,
                     row.corrected);
  }
  return html +
         "</tbody></table></div>\n<p class=\"subtitle\">RMSE: over the steps, "
         "relative to the larger side, averaged over the elements; it goes to "
         "0 with &beta;. Neurons are compared as the authors' program does, "
         "without the factor &sigma;&prime;(u*), and corrected, with it. A "
         "softmax readout does not agree by construction, a vector field as "
         "far as its two weights do.</p>\n";
}

// ---- The plots ----

std::vector<int64_t> DrawElements(uint64_t seed, size_t row, int64_t size) {
  const auto bound = static_cast<uint32_t>(
      std::min<int64_t>(size, std::numeric_limits<uint32_t>::max()));
  CounterRandom random(seed, RandomStream("gducheck"), 0, row);
  std::vector<int64_t> elements;
  while (static_cast<int64_t>(elements.size()) < std::min(kElements, size)) {
    const int64_t element = random.Below(bound);
    if (std::find(elements.begin(), elements.end(), element) ==
        elements.end()) {
      elements.push_back(element);
    }
  }
  return elements;
}

// "[12, 400]": where entry number `element` is in a tensor of `sizes`.
std::string Place(at::IntArrayRef sizes, int64_t element) {
  std::vector<int64_t> place(sizes.size());
  for (size_t d = sizes.size(); d-- > 0;) {
    place[d] = element % sizes[d];
    element /= sizes[d];
  }
  return absl::StrCat("[", absl::StrJoin(place, ", "), "]");
}

// One plot's curves, integrated over the steps, and how they are drawn.
struct Side {
  std::string name;
  at::Tensor terms;  // [T2, ...]
  LineStyle style;
};

std::vector<Side> Sides(const GradientCheckRow& row,
                        const GradientCheckRow* minus) {
  std::vector<Side> sides = {
      {"backpropagation", row.expected(), LineStyle::kSolid},
      {minus == nullptr ? "equilibrium" : "equilibrium, ±β", row.ep,
       LineStyle::kDotted}};
  if (minus != nullptr) {
    sides.push_back({"", minus->ep, LineStyle::kDotted});
    sides.push_back(
        {"mean of ±β", (row.ep + minus->ep) / 2, LineStyle::kDashed});
  }
  return sides;
}

std::vector<ChartPoint> Points(const Side& side, int64_t element,
                               Semantics semantics) {
  const at::Tensor sums =
      Integrated(side.terms.flatten(1).select(1, element), semantics)
          .to(at::kCPU, at::kDouble)
          .contiguous();
  std::vector<ChartPoint> points;
  for (int64_t t = 0; t < sums.numel(); ++t) {
    points.push_back({static_cast<double>(t), sums.const_data_ptr<double>()[t],
                      absl::StrCat("after ", t, " steps")});
  }
  return points;
}

std::string Plot(const GradientCheckRow& row, const GradientCheckRow* minus,
                 size_t number, const GradientCheckPage& page) {
  Chart chart;
  chart.title =
      absl::StrCat(row.key, row.corrected.defined() ? ", with σ′(u*)" : "");
  chart.x_title = "steps summed";
  const std::vector<Side> sides = Sides(row, minus);
  const at::IntArrayRef sizes = row.ep.sizes().slice(1);
  int color = 0;
  for (const int64_t element :
       DrawElements(page.seed, number, row.ep[0].numel())) {
    const std::string place = Place(sizes, element);
    chart.legend.push_back({place, color});
    for (const Side& side : sides) {
      chart.curves.push_back({absl::StrCat(place, " ", side.name), color,
                              Points(side, element, page.semantics),
                              side.style});
    }
    ++color;
  }
  for (const Side& side : sides) {
    if (!side.name.empty()) chart.legend.push_back({side.name, -1, side.style});
  }
  return training::RenderChart(chart);
}

// "2" of synapses.1.weight, "B 2" of B_syn.0.weight: the layer above.
std::string LayerOf(absl::string_view key) {
  const std::vector<std::string> parts = absl::StrSplit(key, '.');
  int number = 0;
  CHECK(parts.size() == 3 && absl::SimpleAtoi(parts[1], &number)) << key;
  return parts[0] == "B_syn" ? absl::StrCat("B ", number + 2)
                             : absl::StrCat(number + 1);
}

std::string Bars(const GradientCheck& plus, const GradientCheck& minus,
                 Semantics semantics) {
  BarChart chart;
  chart.title = "Error of the mean of ±β over that of one sign";
  chart.x_title = "layer";
  for (size_t i = 0; i < plus.rows.size(); ++i) {
    const GradientCheckRow& row = plus.rows[i];
    if (!IsWeight(row.key)) continue;
    chart.bars.push_back(
        {LayerOf(row.key),
         BarHeight(IntegratedEstimate(row.ep, semantics),
                   IntegratedEstimate(minus.rows[i].ep, semantics),
                   IntegratedEstimate(row.bptt, semantics)),
         row.key});
  }
  return training::RenderBars(chart);
}

// ---- The files ----

absl::Status MakeFolder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && !fs::is_directory(folder, error)) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(),
                             absl::StrCat(folder, ": cannot make the folder"));
}

training::Dict Halves(const GradientCheck& check,
                      at::Tensor GradientCheckRow::*half) {
  training::Dict entries;
  for (const GradientCheckRow& row : check.rows) {
    entries.emplace_back(row.key, row.*half);
  }
  return entries;
}

void AddEstimates(absl::string_view prefix, const GradientCheck& check,
                  at::Tensor GradientCheckRow::*half, Semantics semantics,
                  training::Dict& entries) {
  for (const GradientCheckRow& row : check.rows) {
    if (!IsWeight(row.key)) continue;
    entries.emplace_back(absl::StrCat(prefix, ".", row.key),
                         IntegratedEstimate(row.*half, semantics));
  }
}

absl::Status WriteTensors(const std::string& folder, const GradientCheck& plus,
                          const GradientCheck* minus, Semantics semantics) {
  const auto save = [&](absl::string_view name, training::Dict entries) {
    return training::SaveCheckpoint(absl::StrCat(folder, "/", name),
                                    std::move(entries));
  };
  ALTPROP_RETURN_IF_ERROR(
      save("gducheck_bptt.pt", Halves(plus, &GradientCheckRow::bptt)));
  ALTPROP_RETURN_IF_ERROR(
      save("gducheck_ep.pt", Halves(plus, &GradientCheckRow::ep)));
  training::Dict estimates;
  AddEstimates("bptt", plus, &GradientCheckRow::bptt, semantics, estimates);
  AddEstimates("ep", plus, &GradientCheckRow::ep, semantics, estimates);
  if (minus == nullptr) {
    // One of an earlier check would not belong to the others.
    std::error_code none;
    fs::remove(absl::StrCat(folder, "/gducheck_ep_minus.pt"), none);
  } else {
    ALTPROP_RETURN_IF_ERROR(
        save("gducheck_ep_minus.pt", Halves(*minus, &GradientCheckRow::ep)));
    AddEstimates("ep_minus", *minus, &GradientCheckRow::ep, semantics,
                 estimates);
  }
  return save("estimates.pt", std::move(estimates));
}

}  // namespace

std::string RenderGradientCheck(const GradientCheck& plus,
                                const GradientCheck* minus,
                                const GradientCheckPage& page) {
  std::string body = Table(plus, minus);
  body +=
      "<h2>Integrated gradients</h2>\n<p class=\"subtitle\">Sums over the "
      "steps, of elements drawn at random.";
  if (minus != nullptr) {
    body +=
        " The bars are of whole weights: 1 where the mean of both signs of "
        "&beta; is no closer to backpropagation than one sign, 0.5 where "
        "it is twice as close.";
  }
  body += "</p>\n<div class=\"charts\">\n";
  if (minus != nullptr) body += Bars(plus, *minus, page.semantics);
  for (size_t i = 0; i < plus.rows.size(); ++i) {
    body += Plot(plus.rows[i], minus == nullptr ? nullptr : &minus->rows[i], i,
                 page);
  }
  body += "</div>\n";
  return training::RenderPage(
      page.header, body, page.facts,
      absl::StrCat(
          "Beside this page: <code>gducheck_bptt.pt</code>, "
          "<code>gducheck_ep.pt</code>, ",
          minus == nullptr ? "" : "<code>gducheck_ep_minus.pt</code>, ",
          "<code>estimates.pt</code> hold the numbers, for "
          "<code>torch.load</code>."));
}

absl::Status WriteGradientCheck(const std::string& folder,
                                const GradientCheck& plus,
                                const GradientCheck* minus,
                                const GradientCheckPage& page) {
  CHECK(minus == nullptr || minus->rows.size() == plus.rows.size());
  ALTPROP_RETURN_IF_ERROR(MakeFolder(folder));
  ALTPROP_RETURN_IF_ERROR(WriteTensors(folder, plus, minus, page.semantics));
  return training::WriteFileAtomically(absl::StrCat(folder, "/report.html"),
                                       RenderGradientCheck(plus, minus, page));
}

}  // namespace altprop::eqprop
