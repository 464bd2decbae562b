#include "iterbin/train.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "ATen/ops/frexp.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/cli/parse.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/finite.h"
#include "common/training/record.h"
#include "common/training/safetensors.h"
#include "common/training/stop.h"
#include "iterbin/data.h"
#include "iterbin/evaluation.h"
#include "iterbin/perceptron.h"
#include "iterbin/run_log.h"
#include "iterbin/score.h"
#include "iterbin/switch_chart.h"

namespace altprop::iterbin {
namespace {

using training::MetricValues;
using training::RunState;
using training::Score;

// What a run trains with, and where it stands.
struct Run {
  const Options& o;
  const Splits& splits;
  State& state;
  training::Record& record;
  RunLog& log;
  const training::StopSignal& stop;
  at::ScalarType operands;
  bool written_out;  // PerceptronGradients, not LossGradients
  int64_t batches;   // of an epoch
};

// ---- Files ----

absl::Status Save(const Run& run, absl::string_view name) {
  return training::SaveFinite(run.record.File(name),
                              run.state.network.entries(), run.state.at.step,
                              ToCheckpoint(run.o, run.state));
}

// The authors' files: accuracy_test-3.tar, loss_test-3.tar, last-10.tar.
absl::Status SaveAuthors(const Run& run, absl::string_view name, int64_t epoch,
                         double metric) {
  return training::SaveCheckpoint(
      run.record.File(absl::StrCat(name, "-", epoch, ".tar")),
      ToAuthorsCheckpoint(run.o, run.state, epoch, metric));
}

// Leaves a run that a signal ended so that it can go on.
absl::Status Interrupt(const Run& run) {
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  const std::string where = absl::StrCat("after step ", run.state.at.step);
  ALTPROP_RETURN_IF_ERROR(run.record.Report(RunState::kStopped, where));
  return InterruptedError(
      run.stop.Requested(),
      absl::StrCat("stopped ", where, "; --resume=",
                   run.record.File("checkpoint.pt"), " goes on"));
}

// ---- The schedule ----

// The status lines, in the order of the list also where it is gone through from
// its end. `epoch` 0: the model has just been made.
void PrintFlags(const Options& o, const State& s, const Flags& binary,
                int64_t epoch, RunLog& log) {
  if (!o.uses_sgd()) log.Print(absl::StrCat("Epoch: ", epoch));
  const LayerOrder list = o.reverse ? Reversed(s.order) : s.order;
  for (const std::string& line : FlagLines(s.network, list, binary)) {
    log.Print(line);
  }
}

void PrintSchedule(const Run& run, int64_t epoch) {
  const State& s = run.state;
  if (!run.o.binary_capable()) return;
  if (PastTheEnd(static_cast<int64_t>(s.order.size()), epoch - 1,
                 run.o.epochs_per_layer)) {
    run.log.Print("All already binarized");
  }
  PrintFlags(run.o, s, s.binary, epoch, run.log);
}

void BeginEpoch(Run& run) {
  State& s = run.state;
  const int64_t epoch = s.at.epoch + 1;
  s.optimizer.set_learning_rate(0, LearningRate(run.o, s, epoch));
  s.binary = FlagsOfEpoch(run.o, s, s.at.epoch);
  if (s.at.batch > 0) return;  // resumed in its middle
  s.signs = SignsOf(s.network.masters());
  PrintSchedule(run, epoch);
  run.log.Print(absl::StrCat("Logdir ", run.record.path()));
  run.log.Print(absl::StrCat("Model ", run.o.model));
}

// ---- Training ----

// Forward with effective weights, backward, the update of the masters.
absl::Status TrainMinibatch(Run& run, const Pass& pass) {
  State& s = run.state;
  const Minibatch batch =
      GetBatch(run.o, run.splits.train, pass, run.o.batch_size, s.at.batch);
  const Gradients result =
      run.written_out
          ? PerceptronGradients(s.network, s.binary, batch.x, batch.labels)
          : LossGradients(s.network, s.binary, batch.x, batch.labels,
                          run.operands);
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite("loss", result.loss,
                                                s.at.epoch + 1, s.at.step + 1));
  if (run.o.binary_capable() && run.o.semantics == Semantics::kReference &&
      s.at.batch + 1 == run.batches) {
    s.last = RememberForward(s.network.masters(), s.binary);
  }
  s.optimizer.Step(result.gradients);

