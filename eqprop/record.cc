#include "eqprop/record.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/status.h"
#include "eqprop/authors_files.h"

namespace altprop::eqprop {
namespace {

using training::MetricsLine;
using training::RunDirectory;

MetricsLine Line(absl::string_view split, const Position& at,
                 const Score& score) {
  MetricsLine line;
  line.split = std::string(split);
  line.epoch = at.epoch + 1;
  line.step = at.step;
  line.values = {{"loss", score.loss()}, {"accuracy", score.accuracy()}};
  return line;
}

std::string Title(const Options& o) {
  const char* const kMethods[] = {"Equilibrium propagation",
                                  "Backpropagation through time",
                                  "Continual equilibrium propagation"};
  return absl::StrCat(kMethods[static_cast<size_t>(o.algorithm)], ": ",
                      ModelName(o.architecture.model), " ",
                      SizesText(o.architecture), " on ", o.dataset);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Record>> Record::Create(const Options& options,
                                                       const Start& start,
                                                       const Position& at,
                                                       int64_t batches) {
  const bool fresh = start.file.empty();
  RunDirectory::Options where;
  where.path = options.run.run_dir;
  if (where.path.empty() && options.save && fresh) {
    where.path = AuthorsFolder(options, absl::Now());
  }
  where.method = "eqprop";
  where.name =
      absl::StrCat(options.dataset, "-", SizesText(options.architecture));
  where.flags = cli::FlagValues(EqpropProgram("//eqprop:train"));
  where.resumed_from = start.file;
  where.resumed_step = at.step;
  auto record = absl::WrapUnique(new Record(options, at.step, batches));
  ALTPROP_ASSIGN_OR_RETURN(record->directory_, RunDirectory::Create(where));
  if (options.save && fresh) {
    ALTPROP_RETURN_IF_ERROR(
        WriteHyperparameters(record->directory_->path(), options));
  }
  return record;
}

absl::Status Record::Minibatch(const Position& at, const Score& minibatch) {
  trained_ += minibatch.samples;
  if (progress_.Due()) {
    training::ProgressState state;
    state.epoch = at.epoch + 1;
    state.epochs = options_.epochs;
    state.step = at.step;
    state.steps = options_.epochs * batches_;
    if (options_.run.max_steps > 0) {
      state.steps = std::min(state.steps, options_.run.max_steps);
    }
    state.samples = trained_;
    state.loss = at.running.loss();
    state.accuracy = at.running.accuracy();
    progress_.Update(state);
  }
  const int64_t every = options_.run.log_every;
  if (every == 0 || at.step % every != 0) return absl::OkStatus();
  return directory_->Log(Line("train", at, minibatch));
}

absl::Status Record::Activity(const Position& at, const State& free) {
  for (size_t layer = 0; layer < free.size(); ++layer) {
    ALTPROP_RETURN_IF_ERROR(directory_->LogHistogram(
        absl::StrCat("activity of layer ", layer + 1), at.step, free[layer]));
  }
  return absl::OkStatus();
}

void Record::Convergence(const Position& at,
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
  directory_->SetChart(std::move(chart));
}

absl::Status Record::Epoch(const Position& at, const Score& test,
                           double learning_rate,
                           const std::vector<double>& angles) {
  // Minibatches take the name "train" where they are logged.
  MetricsLine train = Line(options_.run.log_every > 0 ? "train_epoch" : "train",
                           at, at.running);
  train.values.emplace_back("learning_rate", learning_rate);
  for (size_t j = 0; j < angles.size(); ++j) {
    train.values.emplace_back(absl::StrCat("angle_", j), angles[j]);
  }
  ALTPROP_RETURN_IF_ERROR(directory_->Log(std::move(train)));
  ALTPROP_RETURN_IF_ERROR(directory_->Log(Line("test", at, test)));
  progress_.EndLine(absl::StrFormat(
      "epoch %d/%d  train loss %.4f  accuracy %.2f %%  test loss %.4f  "
      "accuracy %.2f %%",
      at.epoch + 1, options_.epochs, at.running.loss(),
      100 * at.running.accuracy(), test.loss(), 100 * test.accuracy()));
  return absl::OkStatus();
}

absl::Status Record::Report(training::RunState state, absl::string_view text) {
  training::ReportHeader header;
  header.title = Title(options_);
  header.subtitle =
      "Laborieux et al. 2021, Scaling Equilibrium Propagation to Deep ConvNets "
      "by Drastically Reducing Its Gradient Estimator Bias";
  header.state = state;
  header.state_text = std::string(text);
  header.paper_values = options_.run.paper_values;
  return directory_->WriteReport(header);
}

}  // namespace altprop::eqprop
