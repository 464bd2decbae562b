// //eqprop:train: trains a network by equilibrium propagation.

#include <algorithm>
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
#include "common/training/position.h"
#include "common/training/record.h"
#include "common/training/stop.h"
#include "eqprop/bptt.h"
#include "eqprop/estimate.h"
#include "eqprop/evaluate_run.h"
#include "eqprop/evaluation.h"
#include "eqprop/gradient_check_run.h"
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
  training::Record& record;
  const training::StopSignal& stop;
};

// Ten times an epoch, and after its last minibatch.
bool CheckDue(int64_t batch, const data::BatchLoader& loader) {
  const int64_t batches = loader.batches_per_epoch();
  return batch % std::max<int64_t>(1, batches / 10) == 0 ||
         batch + 1 == batches;
}

// The state by which a minibatch is measured, s* (BPTT: the last state), and
// what backpropagation has already found on the way there.
struct Settled {
  State state;
  std::vector<at::Tensor> bptt_gradient;
};

Settled Settle(const Run& run, const Clamped& input, const at::Tensor& target) {
  const Options& o = run.o;
  const Dynamics dynamics = o.TrainingDynamics();
  if (o.algorithm != Algorithm::kBptt) {
    return {FreePhase(run.network, input, o.free_steps, dynamics, o.path,
                      NudgeTowards(target, o.beta_1), o.relax),
            {}};
  }
  const State start =
      FreePhase(run.network, input, o.free_steps - o.nudged_steps, dynamics,
                o.path, {}, o.relax);
  BpttResult result =
      BpttGradient(run.network, input, start, o.nudged_steps, target, dynamics);
  return {std::move(result.state), std::move(result.gradient)};
}

// The method's update from s*.
void Update(Run& run, const Clamped& input, const at::Tensor& target,
            const Settled& settled) {
  const Options& o = run.o;
  const double sign = o.estimator == Estimator::kRandomSign
                          ? RandomSign(o.run.seed, run.at.step)
                          : 1.0;
  switch (o.algorithm) {
    case Algorithm::kEp:
      run.optimizer.Step(EstimateGradient(run.network, input, settled.state,
                                          target, sign, o.estimate()));
      break;
    case Algorithm::kBptt:
      run.optimizer.Step(settled.bptt_gradient);
      break;
    case Algorithm::kCep:
      (o.continual_as_one ? ContinualUpdatesAsOne : ContinualUpdates)(
          run.network, input.x, settled.state, target, sign, o.estimate(),
          run.optimizer);
      break;
  }
}

// One minibatch: the free phase, its measure, the nudged phases, the update.
absl::Status TrainMinibatch(Run& run) {
  const Options& o = run.o;
  const data::Batch batch = run.loader.Get(run.at.epoch, run.at.batch);
  const at::Tensor x = TrainingInput(o, run.at.epoch, batch);
  const Clamped input = TrainingClamp(o, run.network, x, run.at.step);
  const at::Tensor target = OneHot(batch.labels, run.network.classes(), x);

  const Settled settled = Settle(run, input, target);
  Score score;
  Add(run.network, input, settled.state, target, batch.labels, o.loss, score);
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite(
      "loss", score.loss(), run.at.epoch + 1, run.at.step + 1));
  if (run.at.batch + 1 == run.loader.batches_per_epoch()) {
    // Before the update: the input is clamped to these weights.
    SetConvergence(
        run.record, run.at,
        Residuals(run.network, input, o.free_steps, o.TrainingDynamics()));
  }
  Update(run, input, target, settled);
  if (o.check_theorem && CheckDue(run.at.batch, run.loader)) {
    std::cout << TheoremTable(o, run.network, x, target);
  }

  ++run.at.batch;
  ++run.at.step;
  run.at.running += score;
  if (run.at.batch == run.loader.batches_per_epoch()) {
    ALTPROP_RETURN_IF_ERROR(LogActivity(run.record, run.at, settled.state));
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
  ALTPROP_RETURN_IF_ERROR(
      run.record.Epoch(run.at,
                       EpochValues(run.optimizer.groups().front().learning_rate,
                                   Angles(run.network)),
                       {{"test", test}}));
  run.at.NextEpoch();
  if (run.at.IsBest(test)) {
    // Before checkpoint.pt: what that one promises is then on the disk.
    ALTPROP_RETURN_IF_ERROR(Save(run, "best.pt"));
  }
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  return run.record.ReportEpoch(run.at);
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
  ALTPROP_RETURN_IF_ERROR(training::CheckPosition(
      start.file, at, absl::StrCat("--mbs=", o.batch_size),
      loader.batches_per_epoch()));
  ALTPROP_ASSIGN_OR_RETURN(
      const std::unique_ptr<training::Record> record,
      MakeRecord(o, start, at, loader.batches_per_epoch()));
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
  switch (options.todo) {
    case Task::kEvaluate:
      return EvaluateRun(options, start);
    case Task::kGradientCheck:
      return GradientCheckRun(options, start);
    case Task::kTrain:
      break;
  }
  return TrainRun(options, start);
}

}  // namespace
}  // namespace altprop::eqprop

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv,
                            altprop::eqprop::EqpropProgram("//eqprop:train"),
                            altprop::eqprop::Main);
}
