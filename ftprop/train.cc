// //ftprop:train: trains a network of hard thresholds by feasible target
// propagation.

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/cli/main.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/finite.h"
#include "common/training/options.h"
#include "common/training/stop.h"
#include "ftprop/data.h"
#include "ftprop/diagnostics.h"
#include "ftprop/evaluate_run.h"
#include "ftprop/evaluation.h"
#include "ftprop/run_files.h"
#include "ftprop/setup.h"
#include "ftprop/statistics.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::ftprop {
namespace {

using training::Position;
using training::Record;
using training::RunState;
using training::Score;

// Histograms of training minibatches come from every 200th, as the authors'
// program logs it.
constexpr int64_t kHistogramEvery = 200;
// A step layer hides a pre-activation that is no number (it becomes -1), so
// the gradients are looked at from time to time.
constexpr int64_t kCheckGradientsEvery = 16;

// What a run trains with, and where it stands.
struct Run {
  const Options& o;
  const Sources& data;
  const Network& network;
  std::vector<at::Tensor> parameters;
  training::Optimizer& optimizer;
  Position at;
  StatisticsProbe* probe;  // none without --layer_statistics
  Diagnostics diagnostics;
  Record& record;
  const training::StopSignal& stop;
};

absl::Status CheckGradients(const Run& run,
                            const std::vector<at::Tensor>& gradients) {
  const auto& named = run.network.state.parameters();
  for (size_t i = 0; i < gradients.size(); ++i) {
    ALTPROP_RETURN_IF_ERROR(training::CheckFinite(
        absl::StrCat("the gradient's sum of ", named[i].first),
        gradients[i].sum().item().toDouble(), run.at.epoch + 1,
        run.at.step + 1));
  }
  return absl::OkStatus();
}

// One minibatch: forward with hard thresholds, the output loss, backward by
// target propagation (threshold.h), one step of the optimizer.
absl::Status TrainMinibatch(Run& run) {
  const Options& o = run.o;
  ALTPROP_ASSIGN_OR_RETURN(const data::Batch batch,
                           run.data.train->Get(run.at.epoch, run.at.batch));
  const at::Tensor x =
      NetworkInput(o.data, batch, /*training=*/true,
                   training::DtypeOf(o.run.precision), o.run.device);
  const at::Tensor labels = batch.labels.to(o.run.device);

  std::vector<at::Tensor> inputs, outputs;
  Pass pass = PassOf(o, /*training=*/true, run.at.step);
  const int64_t batches = run.data.train->batches_per_epoch();
  const bool histograms =
      ((run.at.epoch + 1) * batches + run.at.batch) % kHistogramEvery == 0 &&
      run.diagnostics.Wants("train", run.at.epoch, run.at.batch);
  if (histograms) {
    pass.inputs = &inputs;
    pass.outputs = &outputs;
  }
  const at::Tensor logits = Forward(run.network, x, pass);
  const at::Tensor loss = OutputLoss(o.loss, logits, labels);
  const Score score = ScoreOf(loss.item().toDouble(), logits, labels);
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite(
      "loss", score.loss(), run.at.epoch + 1, run.at.step + 1));
  const auto gradients = torch::autograd::grad({loss}, run.parameters);
  if (run.at.step % kCheckGradientsEvery == 0) {
    ALTPROP_RETURN_IF_ERROR(CheckGradients(run, gradients));
  }
  run.optimizer.Step(gradients);

  ++run.at.batch;
  ++run.at.step;
  run.at.running += score;
  if (histograms) {
    run.diagnostics.Take(inputs, outputs);
    ALTPROP_RETURN_IF_ERROR(
        run.diagnostics.Log("train", run.at.step, run.record.directory()));
  }
  return run.record.Minibatch(run.at, score);
}

absl::Status Save(const Run& run, absl::string_view name) {
  // --no-save: only what --test-final-model asks for, in a temporary folder.
  if (!run.o.save && !(name == "best.pt" && run.o.test_final_model)) {
    return absl::OkStatus();
  }
  return training::SaveFinite(
      run.record.File(name), run.network.state.entries(), run.at.step,
      ToCheckpoint(run.o, run.network, run.optimizer, run.at, run.probe));
}

// Leaves a run that a signal ended so that it can go on.
absl::Status Interrupt(const Run& run) {
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  const std::string where = absl::StrCat("after step ", run.at.step);
  ALTPROP_RETURN_IF_ERROR(run.record.Report(RunState::kStopped, where));
  return InterruptedError(
      run.stop.Requested(),
      run.o.save ? absl::StrCat("stopped ", where, "; --resume=",
                                run.record.File("checkpoint.pt"), " goes on")
                 : absl::StrCat("stopped ", where));
}