  const Score score = ScoreOf(result.output, batch.labels, result.loss);
  if (s.at.batch % run.o.log_interval == 0) {
    run.log.Print(StepLine(s.at.epoch + 1, s.at.batch, run.batches,
                           score.samples, run.splits.train.size(),
                           result.loss));
  }
  ++s.at.batch;
  ++s.at.step;
  s.at.running += score;
  return run.record.Minibatch(s.at, score);
}

// ---- Evaluation ----

// What an evaluation of `split` found, on stdout; updates its bests.
absl::Status Tell(Run& run, const std::string& split, const Evaluation& e,
                  Best& best) {
  const int64_t epoch = run.state.at.epoch + 1;
  const Score& score = e.score;
  run.log.Print(absl::StrFormat(
      "Prefix %s/, Average loss: %g, Accuracy: %d/%d (%.4f%%), Duration: %.4f "
      "seconds",
      split, score.loss(), score.correct, score.samples, 100 * score.accuracy(),
      e.seconds));
  if (score.accuracy() > best.accuracy) {
    best.accuracy = score.accuracy();
    best.accuracy_epoch = epoch;
    run.log.Print(absl::StrFormat("Better accuracy_%s %.4f at epoch %d", split,
                                  best.accuracy, epoch));
    if (run.o.save_progress) {
      ALTPROP_RETURN_IF_ERROR(SaveAuthors(run, absl::StrCat("accuracy_", split),
                                          epoch, best.accuracy));
    }
  }
  if (score.loss() < best.loss) {
    best.loss = score.loss();
    best.loss_epoch = epoch;
    run.log.Print(absl::StrFormat("Better loss_%s %.4f at epoch %d", split,
                                  best.loss, epoch));
    if (run.o.save_progress) {
      ALTPROP_RETURN_IF_ERROR(
          SaveAuthors(run, absl::StrCat("loss_", split), epoch, best.loss));
    }
  }
  return absl::OkStatus();
}

training::MetricsLine Line(const Run& run, const std::string& split,
                           const Evaluation& e, const Best& best) {
  training::MetricsLine line;
  line.split = split;
  line.epoch = run.state.at.epoch + 1;
  line.step = run.state.at.step;
  line.values = {
      {"loss", e.score.loss()},          {"accuracy", e.score.accuracy()},
      {"error", 1 - e.score.accuracy()}, {"mean_loss", e.mean_loss},
      {"best_accuracy", best.accuracy},  {"best_error", 1 - best.accuracy},
      {"best_loss", best.loss}};
  if (run.o.binary_capable()) {
    line.values.emplace_back("weight/max", e.weights.max);
    line.values.emplace_back("weight/min", e.weights.min);
    line.values.emplace_back("weight/num_zeros", e.weights.num_zeros);
    line.values.emplace_back("weight/num_binary", e.weights.num_binary);
  }
  return line;
}

// `number`: of the pass in the epoch (MakePass).
absl::StatusOr<Evaluation> EvaluateSplit(const Run& run,
                                         const std::string& split,
                                         int64_t number) {
  const Pass pass =
      MakePass(run.o, run.splits, split, run.state.at.epoch, number);
  return Evaluate(run.o, run.state.network, run.state.binary,
                  run.splits.Named(split), pass, BatchSizeOf(run.o, split),
                  run.stop);
}

// The evaluations of an epoch, with --test_training the second one.
struct Evaluations {
  Evaluation evaluated, trained;
};

absl::StatusOr<Evaluations> EvaluateEpoch(Run& run) {
  State& s = run.state;
  const bool adopts = !s.last.empty();
  if (adopts) {
    run.log.Print("test_epoch::restore_binary_weight");
    AdoptForward(s.last, s.network.masters());
  }
  Evaluations result;
  ALTPROP_ASSIGN_OR_RETURN(result.evaluated,
                           EvaluateSplit(run, run.o.evaluated_split(), 1));
  if (run.o.test_training) {
    ALTPROP_ASSIGN_OR_RETURN(result.trained, EvaluateSplit(run, "train", 2));
  }
  if (run.o.binary_capable()) {
    run.log.Print("test_epoch::report_weight_stats");
  }
  if (adopts) run.log.Print("test_epoch::restore_full_precision");
  return result;
}

// ---- Metrics and histograms ----

absl::Status LogParameters(const Run& run) {
  training::RunDirectory& to = run.record.directory();
  const int64_t step = run.state.at.step;
  for (const auto& [name, tensor] : run.state.network.parameters()) {
    const auto [mantissa, exponent] = at::frexp(tensor);
    ALTPROP_RETURN_IF_ERROR(to.LogHistogram(name + "/train", step, tensor));
    ALTPROP_RETURN_IF_ERROR(
        to.LogHistogram(name + ".mantissa/train", step, mantissa));
    ALTPROP_RETURN_IF_ERROR(
        to.LogHistogram(name + ".exponent/train", step, exponent));
  }
  return absl::OkStatus();
}

// The layers' weights as the optimizer left them, or as they were evaluated.
absl::Status LogWeights(const Run& run, absl::string_view when,
                        const std::vector<at::Tensor>& weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    ALTPROP_RETURN_IF_ERROR(run.record.directory().LogHistogram(
        absl::StrCat("layer ", i + 1, " (", run.state.network.layers[i].name,
                     ") ", when),
        run.state.at.step, weights[i]));
  }
  return absl::OkStatus();
}

