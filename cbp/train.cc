// //cbp:train: trains a network, in full precision first where asked, and then
// under the constraint that its weights be levels.

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ops/cross_entropy_loss.h"
#include "absl/strings/str_cat.h"
#include "cbp/evaluation.h"
#include "cbp/export_levels.h"
#include "cbp/flags.h"
#include "cbp/images.h"
#include "cbp/learner.h"
#include "cbp/pictures.h"
#include "cbp/setup.h"
#include "common/cli/main.h"
#include "common/status.h"
#include "common/training/finite.h"
#include "common/training/options.h"
#include "common/training/record.h"
#include "common/training/stop.h"

namespace altprop::cbp {
namespace {

using training::MetricValues;
using training::RunState;
using training::Score;

// What a run trains with, and where it stands.
struct Run {
  const Options& o;
  Images& images;
  Network& network;
  Learner& learner;
  training::Position at;
  EpochSums sums;
  training::Record& record;
  const training::StopSignal& stop;

  bool plain() const { return at.epoch < o.PlainEpochs(); }
};

absl::Status Save(const Run& run, absl::string_view name) {
  return training::SaveFinite(
      run.record.File(name), run.network.State(), run.at.step,
      ToCheckpoint(run.o, run.network, run.learner, run.at, run.sums));
}

// Leaves a run that a signal ended so that it can go on.
absl::Status Interrupt(const Run& run) {
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  const std::string where = absl::StrCat("after step ", run.at.step);
  ALTPROP_RETURN_IF_ERROR(run.record.Report(RunState::kStopped, where));
  return InterruptedError(
      run.stop.Requested(),
      absl::StrCat("stopped ", where, "; --resume=",
                   run.record.File("checkpoint.pt"), " goes on"));
}

// From full precision to levels: scales, multipliers, and how well the levels
// do before any training.
absl::Status BeginConstraint(Run& run) {
  ALTPROP_RETURN_IF_ERROR(run.learner.Begin());
  run.at.best_correct = -1;
  run.at.best_epoch = 0;
  ALTPROP_ASSIGN_OR_RETURN(
      const Score score,
      Evaluate(run.o, run.network, *run.images.test, run.stop));
  const Closeness closeness = Measure(run.network.constrained(), *run.o.mode);
  training::MetricsLine line;
  line.split = "start";
  line.epoch = run.at.epoch;
  line.step = run.at.step;
  line.values = {{"loss", score.loss()},
                 {"accuracy", score.accuracy()},
                 {"accuracy5", score.accuracy5()},
                 {"cfs", closeness.cfs},
                 {"cfs_over_s", closeness.cfs_over_s},
                 {"within5", closeness.within5}};
  return run.record.directory().Log(std::move(line));
}

// One minibatch: forward, L = C + sum lambda cs, backward, clip, SGD, clip.
absl::Status TrainMinibatch(Run& run) {
  ALTPROP_ASSIGN_OR_RETURN(const data::Batch batch,
                           run.images.train->Get(run.at.epoch, run.at.batch));
  const at::Tensor labels = batch.labels.to(run.o.run.device);
  const at::Tensor logits =
      run.network.Forward(TrainingInput(run.o, batch), /*training=*/true);
  const at::Tensor loss = at::cross_entropy_loss(logits, labels);
  const double task = loss.to(at::kDouble).item<double>();
  ALTPROP_RETURN_IF_ERROR(
      training::CheckFinite("loss", task, run.at.epoch + 1, run.at.step + 1));

  MetricValues more;
  if (run.plain()) {
    run.learner.PlainStep(
        loss, PlainRate(run.o.mode ? run.o.pretrain_lr : run.o.learning_rate,
                        run.at.epoch, run.o.PlainEpochs()));
  } else {
    const double constraint = run.learner.ConstrainedStep(loss);
    ALTPROP_RETURN_IF_ERROR(training::CheckFinite(
        "constraint", constraint, run.at.epoch + 1, run.at.step + 1));
    run.sums.lagrangian += task + constraint;
    run.sums.constraint += constraint;
    more = {{"C", task}, {"constraint", constraint}, {"L", task + constraint}};
  }
  const Score score = ScoreOf(logits, labels, task);
  ++run.at.batch;
  ++run.at.step;
  run.at.running += score;
  return run.record.Minibatch(run.at, score, more);
}

// The rule of the epoch's end, and what there is to tell of it.
MetricValues EndConstrainedEpoch(Run& run) {
  const double lsum = run.sums.lagrangian;
  const bool updated = run.learner.EndEpoch(lsum);
  const Window& window = run.learner.window();
  const Closeness closeness = Measure(run.network.constrained(), *run.o.mode);
  return {{"constraint", run.sums.constraint /
                             static_cast<double>(run.images.train->batches())},
          {"lsum", lsum},
          {"g", static_cast<double>(window.g)},
          {"u", window.u()},
          {"lr", run.learner.learning_rate()},
          {"p", static_cast<double>(window.p)},
          {"lpre", window.lpre},
          {"updated", updated ? 1.0 : 0.0},
          {"cfs", closeness.cfs},
          {"cfs_over_s", closeness.cfs_over_s},
          {"within5", closeness.within5},
          {"lambda_max", closeness.lambda_max}};
}

std::string EpochFile(const Options& o, int64_t epoch) {
  return absl::StrCat(ModelName(o.architecture.model), "_", QuantName(o), "_",
                      epoch, ".pt");
}

// --keep_checkpoints: this epoch's, and none older than the last K.
absl::Status KeepCheckpoint(const Run& run) {
  if (run.o.keep_checkpoints == 0) return absl::OkStatus();
  const int64_t epoch = run.at.epoch - 1;
  ALTPROP_RETURN_IF_ERROR(Save(run, EpochFile(run.o, epoch)));
  std::remove(run.record.File(EpochFile(run.o, epoch - run.o.keep_checkpoints))
                  .c_str());
  return absl::OkStatus();
}

// The rule, the test, the logs, the checkpoints, the report.
absl::Status EndEpoch(Run& run) {
  // The test first: a signal in it leaves the epoch's end to be done again.
  const bool plain = run.plain();
  ALTPROP_ASSIGN_OR_RETURN(
      const Score test,
      Evaluate(run.o, run.network, *run.images.test, run.stop));
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite("test loss", test.loss(),
                                                run.at.epoch + 1, run.at.step));
  const MetricValues more =
      plain ? MetricValues{{"lr", PlainRate(run.o.mode ? run.o.pretrain_lr
                                                       : run.o.learning_rate,
                                            run.at.epoch, run.o.PlainEpochs())}}
            : EndConstrainedEpoch(run);
  ALTPROP_RETURN_IF_ERROR(run.record.Epoch(run.at, more, {{"test", test}}));
  if (!plain) {
    ALTPROP_RETURN_IF_ERROR(DrawWeights(run.network.constrained(), *run.o.mode,
                                        run.learner.u(), run.at.step,
                                        run.record.directory()));
    ALTPROP_RETURN_IF_ERROR(WriteProgress(
        run.o.PlainEpochs(), run.images.test->size(), run.record.directory()));
  }
  run.at.NextEpoch();
  run.sums = EpochSums();
  // Before checkpoint.pt: what that one promises is then on the disk.
  if (plain && run.at.epoch == run.o.PlainEpochs()) {
    ALTPROP_RETURN_IF_ERROR(Save(run, "full_precision.pt"));
  }
  if (run.at.IsBest(test)) ALTPROP_RETURN_IF_ERROR(Save(run, "best.pt"));
  ALTPROP_RETURN_IF_ERROR(KeepCheckpoint(run));
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  return run.record.ReportEpoch(run.at);
}

// The training loop. It begins wherever `run.at` stands.
absl::Status Train(Run& run) {
  const int64_t last = run.o.run.max_steps, every = run.o.run.checkpoint_every;
  const auto more = [&] { return last == 0 || run.at.step < last; };
  while (more()) {
    // With --epochs=0 too: the start of the constraint is then the result.
    if (run.o.mode && !run.plain() && !run.network.quantized()) {
      const absl::Status begun = BeginConstraint(run);
      if (absl::IsCancelled(begun)) return Interrupt(run);
      ALTPROP_RETURN_IF_ERROR(begun);
    }
    if (run.at.epoch >= run.o.AllEpochs()) break;
    while (run.at.batch < run.images.train->batches() && more()) {
      ALTPROP_RETURN_IF_ERROR(TrainMinibatch(run));
      if (run.stop.Requested() != 0) return Interrupt(run);
      if (every > 0 && run.at.step % every == 0) {
        ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
      }
    }
    if (run.at.batch < run.images.train->batches()) break;  // --max_steps
    const absl::Status ended = EndEpoch(run);
    if (absl::IsCancelled(ended)) return Interrupt(run);
    ALTPROP_RETURN_IF_ERROR(ended);
  }
  return Save(run, "checkpoint.pt");
}

training::RecordOptions HowToRecord(const Options& o,
                                    const training::Start& start,
                                    const Images& images) {
  training::RecordOptions record;
  const std::string model(ModelName(o.architecture.model));
  record.directory.method = "cbp";
  record.directory.name =
      absl::StrCat(o.dataset, "-", model, "-", QuantName(o));
  record.directory.flags = cli::FlagValues(TrainProgram());
  record.directory.resumed_from = start.file;
  record.directory.files = {"progress.txt", "full_precision.pt"};
  constexpr int64_t kMost = 10000;  // names; more epochs may be allowed
  for (int64_t epoch = 0; epoch < std::min(o.AllEpochs(), kMost); ++epoch) {
    record.directory.files.push_back(EpochFile(o, epoch));
  }
  record.title = absl::StrCat("Constrained backpropagation: ", model, ", ",
                              QuantName(o), ", on ", o.dataset);
  record.subtitle =
      "Kim & Jeong 2021, CBP: backpropagation with constraint on weight "
      "precision using a pseudo-Lagrange multiplier method";
  record.epochs = o.AllEpochs();
  record.batches = images.train->batches();
  record.top5 = true;
  return record;
}

// Where training would divide by zero: the variance of a single value.
absl::Status CheckNorms(const Options& o, const Images& images,
                        const Network& network) {
  if (o.batch_size > 1 || o.AllEpochs() == 0) return absl::OkStatus();
  const std::string norm =
      network.SingleValueNorm(images.channels, images.side);
  if (norm.empty()) return absl::OkStatus();
  return FlagError("batch_size", absl::StrCat(o.batch_size),
                   absl::StrCat("the batch norm ", norm,
                                " needs more than one value per channel: must "
                                "be at least 2 with --model=",
                                ModelName(o.architecture.model)));
}

absl::Status TrainRun(const Options& given, const training::Start& start) {
  // From here on a signal ends a run that can go on.
  const training::StopSignal stop;
  ALTPROP_ASSIGN_OR_RETURN(Images images, LoadImages(given, /*train=*/true));
  const Options o = ForImages(given, images);
  Network network = MakeNetwork(o);
  ALTPROP_RETURN_IF_ERROR(CheckNorms(o, images, network));
  Learner learner(network, LearnerOptionsOf(o));
  ALTPROP_RETURN_IF_ERROR(LoadStart(o, start, network, learner));
  training::Position at;
  if (start.resumes()) {
    absl::StatusOr<training::Position> read =
        training::ReadPosition(start.checkpoint);
    if (!read.ok()) return Annotate(read.status(), start.file);
    at = *read;
  }
  if (network.quantized() && at.epoch < o.PlainEpochs()) {
    return FlagError("pretrain_epochs", absl::StrCat(o.pretrain_epochs),
                     absl::StrCat(start.file, " is under the constraint from ",
                                  "an earlier epoch on"));
  }
  ALTPROP_ASSIGN_OR_RETURN(const EpochSums sums, ReadSums(start));
  ALTPROP_RETURN_IF_ERROR(training::CheckPosition(
      start.file, at, absl::StrCat("--batch_size=", o.batch_size),
      images.train->batches()));
  ALTPROP_ASSIGN_OR_RETURN(
      const std::unique_ptr<training::Record> record,
      training::Record::Create(HowToRecord(o, start, images), o.run, at));
  Run run{o, images, network, learner, at, sums, *record, stop};

  absl::Status trained = Train(run);
  if (absl::IsCancelled(trained)) return trained;
  if (!trained.ok()) {
    // The first error is the one to tell.
    record->Report(RunState::kStopped, trained.message()).IgnoreError();
    return trained;
  }
  ALTPROP_RETURN_IF_ERROR(record->Report(
      RunState::kFinished, absl::StrCat("after ", run.at.step, " steps")));
  if (!o.run.export_to.empty()) {
    ALTPROP_RETURN_IF_ERROR(ExportNetwork(o.run.export_to, o, network));
  }
  std::cout << "run directory: " << record->path()
            << "  report: " << record->File("report.html") << std::endl;
  return absl::OkStatus();
}

absl::Status Main(const cli::ParsedArguments& arguments) {
  ALTPROP_ASSIGN_OR_RETURN(const training::RunOptions run,
                           training::RunOptionsFromFlags());
  ALTPROP_ASSIGN_OR_RETURN(const training::Start start,
                           training::ReadStart(run.resume));
  ALTPROP_RETURN_IF_ERROR(training::RestoreFlags(start, arguments));
  ALTPROP_RETURN_IF_ERROR(CheckQuant(start));
  if (!start.resumes()) ALTPROP_RETURN_IF_ERROR(ApplyDefaults(arguments));
  ALTPROP_ASSIGN_OR_RETURN(const Options options,
                           OptionsFromFlags(/*training=*/true));
  if (options.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(options.run);
  return TrainRun(options, start);
}

}  // namespace
}  // namespace altprop::cbp

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv, altprop::cbp::TrainProgram(),
                            altprop::cbp::Main);
}