// A line of metrics per layer: the split is the layer's name, so the report
// draws a curve for each.
absl::Status LogStatistics(Run& run) {
  if (run.probe == nullptr) return absl::OkStatus();
  const bool bf16 = PassOf(run.o, false, 0).bf16;
  for (const LayerStatistics& s : run.probe->Measure(run.network, bf16)) {
    training::MetricsLine line;
    line.split = s.layer;
    line.epoch = run.at.epoch + 1;
    line.step = run.at.step;
    if (s.disagreement) {
      line.values.emplace_back("target_disagreement", *s.disagreement);
    }
    if (s.flips) line.values.emplace_back("flipped", *s.flips);
    line.values.emplace_back("saturated", s.saturated);
    ALTPROP_RETURN_IF_ERROR(run.record.directory().Log(std::move(line)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Score> EvaluateSplit(Run& run, const std::string& split,
                                    Source& source) {
  ALTPROP_ASSIGN_OR_RETURN(
      const Score score,
      Evaluate(run.o, run.network, source, run.stop,
               run.diagnostics.Observer(split, run.at.epoch)));
  ALTPROP_RETURN_IF_ERROR(
      run.diagnostics.Log(split, run.at.epoch + 1, run.record.directory()));
  return score;
}

// The evaluations, the logs, the best and the last checkpoint, the report.
absl::Status EndEpoch(Run& run) {
  std::vector<std::pair<std::string, Score>> evaluations;
  for (const auto& [split, source] :
       {std::pair{"val", run.data.validation.get()},
        std::pair{"test", run.o.plot_test ? run.data.test.get() : nullptr}}) {
    if (source == nullptr) continue;
    ALTPROP_ASSIGN_OR_RETURN(const Score score,
                             EvaluateSplit(run, split, *source));
    evaluations.emplace_back(split, score);
  }
  ALTPROP_RETURN_IF_ERROR(run.record.Epoch(
      run.at, {{"learning_rate", run.optimizer.groups().front().learning_rate}},
      evaluations));
  ALTPROP_RETURN_IF_ERROR(LogStatistics(run));
  run.at.NextEpoch();
  if (run.data.validation != nullptr &&
      run.at.IsBest(SelectionScore(run.o.data.spec, run.network.spec.classes,
                                   evaluations.front().second))) {
    // Before checkpoint.pt: what that one promises is then on the disk.
    ALTPROP_RETURN_IF_ERROR(Save(run, "best.pt"));
  }
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  return run.record.ReportEpoch(run.at);
}

// The training loop. It begins wherever `run.at` stands.
absl::Status Train(Run& run) {
  const int64_t last = run.o.run.max_steps, every = run.o.run.checkpoint_every;
  const int64_t batches = run.data.train->batches_per_epoch();
  const auto more = [&] { return last == 0 || run.at.step < last; };
  bool saved = false;  // as it stands
  while (run.at.epoch < run.o.epochs && more()) {
    run.optimizer.set_learning_rate(0, LearningRate(run.o, run.at.epoch));
    while (run.at.batch < batches && more()) {
      ALTPROP_RETURN_IF_ERROR(TrainMinibatch(run));
      if (run.stop.Requested() != 0) return Interrupt(run);
      if (every > 0 && run.at.step % every == 0) {
        ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
      }
    }
    if (run.at.batch < batches) return Save(run, "checkpoint.pt");
    const absl::Status ended = EndEpoch(run);
    if (absl::IsCancelled(ended)) return Interrupt(run);
    ALTPROP_RETURN_IF_ERROR(ended);
    saved = true;
  }
  return saved ? absl::OkStatus() : Save(run, "checkpoint.pt");
}

// --test-final-model: the best weights on the validation set, which best.pt
// holds whether this process wrote it or an earlier one, else the last.
absl::Status TestFinalModel(Run& run) {
  std::string which = "last";
  if (run.data.validation != nullptr && run.at.best_epoch > 0) {
    const std::string file = run.record.File("best.pt");
    ALTPROP_ASSIGN_OR_RETURN(const training::Value best,
                             training::LoadCheckpoint(file));
    ALTPROP_RETURN_IF_ERROR(LoadWeights(best, file, run.network));
    which = absl::StrCat("best, of epoch ", run.at.best_epoch);
  }
  ALTPROP_ASSIGN_OR_RETURN(
      const Score score,
      Evaluate(run.o, run.network, *run.data.test, run.stop));
  std::cout << "final model (" << which << "): " << ScoreText("test", score)
            << std::flush;
  training::MetricsLine line;
  line.split = "final_test";
  line.epoch = run.at.epoch;
  line.step = run.at.step;
  line.values = {{"loss", score.loss()},
                 {"accuracy", score.accuracy()},
                 {"accuracy5", score.accuracy5()}};
  return run.record.directory().Log(std::move(line));
}

// The best of each curve so far, with its epoch.
void PrintBest(const std::vector<training::MetricsLine>& lines) {
  for (const char* split : {"val", "test"}) {
    const training::MetricsLine* best = nullptr;
    double accuracy = -1;
    for (const training::MetricsLine& line : lines) {
      if (line.split != split) continue;
      for (const auto& [name, value] : line.values) {
        if (name != "accuracy" || value <= accuracy) continue;
        accuracy = value;
        best = &line;
      }
    }
    if (best == nullptr) continue;
    std::cout << "best " << split << " accuracy " << accuracy << " after epoch "
              << best->epoch << "\n";
  }
}

absl::Status Finish(Run& run) {
  PrintBest(run.record.directory().lines());
  if (!run.o.run.export_to.empty()) {
    ALTPROP_RETURN_IF_ERROR(
        ExportNetwork(run.o.run.export_to, run.o, run.network));
  }
  if (run.o.test_final_model) ALTPROP_RETURN_IF_ERROR(TestFinalModel(run));
  ALTPROP_RETURN_IF_ERROR(run.record.Report(
      RunState::kFinished, absl::StrCat("after ", run.at.step, " steps")));
  if (run.o.save) {
    std::cout << "run directory: " << run.record.path()
              << "  report: " << run.record.File("report.html") << std::endl;
  }
  return absl::OkStatus();
}

// The first samples of the training set, as they are.
absl::StatusOr<std::unique_ptr<StatisticsProbe>> MakeProbe(
    const Options& o, const Sources& data, const Network& network,
    const training::Start& start) {
  if (!o.layer_statistics) return nullptr;
  ALTPROP_ASSIGN_OR_RETURN(data::Batch batch, data.train_in_order->Get(0, 0));
  const int64_t count = std::min(kProbeSamples, batch.labels.size(0));
  batch.images = batch.images.narrow(0, 0, count);
  batch.sample_ids = batch.sample_ids.narrow(0, 0, count);
  auto probe = std::make_unique<StatisticsProbe>(
      NetworkInput(o.data, batch, /*training=*/false,
                   training::DtypeOf(o.run.precision), o.run.device),
      batch.labels.narrow(0, 0, count).to(o.run.device), o.loss);
  if (const training::Value* outputs = start.checkpoint.Find("outputs")) {
    ALTPROP_RETURN_IF_ERROR(
        Annotate(probe->LoadState(*outputs, network), start.file));
  }
  return probe;
}

absl::StatusOr<Position> StartPosition(const training::Start& start,
                                       const Options& o, int64_t batches) {
  if (!start.resumes()) return Position();
  const absl::StatusOr<Position> read =
      training::ReadPosition(start.checkpoint);
  if (!read.ok()) return Annotate(read.status(), start.file);
  ALTPROP_RETURN_IF_ERROR(training::CheckPosition(
      start.file, *read, absl::StrCat("--batch=", o.data.batch), batches));
  return read;
}

absl::Status TrainRun(const Options& o, const training::Start& start) {
  ALTPROP_ASSIGN_OR_RETURN(const Sources data, OpenData(o.data));
  ALTPROP_RETURN_IF_ERROR(CheckLastBatch(o, data.train->size()));
  ALTPROP_ASSIGN_OR_RETURN(const Network network,
                           BuildNetwork(o, start, data.classes));
  training::Optimizer optimizer = MakeOptimizer(o, network);
  ALTPROP_RETURN_IF_ERROR(training::LoadOptimizer(start, optimizer));
  const int64_t batches = data.train->batches_per_epoch();
  ALTPROP_ASSIGN_OR_RETURN(const Position at, StartPosition(start, o, batches));
  ALTPROP_ASSIGN_OR_RETURN(const std::unique_ptr<StatisticsProbe> probe,
                           MakeProbe(o, data, network, start));
  // From here on a signal ends a run that can go on; a download it just ends.
  const training::StopSignal stop;
  ALTPROP_ASSIGN_OR_RETURN(const RunFiles files,
                           CreateRunFiles(o, start, at, batches));
  Run run{o,
          data,
          network,
          {},
          optimizer,
          at,
          probe.get(),
          Diagnostics(o, network),
          *files.record,
          stop};
  for (const auto& [name, tensor] : network.state.parameters()) {
    run.parameters.push_back(tensor);
  }

  absl::Status trained = Train(run);
  if (absl::IsCancelled(trained)) return trained;
  if (trained.ok()) trained = Finish(run);
  if (!trained.ok()) {
    // The first error is the one to tell.
    run.record.Report(RunState::kStopped, trained.message()).IgnoreError();
  }
  return trained;
}

absl::Status Main(const cli::ParsedArguments& arguments) {
  ALTPROP_ASSIGN_OR_RETURN(const training::Start start, FindStart());
  ALTPROP_ASSIGN_OR_RETURN(
      const Options options,
      OptionsWithStart(arguments, start, /*training=*/true));
  if (options.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(options.run);
  if (!options.test_model.empty()) {
    return EvaluateRun(options, start, /*validation=*/false);
  }
  return TrainRun(options, start);
}

}  // namespace
}  // namespace altprop::ftprop

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv,
                            altprop::ftprop::FtpropProgram("//ftprop:train"),
                            altprop::ftprop::Main);
}
