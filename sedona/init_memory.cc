// //sedona:init_memory: pretrains a supernet and fills the weight memory that a
// search starts from.

#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/cli/main.h"
#include "common/status.h"
#include "common/training/options.h"
#include "sedona/pretraining.h"
#include "sedona/setup.h"
#include "sedona/supernet.h"

namespace altprop::sedona {
namespace {

using training::RunState;
using training::Value;

struct Run {
  const Options& o;
  Inputs& inputs;
  Network& network;
  training::Optimizer& optimizer;
  WeightMemory& memory;
  Position at;
  training::Record& record;
  const training::StopSignal& stop;
};

absl::Status Save(const Run& run) {
  training::Dict checkpoint = CheckpointEntries(run.o, run.network, run.at);
  checkpoint.emplace_back("optimizer", run.optimizer.State());
  checkpoint.emplace_back("memory", run.memory.ToValue());
  return training::SaveFinite(run.record.File("checkpoint.pt"),
                              State(run.network), run.at.step, checkpoint);
}

absl::Status Interrupt(const Run& run) {
  ALTPROP_RETURN_IF_ERROR(Save(run));
  const std::string where = absl::StrCat("after step ", run.at.step);
  ALTPROP_RETURN_IF_ERROR(run.record.Report(RunState::kStopped, where));
  return InterruptedError(
      run.stop.Requested(),
      absl::StrCat("stopped ", where, "; --resume=",
                   run.record.File("checkpoint.pt"), " goes on"));
}

absl::Status Log(Run& run, const PretrainingStep& step) {
  training::MetricValues values = {
      {"composite", step.composite},
      {"learning_rate", LearningRate(run.o, run.at.step)}};
  for (size_t i = 0; i < step.losses.size(); ++i) {
    values.emplace_back(absl::StrCat("loss_unit_", i), step.losses[i]);
  }
  ++run.at.batch;
  ++run.at.step;
  run.at.running += step.head;
  ALTPROP_RETURN_IF_ERROR(run.record.Minibatch(run.at, step.head, values));
  if (step.snapshot) {
    training::MetricsLine line;
    line.split = "snapshot";
    line.epoch = run.at.epoch + 1;
    line.step = run.at.step;
    line.values = {{"loss", step.valid.loss()},
                   {"accuracy", step.valid.accuracy()},
                   {"accuracy5", step.valid.accuracy5()}};
    ALTPROP_RETURN_IF_ERROR(run.record.directory().Log(std::move(line)));
  }
  if (run.at.batch < run.inputs.train->batches()) return absl::OkStatus();
  ALTPROP_RETURN_IF_ERROR(run.record.Epoch(run.at, values, {}));
  run.at.NextEpoch();
  return run.record.ReportEpoch(run.at);
}

// The training loop. It begins wherever `run.at` stands.
absl::Status Train(Run& run) {
  Pretraining pretraining(run.o, run.inputs, run.network, run.optimizer,
                          run.memory, run.stop);
  const int64_t most = run.o.run.max_steps, every = run.o.run.checkpoint_every;
  const int64_t last =
      most == 0 ? run.o.train_iters : std::min(most, run.o.train_iters);
  while (run.at.step < last) {
    ALTPROP_ASSIGN_OR_RETURN(const PretrainingStep step,
                             pretraining.Step(run.at.step));
    ALTPROP_RETURN_IF_ERROR(Log(run, step));
    if (run.stop.Requested() != 0) return Interrupt(run);
    if (every > 0 && run.at.step % every == 0) {
      ALTPROP_RETURN_IF_ERROR(Save(run));
    }
  }
  return Save(run);
}

absl::Status Restore(const Start& start, Run& run) {
  if (!start.resumes()) return absl::OkStatus();
  ALTPROP_RETURN_IF_ERROR(training::LoadOptimizer(start, run.optimizer));
  const Value* memory = start.checkpoint.Find("memory");
  const absl::Status loaded =
      run.memory.FromValue(memory == nullptr ? Value() : *memory);
  if (!loaded.ok()) return Annotate(loaded, start.file);
  return training::CheckPosition(
      start.file, run.at, absl::StrCat("--batch_size=", run.o.batch_size),
      run.inputs.train->batches());
}

absl::Status PretrainRun(const Options& o, const Start& start, Inputs& inputs) {
  ALTPROP_ASSIGN_OR_RETURN(
      Network network,
      MakeNetwork(o.architecture, SupernetAux(o.architecture, o.no_beta)));
  ALTPROP_ASSIGN_OR_RETURN(network,
                           PrepareNetwork(std::move(network), o, start));
  training::Optimizer optimizer = MakeSupernetOptimizer(o, network);
  WeightMemory memory(o.memory_size, o.eviction);
  Position at;
  if (start.resumes()) {
    const absl::StatusOr<Position> saved =
        training::ReadPosition(start.checkpoint);
    if (!saved.ok()) return Annotate(saved.status(), start.file);
    at = *saved;
  }
  const training::StopSignal stop;
  ALTPROP_ASSIGN_OR_RETURN(
      const std::unique_ptr<training::Record> record,
      MakeRecord(o, start, at,
                 absl::StrCat("SEDONA pretraining: ", o.architecture.name,
                              " on ", o.dataset),
                 absl::StrCat(o.dataset, "-", o.name, "-memory"), o.train_iters,
                 inputs.train->batches()));
  Run run{o, inputs, network, optimizer, memory, at, *record, stop};
  ALTPROP_RETURN_IF_ERROR(Restore(start, run));
  absl::Status trained = Train(run);
  if (absl::IsCancelled(trained)) return trained;
  if (!trained.ok()) {
    record->Report(RunState::kStopped, trained.message()).IgnoreError();
    return trained;
  }
  ALTPROP_RETURN_IF_ERROR(memory.Save(MemoryFolder(o), SettingsOf(o)));
  ALTPROP_RETURN_IF_ERROR(record->Report(
      RunState::kFinished, absl::StrCat("after ", run.at.step, " steps")));
  ALTPROP_RETURN_IF_ERROR(ExportNetwork(o, network));
  std::cout << "weight memory: " << memory.size() << " snapshots in "
            << MemoryFolder(o) << "\nrun directory: " << record->path()
            << "  report: " << record->File("report.html") << std::endl;
  return absl::OkStatus();
}

absl::Status Main(const cli::ParsedArguments& arguments) {
  ALTPROP_ASSIGN_OR_RETURN(Setup setup, ReadSetup(Task::kPretrain, arguments));
  Options& o = setup.options;
  if (o.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(o.run);
  ALTPROP_ASSIGN_OR_RETURN(Inputs inputs, LoadInputs(o));
  o.architecture.classes = inputs.classes;
  o.architecture.input_size = inputs.size;
  return PretrainRun(o, setup.start, inputs);
}

}  // namespace
}  // namespace altprop::sedona

int main(int argc, char** argv) {
  using altprop::sedona::Task;
  return altprop::cli::Main(argc, argv,
                            altprop::sedona::SedonaProgram(Task::kPretrain),
                            altprop::sedona::Main);
}