absl::Status LogEpoch(Run& run, const Evaluations& result) {
  State& s = run.state;
  const std::string split = run.o.evaluated_split();
  MetricValues more = {
      {"learning_rate", s.optimizer.groups().front().learning_rate}};
  const std::vector<at::Tensor> weights =
      EffectiveWeights(s.network, s.binary).weight;
  if (run.o.binary_capable()) {
    more.emplace_back("binary_layers",
                      std::count(s.binary.begin(), s.binary.end(), true));
    more.emplace_back("sign_flips", FlippedShare(s.signs, weights, s.binary));
    ALTPROP_RETURN_IF_ERROR(LogWeights(run, "after binarization", weights));
  }
  ALTPROP_RETURN_IF_ERROR(run.record.Epoch(s.at, more, {}));
  ALTPROP_RETURN_IF_ERROR(Tell(run, split, result.evaluated, s.evaluated));
  ALTPROP_RETURN_IF_ERROR(run.record.directory().Log(
      Line(run, split, result.evaluated, s.evaluated)));
  if (!run.o.test_training) return absl::OkStatus();
  ALTPROP_RETURN_IF_ERROR(Tell(run, "train", result.trained, s.trained));
  return run.record.directory().Log(
      Line(run, "train_evaluation", result.trained, s.trained));
}

// ---- The loop ----

absl::Status EndEpoch(Run& run) {
  State& s = run.state;
  if (run.o.record_histogram) ALTPROP_RETURN_IF_ERROR(LogParameters(run));
  if (run.o.binary_capable()) {
    ALTPROP_RETURN_IF_ERROR(
        LogWeights(run, "before binarization", s.network.masters()));
  }
  ALTPROP_ASSIGN_OR_RETURN(const Evaluations result, EvaluateEpoch(run));
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite("evaluation loss",
                                                result.evaluated.score.loss(),
                                                s.at.epoch + 1, s.at.step));
  ALTPROP_RETURN_IF_ERROR(LogEpoch(run, result));
  if (run.o.binary_capable()) {
    run.record.directory().SetChart(
        SwitchChart(run.o, s, run.record.directory().lines()));
  }
  s.last.clear();
  s.at.NextEpoch();
  if (s.at.IsBest(result.evaluated.score)) {
    // Before checkpoint.pt: what that one promises is then on the disk.
    ALTPROP_RETURN_IF_ERROR(Save(run, "best.pt"));
  }
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  return run.record.ReportEpoch(s.at);
}

