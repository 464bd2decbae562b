// //sedona:evaluate: trains a decoupled network greedily, block by block, and
// tests it.

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/cli/main.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/finite.h"
#include "common/training/options.h"
#include "sedona/decoupling.h"
#include "sedona/greedy.h"
#include "sedona/greedy_trainer.h"
#include "sedona/relaxed_trainer.h"
#include "sedona/results.h"
#include "sedona/setup.h"
#include "sedona/supernet.h"
#include "sedona/variables.h"

namespace altprop::sedona {
namespace {

using training::MetricValues;
using training::RunState;
using training::Value;

// One training: what it trains with, and where it stands.
struct Run {
  const Options& o;
  Inputs& inputs;
  int64_t k;
  Network& network;
  Trainer& trainer;
  Position at;
  Value best;  // the model with the lowest validation error; none yet: None
  training::Record& record;
  const training::StopSignal& stop;

  int64_t last_step() const {
    const int64_t most = o.run.max_steps;
    return most == 0 ? o.train_iters : std::min(most, o.train_iters);
  }
};

// ---- What is trained ----

struct Plan {
  Decoupling cuts;
  Variables variables;  // of --eval_base_dir
};

absl::StatusOr<Plan> MakePlan(const Options& o, const Start& start, int64_t k) {
  Plan plan;
  const int64_t units = UnitCount(o.architecture.name);
  if (o.base_dir.empty()) {
    // Without alpha there is no argmax to take: one block.
    plan.cuts = UniformDecoupling(units, std::max<int64_t>(k, 1));
    return plan;
  }
  if (start.resumes()) {
    // A run goes on with what it began with, wherever its files are now.
    ALTPROP_ASSIGN_OR_RETURN(plan.variables.alpha,
                             start.checkpoint.GetTensor("alpha"));
    ALTPROP_ASSIGN_OR_RETURN(plan.variables.beta,
                             start.checkpoint.GetTensor("beta"));
  } else {
    ALTPROP_ASSIGN_OR_RETURN(plan.variables,
                             ReadVariables(o.base_dir, !o.no_beta));
  }
  ALTPROP_RETURN_IF_ERROR(CheckVariables(o.base_dir, plan.variables, units,
                                         o.architecture.candidates(),
                                         !o.no_beta));
  plan.cuts = Decode(plan.variables.alpha,
                     o.no_beta ? at::Tensor() : plan.variables.beta, k);
  return plan;
}

// Whether the cuts carry --baseline_dec_type's auxiliary networks.
bool UsesBaseline(const Options& o, const Plan& plan) {
  const at::Tensor& beta = plan.variables.beta;
  return o.no_beta || !beta.defined() || beta.size(1) == 0;
}

absl::StatusOr<Network> MakePlanned(const Options& o, const Plan& plan) {
  return MakeNetwork(o.architecture,
                     o.relaxed
                         ? SupernetAux(o.architecture, UsesBaseline(o, plan))
                         : ChooseAux(o.architecture, plan.cuts, o.baseline));
}

TrainerOptions OptionsOfTrainer(const Options& o, const Plan& plan) {
  TrainerOptions options;
  options.loss.smoothing = o.smoothing;
  options.loss.predsim =
      o.baseline == AuxKind::kPredSim && UsesBaseline(o, plan);
  options.learning_rate = [&o](int64_t t) { return LearningRate(o, t); };
  options.dropout_generator = [&o](int64_t t) {
    return DropoutGenerator(o, t);
  };
  options.dropout = o.dropout;
  options.autocast = AutocastType(o);
  options.scale_loss = o.fp16;
  options.threads = o.pipeline == Pipeline::kThreads;
  options.queue_size = o.queue_size;
  return options;
}

// ---- Checkpoints ----

Value ToCheckpoint(const Run& run, const Plan& plan) {
  training::Dict checkpoint = CheckpointEntries(run.o, run.network, run.at);
  for (auto& entry : run.trainer.State()) {
    checkpoint.push_back(std::move(entry));
  }
  checkpoint.emplace_back("blocks", run.k);
  checkpoint.emplace_back("best_model", run.best);
  if (plan.variables.alpha.defined()) {
    checkpoint.emplace_back("alpha", plan.variables.alpha);
    checkpoint.emplace_back("beta", plan.variables.beta);
  }
  return checkpoint;
}

absl::Status Save(const Run& run, const Plan& plan) {
  return training::SaveFinite(run.record.File("checkpoint.pt"),
                              State(run.network), run.at.step,
                              ToCheckpoint(run, plan));
}

absl::Status Restore(const Start& start, Run& run) {
  if (!start.resumes()) return absl::OkStatus();
  const absl::StatusOr<Position> at = training::ReadPosition(start.checkpoint);
  if (!at.ok()) return Annotate(at.status(), start.file);
  run.at = *at;
  ALTPROP_RETURN_IF_ERROR(training::CheckPosition(
      start.file, run.at, absl::StrCat("--batch_size=", run.o.batch_size),
      run.inputs.train->batches()));
  if (const Value* best = start.checkpoint.Find("best_model")) {
    run.best = *best;
  }
  return run.trainer.LoadState(start.checkpoint, start.file);
}

// ---- Training ----

MetricValues BlockLosses(const std::vector<double>& losses, double rate) {
  MetricValues values = {{"learning_rate", rate}};
  for (size_t j = 0; j < losses.size(); ++j) {
    values.emplace_back(absl::StrCat("loss_block_", j + 1), losses[j]);
  }
  return values;
}

// Counts and logs an iteration that is done.
absl::Status Count(Run& run, const StepScore& step) {
  for (size_t j = 0; j < step.losses.size(); ++j) {
    ALTPROP_RETURN_IF_ERROR(training::CheckFinite(
        absl::StrCat("loss of block ", j + 1), step.losses[j], run.at.epoch + 1,
        run.at.step + 1));
  }
  const MetricValues values =
      BlockLosses(step.losses, LearningRate(run.o, run.at.step));
  ++run.at.batch;
  ++run.at.step;
  run.at.running += step.score;
  ALTPROP_RETURN_IF_ERROR(run.record.Minibatch(run.at, step.score, values));
  if (run.at.batch < run.inputs.train->batches()) return absl::OkStatus();
  ALTPROP_RETURN_IF_ERROR(run.record.Epoch(run.at, values, {}));
  run.at.NextEpoch();
  return run.record.ReportEpoch(run.at);
}

training::MetricsLine ScoreLine(const Run& run, const std::string& split,
                                const Score& score) {
  training::MetricsLine line;
  line.split = split;
  line.epoch = run.at.batch == 0 ? run.at.epoch : run.at.epoch + 1;
  line.step = run.at.step;
  line.values = {{"loss", score.loss()},
                 {"accuracy", score.accuracy()},
                 {"accuracy5", score.accuracy5()}};
  return line;
}

// Seconds per iteration, how busy every block was, and the memory's peak.
absl::Status LogSpeed(Run& run, int64_t iterations) {
  const BlockTimes times = run.trainer.TakeTimes();
  if (iterations == 0) return absl::OkStatus();
  training::MetricsLine line = ScoreLine(run, "speed", Score());
  line.values = {
      {"seconds_per_iteration", times.wall / static_cast<double>(iterations)}};
  for (size_t j = 0; j < times.busy.size(); ++j) {
    line.values.emplace_back(absl::StrCat("utilisation_block_", j + 1),
                             times.busy[j] / times.wall);
  }
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  line.values.emplace_back("peak_memory_mib",
                           static_cast<double>(usage.ru_maxrss) / 1024);
  return run.record.directory().Log(std::move(line));
}

absl::Status Validate(Run& run) {
  ALTPROP_ASSIGN_OR_RETURN(
      const Score valid,
      ScoreFeed(run.o, run.network, *run.inputs.valid, run.stop));
  // A loss that overflows here says nothing about the training: the running
  // statistics lag behind weights that have just begun to move.
  ALTPROP_RETURN_IF_ERROR(
      run.record.directory().Log(ScoreLine(run, "val", valid)));
  // An error of 100 % is no best.
  if (valid.correct > 0 && run.at.IsBest(valid)) {
    run.best = DeepCopy(training::ModelDict(State(run.network)));
    return training::SaveCheckpoint(
        run.record.File("best.pt"),
        training::Dict{{"model", run.best}, {"step", run.at.step}});
  }
  return absl::OkStatus();
}

absl::Status Interrupt(const Run& run, const Plan& plan) {
  ALTPROP_RETURN_IF_ERROR(Save(run, plan));
  const std::string where = absl::StrCat("after step ", run.at.step);
  ALTPROP_RETURN_IF_ERROR(run.record.Report(RunState::kStopped, where));
  return InterruptedError(
      run.stop.Requested(),
      absl::StrCat("stopped ", where, "; --resume=",
                   run.record.File("checkpoint.pt"), " goes on"));
}

// The next iteration at which all blocks must stand still together.
int64_t NextPause(const Run& run) {
  int64_t pause = run.last_step();
  const auto by = [&](int64_t every) {
    if (every > 0) {
      pause = std::min(pause, (run.at.step / every + 1) * every);
    }
  };
  by(run.o.valid_freq);
  by(run.o.run.checkpoint_every);
  // One at a time they stand still after each.
  if (run.o.pipeline == Pipeline::kSequential) by(1);
  return pause;
}

// The training loop. It begins wherever `run.at` stands.
absl::Status Train(Run& run, const Plan& plan) {
  const int64_t batches = run.inputs.train->batches();
  const auto next = [&](int64_t t) -> absl::StatusOr<Minibatch> {
    if (run.stop.Requested() != 0) {
      return InterruptedError(run.stop.Requested());
    }
    return run.inputs.train->Get(t / batches, t % batches);
  };
  int64_t since = run.at.step;
  while (run.at.step < run.last_step()) {
    const int64_t pause = NextPause(run);
    absl::Status error;
    for (const StepScore& step :
         run.trainer.Run(run.at.step, pause, next, error)) {
      ALTPROP_RETURN_IF_ERROR(Count(run, step));
    }
    if (absl::IsCancelled(error)) return Interrupt(run, plan);
    ALTPROP_RETURN_IF_ERROR(error);
    if (run.at.step % run.o.valid_freq == 0) {
      ALTPROP_RETURN_IF_ERROR(LogSpeed(run, run.at.step - since));
      since = run.at.step;
      const absl::Status validated = Validate(run);
      if (absl::IsCancelled(validated)) return Interrupt(run, plan);
      ALTPROP_RETURN_IF_ERROR(validated);
    }
    const int64_t every = run.o.run.checkpoint_every;
    if (every > 0 && run.at.step % every == 0) {
      ALTPROP_RETURN_IF_ERROR(Save(run, plan));
    }
    if (run.stop.Requested() != 0) return Interrupt(run, plan);
  }
  return Save(run, plan);
}

// ---- A whole run ----

std::string Title(const Options& o, const Network& network, int64_t k) {
  const std::string method = o.relaxed ? "SEDONA, relaxed"
                             : k == 1  ? "Backpropagation"
                             : !o.base_dir.empty() && !o.no_beta ? "SEDONA"
                             : o.baseline == AuxKind::kPredSim   ? "PredSim"
                                                                 : "DGL";
  return absl::StrCat(method, ": ", o.architecture.name, " in ",
                      Blocks(network).size(), " blocks on ", o.dataset);
}

std::string Line(absl::string_view split, const Score& score) {
  return absl::StrFormat("%s accuracy %.6g (%d of %d), top 5 %.6g, loss %.6g\n",
                         split, score.accuracy(), score.correct, score.samples,
                         score.accuracy5(), score.loss());
}

// The best weights, or the last ones where no validation found any.
absl::Status TakeBest(Run& run) {
  if (run.best.is_none()) return absl::OkStatus();
  return training::CopyParameters(run.best, "the best model",
                                  Detached(State(run.network)));
}

absl::Status Finish(Run& run) {
  ALTPROP_RETURN_IF_ERROR(TakeBest(run));
  ALTPROP_RETURN_IF_ERROR(
      WriteModel(run.o, run.k, training::ModelDict(State(run.network))));
  ALTPROP_ASSIGN_OR_RETURN(
      const Score test,
      ScoreFeed(run.o, run.network, *run.inputs.test, run.stop));
  ALTPROP_RETURN_IF_ERROR(
      run.record.directory().Log(ScoreLine(run, "test", test)));
  ALTPROP_RETURN_IF_ERROR(WriteResults(run.o, run.k, run.network, test));
  std::cout << Line("test", test);
  ALTPROP_RETURN_IF_ERROR(run.record.Report(
      RunState::kFinished, absl::StrCat("after ", run.at.step, " steps")));
  return ExportNetwork(run.o, run.network);
}

std::unique_ptr<Trainer> MakeTrainer(const Options& o, const Plan& plan,
                                     const Network& network) {
  if (o.relaxed) {
    return std::make_unique<RelaxedTrainer>(
        network, MakeSupernetOptimizer(o, network),
        Relax(plan.variables.alpha.to(o.run.device, o.dtype()),
              plan.variables.beta.to(o.run.device, o.dtype())),
        OptionsOfTrainer(o, plan));
  }
  std::vector<training::Optimizer> optimizers;
  for (const Block& block : Blocks(network)) {
    optimizers.push_back(MakeOptimizer(o, {BlockParameters(network, block)}));
  }
  return std::make_unique<GreedyTrainer>(network, std::move(optimizers),
                                         OptionsOfTrainer(o, plan));
}

absl::Status TrainOne(const Options& o, const Start& start, Inputs& inputs,
                      int64_t k, const training::StopSignal& stop) {
  ALTPROP_ASSIGN_OR_RETURN(const Plan plan, MakePlan(o, start, k));
  ALTPROP_ASSIGN_OR_RETURN(Network network, MakePlanned(o, plan));
  ALTPROP_ASSIGN_OR_RETURN(network,
                           PrepareNetwork(std::move(network), o, start));
  const std::unique_ptr<Trainer> trainer = MakeTrainer(o, plan, network);
  Position at;
  if (start.resumes()) {
    const absl::StatusOr<Position> saved =
        training::ReadPosition(start.checkpoint);
    if (!saved.ok()) return Annotate(saved.status(), start.file);
    at = *saved;
  }
  ALTPROP_ASSIGN_OR_RETURN(
      const std::unique_ptr<training::Record> record,
      MakeRecord(o, start, at, Title(o, network, k),
                 absl::StrCat(o.dataset, "-", o.name, "-K", k), o.train_iters,
                 inputs.train->batches()));
  record->directory().SetChart(DecouplingChart(network));
  Run run{o, inputs, k, network, *trainer, at, Value(), *record, stop};
  ALTPROP_RETURN_IF_ERROR(Restore(start, run));

  absl::Status trained = Train(run, plan);
  if (trained.ok()) trained = Finish(run);
  if (absl::IsCancelled(trained)) return trained;
  if (!trained.ok()) {
    // The first error is the one to tell.
    record->Report(RunState::kStopped, trained.message()).IgnoreError();
    return trained;
  }
  std::cout << "blocks end at units " << BlockText(network) << "\n"
            << "run directory: " << record->path()
            << "  report: " << record->File("report.html") << std::endl;
  return absl::OkStatus();
}

// --test: the best checkpoint of an earlier training, or --init_from.
absl::Status TestOne(const Options& o, const Start& start, Inputs& inputs,
                     int64_t k, const training::StopSignal& stop) {
  ALTPROP_ASSIGN_OR_RETURN(const Plan plan, MakePlan(o, start, k));
  ALTPROP_ASSIGN_OR_RETURN(Network network, MakePlanned(o, plan));
  Options loaded = o;
  if (loaded.run.init_from.empty() && !start.resumes()) {
    loaded.run.init_from = CheckpointFile(o, k, /*best=*/true);
  }
  ALTPROP_ASSIGN_OR_RETURN(network,
                           PrepareNetwork(std::move(network), loaded, start));
  const auto blocks = static_cast<int64_t>(Blocks(network).size());
  if (o.ensemble > blocks) {
    return FlagError("num_ensemble", absl::StrCat(o.ensemble),
                     absl::StrCat("the network has ", blocks, " blocks"));
  }
  ALTPROP_ASSIGN_OR_RETURN(
      const Score test, ScoreFeed(o, network, *inputs.test, stop, o.ensemble));
  std::cout << Line("test", test);
  ALTPROP_RETURN_IF_ERROR(WriteResults(o, k, network, test));
  return ExportNetwork(o, network);
}

std::vector<int64_t> BlockCounts(const Options& o) {
  const int64_t units = UnitCount(o.architecture.name);
  if (o.relaxed) return {units};
  if (o.blocks > 0) return {o.blocks};
  std::vector<int64_t> counts;
  for (int64_t k = units; k >= 1; --k) counts.push_back(k);
  if (!o.base_dir.empty()) counts.push_back(0);
  return counts;
}

// A folder for each K of a sweep.
Options ForBlocks(Options o, int64_t k, bool sweep) {
  if (sweep && !o.run.run_dir.empty()) {
    absl::StrAppend(&o.run.run_dir, "/K", k);
  }
  o.blocks = k;
  return o;
}

absl::Status Main(const cli::ParsedArguments& arguments) {
  ALTPROP_ASSIGN_OR_RETURN(Setup setup, ReadSetup(Task::kEvaluate, arguments));
  Options& o = setup.options;
  if (o.run.check_flags) return absl::OkStatus();
  ALTPROP_RETURN_IF_ERROR(CheckHalfPrecision(o));
  training::ApplyRunOptions(o.run);
  std::vector<int64_t> counts = BlockCounts(o);
  const bool sweep = counts.size() > 1;
  if (setup.start.resumes()) {
    const absl::StatusOr<int64_t> k = setup.start.checkpoint.GetInt("blocks");
    if (!k.ok()) return Annotate(k.status(), setup.start.file);
    // Of a sweep this one; the others are runs of their own.
    counts = {*k};
  }
  // Before the data: a wrong folder of variables is told at once.
  ALTPROP_RETURN_IF_ERROR(MakePlan(o, setup.start, counts.front()).status());
  ALTPROP_ASSIGN_OR_RETURN(Inputs inputs, LoadInputs(o));
  o.architecture.classes = inputs.classes;
  o.architecture.input_size = inputs.size;
  const training::StopSignal stop;
  for (const int64_t k : counts) {
    const Options one = ForBlocks(o, k, sweep && !setup.start.resumes());
    ALTPROP_RETURN_IF_ERROR(o.test_only
                                ? TestOne(one, setup.start, inputs, k, stop)
                                : TrainOne(one, setup.start, inputs, k, stop));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::sedona

int main(int argc, char** argv) {
  using altprop::sedona::Task;
  return altprop::cli::Main(argc, argv,
                            altprop::sedona::SedonaProgram(Task::kEvaluate),
                            altprop::sedona::Main);
}
