#include "eqprop/record.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/cli/parse.h"
#include "common/status.h"
#include "eqprop/authors_files.h"
#include "eqprop/network.h"

namespace altprop::eqprop {
namespace {

using training::Position;
using training::Record;

std::string Title(const Options& o) {
  const char* const kMethods[] = {"Equilibrium propagation",
                                  "Backpropagation through time",
                                  "Continual equilibrium propagation"};
  return absl::StrCat(kMethods[static_cast<size_t>(o.algorithm)], ": ",
                      ModelName(o.architecture.model), " ",
                      SizesText(o.architecture), " on ", o.dataset);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Record>> MakeRecord(const Options& options,
                                                   const training::Start& start,
                                                   const Position& at,
                                                   int64_t batches) {
  const bool authors_files = options.save && !start.resumes();
  training::RecordOptions record_options;
  if (options.run.run_dir.empty() && authors_files) {
    record_options.directory.path = AuthorsFolder(options, absl::Now());
  }
  record_options.directory.method = "eqprop";
  record_options.directory.name =
      absl::StrCat(options.dataset, "-", SizesText(options.architecture));
  record_options.directory.flags =
      cli::FlagValues(EqpropProgram("//eqprop:train"));
  record_options.directory.resumed_from = start.file;
  record_options.title = Title(options);
  record_options.subtitle =
      "Laborieux et al. 2021, Scaling Equilibrium Propagation to Deep ConvNets "
      "by Drastically Reducing Its Gradient Estimator Bias";
  record_options.epochs = options.epochs;
  record_options.batches = batches;
  ALTPROP_ASSIGN_OR_RETURN(
      std::unique_ptr<Record> record,
      Record::Create(std::move(record_options), options.run, at));
  if (authors_files) {
    ALTPROP_RETURN_IF_ERROR(WriteHyperparameters(record->path(), options));
  }
  return record;
}

absl::Status LogActivity(Record& record, const Position& at,
                         const State& free) {
  for (size_t layer = 0; layer < free.size(); ++layer) {
    ALTPROP_RETURN_IF_ERROR(record.directory().LogHistogram(
        absl::StrCat("activity of layer ", layer + 1), at.step, free[layer]));
  }
  return absl::OkStatus();
}

void SetConvergence(Record& record, const Position& at,
                    const std::vector<double>& residuals) {
  training::Chart chart;
  chart.title = "Convergence of the free phase: log10 of the largest change";
  chart.x_title = "time step";
  training::Curve curve;
  curve.name = absl::StrCat("epoch ", at.epoch + 1);
  for (size_t t = 0; t < residuals.size(); ++t) {
    curve.points.push_back({static_cast<double>(t + 1),
                            std::log10(residuals[t]),
                            absl::StrFormat("%.2e", residuals[t])});
  }
  chart.curves = {std::move(curve)};
  record.directory().SetChart(std::move(chart));
}

training::MetricValues EpochValues(double learning_rate,
                                   const std::vector<double>& angles) {
  training::MetricValues values = {{"learning_rate", learning_rate}};
  for (size_t j = 0; j < angles.size(); ++j) {
    values.emplace_back(absl::StrCat("angle_", j), angles[j]);
  }
  return values;
}

}  // namespace altprop::eqprop