// After `state.at.epoch` epochs.
bool Finished(const Options& o, const State& s) {
  if (s.at.epoch == 0 || s.at.batch > 0) return false;
  if (o.patience == 0) return s.at.epoch >= o.epochs;
  return s.at.epoch - s.evaluated.accuracy_epoch >= o.patience;
}

// It begins wherever the state stands.
absl::Status Train(Run& run) {
  training::Position& at = run.state.at;
  const int64_t last = run.o.run.max_steps, every = run.o.run.checkpoint_every;
  const auto more = [&] { return last == 0 || at.step < last; };
  while (!Finished(run.o, run.state) && (more() || at.batch == run.batches)) {
    BeginEpoch(run);
    const absl::Time begin = absl::Now();
    const Pass pass = MakePass(run.o, run.splits, "train", at.epoch, 0);
    while (at.batch < run.batches && more()) {
      ALTPROP_RETURN_IF_ERROR(TrainMinibatch(run, pass));
      if (run.stop.Requested() != 0) return Interrupt(run);
      if (every > 0 && at.step % every == 0) {
        ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
      }
    }
    if (at.batch < run.batches) break;  // --max_steps
    run.log.Print(absl::StrFormat("Epoch duration: %.4f seconds",
                                  absl::ToDoubleSeconds(absl::Now() - begin)));
    const absl::Status ended = EndEpoch(run);
    if (absl::IsCancelled(ended)) return Interrupt(run);
    ALTPROP_RETURN_IF_ERROR(ended);
  }
  return Save(run, "checkpoint.pt");
}

// ---- Before and after ----

void PrintStart(const Options& o, const Splits& splits, const State& state,
                RunLog& log) {
  log.Print(absl::StrCat("Setting all seeds to ", o.run.seed));
  log.Print("args:");
  for (const auto& [name, value] : cli::FlagValues(MainProgram())) {
    log.Print(absl::StrCat("  ", name, " ", value));
  }
  log.Print(absl::StrCat("Hardware: ", o.run.device.str()));
  log.Print(absl::StrCat("Semantics: ", SemanticsName(o.semantics)));
  if (o.binary_capable()) {
    log.Print(absl::StrCat("Loading layers from ", o.layers_indices, "..."));
  }
  if (o.mode == Mode::kAllBinary) {
    if (!o.uses_sgd()) log.Print("layer_init() binarize_all()");
    PrintFlags(o, state, Flags(state.network.layers.size(), true), 0, log);
  }
  for (const std::string& line : LayerLines(state.network)) log.Print(line);
  if (o.dataset == "cifar10") {
    log.Print(absl::StrCat("Loading from ", o.dataset_indices, "..."));
  }
  log.Print(absl::StrCat("Dataset splits ", splits.train.size(), "/",
                         splits.validation.size(), "/", splits.test.size()));
}

// --load_last: the test set as epoch 0. It decides nothing, but takes its
// random numbers.
absl::Status EvaluateLoaded(const Options& o, const Splits& splits, State& s,
                            const training::StopSignal& stop, RunLog& log) {
  if (s.base_rate != o.learning_rate) {
    log.Print(absl::StrFormat(
        "The optimizer in %s works at the rate %g, which holds; --lr=%g",
        o.load_last_file, s.base_rate, o.learning_rate));
  }
  if (o.uses_sgd() && s.momentum != o.momentum) {
    log.Print(absl::StrFormat(
        "The optimizer in %s has the momentum %g, which holds; --momentum=%g",
        o.load_last_file, s.momentum, o.momentum));
  }
  const Flags flags(s.network.layers.size(), o.mode == Mode::kAllBinary);
  ALTPROP_ASSIGN_OR_RETURN(
      const Evaluation e,
      Evaluate(o, s.network, flags, splits.test,
               MakePass(o, splits, "test", 0, -1), o.test_batch_size, stop));
  log.Print(absl::StrFormat("Epoch 0: test accuracy %.4f%%",
                            100 * e.score.accuracy()));
  return absl::OkStatus();
}

