// //eqprop:train: trains a network by equilibrium propagation.

#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/cli/main.h"
#include "common/data/loader.h"
#include "common/status.h"
#include "common/training/finite.h"
#include "common/training/options.h"
#include "common/training/stop.h"
#include "eqprop/evaluate_run.h"
#include "eqprop/evaluation.h"
#include "eqprop/phases.h"
#include "eqprop/record.h"
#include "eqprop/setup.h"

namespace altprop::eqprop {
namespace {

using training::RunState;

// What a run trains with, and where it stands.
struct Run {
  const Options& o;
  const data::Dataset& data;
  data::BatchLoader loader;
  const Network& network;
  training::Optimizer& optimizer;
  Position at;
  Record& record;
  const training::StopSignal& stop;
};

// The nudged phases from s*, and the estimate of dl/dtheta from their contrast.
std::vector<at::Tensor> EstimateGradient(const Run& run, const Clamped& input,
                                         const State& free,
                                         const at::Tensor& target) {
  const Options& o = run.o;
  const Dynamics dynamics = TrainingDynamics(o.loss);
  if (o.estimator == Estimator::kSymmetric) {
    const NudgedPair pair =
        NudgedPhases(run.network, input, free, o.nudged_steps, target, o.beta_2,
                     dynamics, o.path);
    return ContrastGradient(input, pair.plus, o.beta_2, pair.minus, -o.beta_2,
                            o.contrast);
  }
  const double sign = o.estimator == Estimator::kRandomSign
                          ? RandomSign(o.run.seed, run.at.step)
                          : 1.0;
  const double beta = sign * o.beta_2;
  const State nudged =
      NudgedPhase(run.network, input, free, o.nudged_steps,
                  NudgeTowards(target, beta), dynamics, o.path);
  return ContrastGradient(input, free, o.beta_1, nudged, beta, o.contrast);
}

// One minibatch: the free phase, its measure, the nudged phases, the update.
absl::Status TrainMinibatch(Run& run) {
  const Options& o = run.o;
  const data::Batch batch = run.loader.Get(run.at.epoch, run.at.batch);
  const Clamped input =
      Clamp(run.network, TrainingInput(o, run.at.epoch, batch));
  const at::Tensor target =
      OneHot(batch.labels, run.network.classes(), input.x);

  const State free =
      FreePhase(run.network, input, o.free_steps, TrainingDynamics(o.loss),
                o.path, NudgeTowards(target, o.beta_1));
  Score score;
  Add(free, target, batch.labels, o.loss, score);
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite(
      "loss", score.loss(), run.at.epoch + 1, run.at.step + 1));
  run.optimizer.Step(EstimateGradient(run, input, free, target));

  ++run.at.batch;
  ++run.at.step;
  run.at.running += score;
  if (run.at.batch == run.loader.batches_per_epoch()) {
    ALTPROP_RETURN_IF_ERROR(run.record.Activity(run.at, free));
  }
  return run.record.Minibatch(run.at, score);
}

absl::Status Save(const Run& run, absl::string_view name) {
  return SaveFinite(run.record.File(name), run.o, run.network, run.optimizer,
                    run.at);
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

// The test, the logs, the best and the last checkpoint, the report.
absl::Status EndEpoch(Run& run) {
  ALTPROP_ASSIGN_OR_RETURN(
      const Score test, Evaluate(run.o, run.network, run.data.test, run.stop));
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite("test loss", test.loss(),
                                                run.at.epoch + 1, run.at.step));
  ALTPROP_RETURN_IF_ERROR(run.record.Epoch(
      run.at, test, run.optimizer.groups().front().learning_rate));
  ++run.at.epoch;
  run.at.batch = 0;
  run.at.running = Score();
  if (test.correct > run.at.best_correct) {
    run.at.best_correct = test.correct;
    run.at.best_epoch = run.at.epoch;
    // Before checkpoint.pt: what that one promises is then on the disk.
    ALTPROP_RETURN_IF_ERROR(Save(run, "best.pt"));
  }
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  return run.record.Report(
      RunState::kRunning,
      absl::StrCat("epoch ", run.at.epoch, " of ", run.o.epochs));
}

// The training loop. It begins wherever `run.at` stands.
absl::Status Train(Run& run) {
  const int64_t last = run.o.run.max_steps, every = run.o.run.checkpoint_every;
  const auto more = [&] { return last == 0 || run.at.step < last; };
  while (run.at.epoch < run.o.epochs && more()) {
    SetLearningRates(run.o, run.at.epoch, run.optimizer);
    while (run.at.batch < run.loader.batches_per_epoch() && more()) {
      ALTPROP_RETURN_IF_ERROR(TrainMinibatch(run));
      if (run.stop.Requested() != 0) return Interrupt(run);
      if (every > 0 && run.at.step % every == 0) {
        ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
      }
    }
    if (run.at.batch < run.loader.batches_per_epoch()) break;  // --max_steps
    const absl::Status ended = EndEpoch(run);
    if (absl::IsCancelled(ended)) return Interrupt(run);
    ALTPROP_RETURN_IF_ERROR(ended);
  }
  return Save(run, "checkpoint.pt");
}

absl::Status TrainRun(const Options& o, const Start& start) {
  ALTPROP_ASSIGN_OR_RETURN(const Network network, BuildNetwork(o, start));
  training::Optimizer optimizer = MakeOptimizer(o, network);
  ALTPROP_ASSIGN_OR_RETURN(const Position at,
                           RestoreTraining(start, optimizer));
  ALTPROP_ASSIGN_OR_RETURN(const data::Dataset data, LoadData(o));
  // From here on a signal ends a run that can go on; a download it just ends.
  const training::StopSignal stop;
  const data::BatchLoader loader(data.train, {.batch_size = o.batch_size,
                                              .shuffle = o.run.shuffle,
                                              .seed = o.run.seed});
  ALTPROP_RETURN_IF_ERROR(
      CheckPosition(start, at, o.batch_size, loader.batches_per_epoch()));
  ALTPROP_ASSIGN_OR_RETURN(
      const std::unique_ptr<Record> record,
      Record::Create(o, start, at, loader.batches_per_epoch()));
  Run run{o, data, loader, network, optimizer, at, *record, stop};

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
  ALTPROP_ASSIGN_OR_RETURN(const Start start, FindStart());
  ALTPROP_ASSIGN_OR_RETURN(const Options options,
                           OptionsWithStart(arguments, start));
  if (options.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(options.run);
  return options.todo == Task::kEvaluate ? EvaluateRun(options, start)
                                         : TrainRun(options, start);
}

}  // namespace
}  // namespace altprop::eqprop

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv,
                            altprop::eqprop::EqpropProgram("//eqprop:train"),
                            altprop::eqprop::Main);
}