absl::Status PrintEnd(Run& run, absl::Time begin) {
  const Best& best = run.state.evaluated;
  if (best.accuracy_epoch > 0) {
    run.log.Print(absl::StrFormat("Best accuracy %.4f%% at epoch %d",
                                  100 * best.accuracy, best.accuracy_epoch));
  }
  run.log.Print(absl::StrFormat("Best loss %.4g at epoch %d", best.loss,
                                best.loss_epoch));
  if (run.o.test_training) {
    const Best& trained = run.state.trained;
    run.log.Print(absl::StrFormat("Best training accuracy %.4f%% at epoch %d",
                                  100 * trained.accuracy,
                                  trained.accuracy_epoch));
    run.log.Print(absl::StrFormat("Best training loss %.4g at epoch %d",
                                  trained.loss, trained.loss_epoch));
  }
  if (run.o.save_last) {
    ALTPROP_RETURN_IF_ERROR(
        SaveAuthors(run, "last", run.state.at.epoch, best.loss));
  }
  run.log.Print(absl::StrFormat("Script duration: %.4f hours",
                                absl::ToDoubleHours(absl::Now() - begin)));
  return absl::OkStatus();
}

training::RecordOptions RecordOptionsOf(const Options& o,
                                        const training::Start& start,
                                        const std::string& name,
                                        int64_t batches) {
  training::RecordOptions options;
  options.directory.method = "iterbin";
  options.directory.name =
      name.empty() ? absl::StrCat(o.dataset, "-", o.model) : name;
  options.directory.flags = cli::FlagValues(MainProgram());
  options.directory.resumed_from = start.file;
  options.directory.files = {"log.txt", "*.tar", "sensitivity.json"};
  options.title = absl::StrCat("Iterative layer binarization: ", o.model,
                               " on ", o.dataset);
  options.subtitle =
      "Lan 2021, Iterative Training: Finding Binary Weight Deep Neural "
      "Networks with Layer Binarization";
  options.epochs = o.epochs;
  options.batches = batches;
  return options;
}

}  // namespace

absl::StatusOr<Outcome> TrainRun(const Options& o, const training::Start& start,
                                 const std::string& name) {
  const absl::Time begin = absl::Now();
  ALTPROP_ASSIGN_OR_RETURN(State state, MakeState(o, start));
  ALTPROP_ASSIGN_OR_RETURN(const Splits splits, LoadSplits(o));
  // From here on a signal ends a run that can go on; a download it just ends.
  const training::StopSignal stop;
  const int64_t batches = Batches(splits.train, o.batch_size);
  ALTPROP_RETURN_IF_ERROR(training::CheckPosition(
      start.file, state.at, absl::StrCat("--batch_size=", o.batch_size),
      batches));
  ALTPROP_ASSIGN_OR_RETURN(
      const std::unique_ptr<training::Record> record,
      training::Record::Create(RecordOptionsOf(o, start, name, batches), o.run,
                               state.at));
  RunLog log;
  log.Open(record->File("log.txt"), start.resumes());
  PrintStart(o, splits, state, log);
  if (o.load_last && !start.resumes()) {
    ALTPROP_RETURN_IF_ERROR(EvaluateLoaded(o, splits, state, stop, log));
  }
  Run run{o,
          splits,
          state,
          *record,
          log,
          stop,
          training::OperandDtypeOf(o.run.precision),
          o.fused && IsPerceptron(state.network) &&
              o.run.precision != training::Precision::kBf16,
          batches};

  absl::Status trained = Train(run);
  if (absl::IsCancelled(trained)) return trained;
  if (!trained.ok()) {
    // The first error is the one to tell.
    record->Report(RunState::kStopped, trained.message()).IgnoreError();
    return trained;
  }
  ALTPROP_RETURN_IF_ERROR(PrintEnd(run, begin));
  if (!o.run.export_to.empty()) {
    ALTPROP_RETURN_IF_ERROR(training::ExportSafetensors(
        o.run.export_to, state.network.entries(),
        {{"format", "pt"}, {"method", "iterbin"}, {"model", o.model}}));
  }
  ALTPROP_RETURN_IF_ERROR(record->Report(
      RunState::kFinished, absl::StrCat("after ", state.at.step, " steps")));
  return Outcome{record->path(), state.evaluated,
                 state.order.empty() ? 0 : state.order.front()};
}

}  // namespace altprop::iterbin
