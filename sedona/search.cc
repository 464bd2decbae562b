// //sedona:search: finds alpha and beta, where to cut a network and with which
// auxiliary networks, by gradient descent through a few of its updates.

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "ATen/ops/cat.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/cli/main.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/finite.h"
#include "common/training/options.h"
#include "sedona/greedy.h"
#include "sedona/meta.h"
#include "sedona/pretraining.h"
#include "sedona/relaxation.h"
#include "sedona/setup.h"
#include "sedona/supernet.h"
#include "sedona/variables.h"

namespace altprop::sedona {
namespace {

using training::RunState;
using training::Value;

// What a search changes, and where it stands.
struct Search {
  const Options& o;
  Inputs& inputs;
  Network& network;
  training::Optimizer& optimizer;
  at::Tensor alpha, beta;
  training::Optimizer& meta_optimizer;
  WeightMemory& memory;
  NumpyRandom random;
  Position at;           // its step counts meta-iterations
  int64_t counter = -1;  // the weights' own iterations
  double error = 0;      // of the weights in hand
  at::Tensor history;    // [n, L - 1]: p after each meta-iteration
  training::Record& record;
  const training::StopSignal& stop;
};

bool WithBeta(const Search& s) { return s.beta.size(1) > 0; }

training::Optimizer MakeMetaOptimizer(const Options& o, const at::Tensor& alpha,
                                      const at::Tensor& beta) {
  training::ParameterGroup group;
  group.parameters = {{"alpha", alpha.detach()}};
  if (beta.size(1) > 0) group.parameters.emplace_back("beta", beta.detach());
  group.learning_rate = o.meta_lr;
  group.weight_decay = o.meta_decay;
  if (o.meta_optimizer == OptimizerKind::kAdam) {
    training::AdamOptions adam;
    adam.beta1 = 0.5;
    return training::Optimizer::Adam({std::move(group)}, adam);
  }
  return training::Optimizer::Sgd(
      {std::move(group)},
      o.meta_optimizer == OptimizerKind::kMomentum ? 0.9 : 0);
}

// ---- One meta-iteration ----

// Passes over the training set that a meta-iteration begins: one for the inner
// steps, more where they are longer than a pass, and one for the weights' own
// step.
int64_t InnerPasses(const Search& s) {
  const int64_t batches = s.inputs.train->batches();
  return (s.o.inner_steps + batches - 1) / batches;
}

absl::StatusOr<std::vector<Minibatch>> InnerBatches(const Search& s) {
  const int64_t batches = s.inputs.train->batches();
  const int64_t first = s.at.step * (InnerPasses(s) + 1);
  std::vector<Minibatch> inner;
  for (int64_t t = 0; t < s.o.inner_steps; ++t) {
    ALTPROP_ASSIGN_OR_RETURN(
        inner.emplace_back(),
        s.inputs.train->Get(first + t / batches, t % batches));
  }
  return inner;
}

DifferentiableOptions InnerOptions(const Options& o, double rate) {
  DifferentiableOptions inner;
  inner.adam = o.optimizer == OptimizerKind::kAdam;
  inner.learning_rate = rate;
  inner.weight_decay = o.weight_decay;
  inner.momentum = o.optimizer == OptimizerKind::kMomentum ? o.momentum : 0;
  return inner;
}

// Draws weights from the memory and takes them out of it.
absl::Status TakeWeights(Search& s) {
  if (s.memory.empty()) {
    s.memory.Insert({s.counter, DeepCopy(training::ModelDict(State(s.network))),
                     DeepCopy(s.optimizer.State()), s.error});
  }
  Snapshot snapshot = s.memory.Sample(s.random);
  s.counter = snapshot.step;
  s.error = snapshot.error;
  ALTPROP_RETURN_IF_ERROR(training::CopyParameters(
      snapshot.model, "a snapshot of --mem_dir", Detached(State(s.network))));
  return s.optimizer.LoadState(DeepCopy(snapshot.optimizer),
                               "a snapshot of --mem_dir");
}

absl::StatusOr<MetaResult> MetaStep(Search& s, double rate) {
  ALTPROP_ASSIGN_OR_RETURN(const std::vector<Minibatch> inner, InnerBatches(s));
  ALTPROP_ASSIGN_OR_RETURN(const Minibatch validation,
                           s.inputs.valid_shuffled->Get(s.at.step, 0));
  at::Generator generator = DropoutGenerator(s.o, s.at.step, 1);
  MetaOptions options;
  options.objective = s.o.objective;
  options.smoothing = s.o.smoothing;
  options.inner = InnerOptions(s.o, rate);
  options.mode.training = true;
  options.mode.dropout = s.o.dropout;
  options.mode.generator = &generator;
  MetaResult result = MetaGradient(s.network, s.optimizer.State(), s.alpha,
                                   s.beta, inner, validation, options);
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite(
      "validation loss", result.validation_loss, 1, s.at.step + 1));
  std::vector<at::Tensor> gradients = {result.alpha_gradient};
  if (WithBeta(s)) gradients.push_back(result.beta_gradient);
  s.meta_optimizer.Step(gradients);
  s.error = result.validation_error;
  return result;
}

// One update of the weights in hand by the new alpha and beta.
absl::StatusOr<WeightGradient> WeightStep(Search& s, double rate) {
  ALTPROP_ASSIGN_OR_RETURN(
      const Minibatch batch,
      s.inputs.train->Get(s.at.step * (InnerPasses(s) + 1) + InnerPasses(s),
                          0));
  at::Generator generator = DropoutGenerator(s.o, s.at.step, 0);
  Mode mode;
  mode.training = true;
  mode.differentiable_once = true;
  mode.dropout = s.o.dropout;
  mode.generator = &generator;
  WeightGradient gradient = MixedSignals(
      s.network, batch.x, batch.labels,
      Relax(s.alpha.detach(), s.beta.detach()), s.o.smoothing, mode);
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite(
      "composite loss", gradient.composite.item<double>(), 1, s.at.step + 1));
  SetLearningRate(rate, s.optimizer);
  s.optimizer.Step(gradient.gradients);
  return gradient;
}

// alpha's softmax over the meta-iterations, a curve per unit.
training::Chart TrajectoryChart(const at::Tensor& history) {
  training::Chart chart;
  chart.title = "Softmax of alpha: the share of a unit's own loss";
  chart.x_title = "meta-iteration";
  const at::Tensor p = history.to(at::kDouble).contiguous();
  for (int64_t i = 0; i < p.size(1); ++i) {
    training::Curve curve;
    curve.name = absl::StrCat("unit ", i);
    curve.color = static_cast<int>(i % 6);
    for (int64_t n = 0; n < p.size(0); ++n) {
      curve.points.push_back({static_cast<double>(n + 1),
                              p.const_data_ptr<double>()[n * p.size(1) + i],
                              ""});
    }
    curve.points = training::Thin(curve.points, 200);
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

training::Chart CandidatesChart(const at::Tensor& beta) {
  training::Chart chart;
  chart.title = "Softmax of beta: the shares of the auxiliary networks";
  chart.x_title = "unit";
  const at::Tensor b = Relax(at::zeros({beta.size(0), 2}, beta.options()), beta)
                           .b.cpu()
                           .to(at::kDouble)
                           .contiguous();
  for (int64_t k = 0; k < b.size(1); ++k) {
    training::Curve curve;
    curve.name = absl::StrCat("depth ", k + 1);
    curve.color = static_cast<int>(k % 6);
    for (int64_t i = 0; i < b.size(0); ++i) {
      curve.points.push_back({static_cast<double>(i),
                              b.const_data_ptr<double>()[i * b.size(1) + k],
                              ""});
    }
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

absl::Status LogIteration(Search& s, double rate, const MetaResult& meta,
                          const WeightGradient& weights) {
  training::MetricsLine line;
  line.split = "meta";
  line.epoch = 1;
  line.step = s.at.step;
  line.values = {
      {"loss", meta.validation_loss},
      {"accuracy", 1 - meta.validation_error},
      {"weight_iteration", static_cast<double>(s.counter)},
      {"learning_rate", rate},
      {"inner_composite_first", meta.inner_composite.front().item<double>()},
      {"inner_composite_last", meta.inner_composite.back().item<double>()},
      {"composite", weights.composite.item<double>()}};
  if (s.o.use_memory) {
    line.values.emplace_back("memory_error", s.memory.MeanError());
  }
  return s.record.directory().Log(std::move(line));
}

absl::Status Monitor(Search& s) {
  ALTPROP_ASSIGN_OR_RETURN(const Score valid,
                           ScoreFeed(s.o, s.network, *s.inputs.valid, s.stop));
  training::MetricsLine line;
  line.split = "val";
  line.epoch = 1;
  line.step = s.at.step;
  line.values = {{"loss", valid.loss()},
                 {"accuracy", valid.accuracy()},
                 {"accuracy5", valid.accuracy5()}};
  ALTPROP_RETURN_IF_ERROR(s.record.directory().Log(std::move(line)));
  std::cerr << absl::StrFormat(
      "meta-iteration %d/%d  weight iteration %d  valid loss %.4f  error "
      "%.2f %%  memory %d snapshots, error %.2f %%\n",
      s.at.step, s.o.meta_iters, s.counter, valid.loss(),
      100 * (1 - valid.accuracy()), s.memory.size(),
      100 * s.memory.MeanError());
  s.record.directory().SetChart(TrajectoryChart(s.history));
  if (WithBeta(s)) s.record.directory().SetChart(CandidatesChart(s.beta));
  return s.record.Report(
      RunState::kRunning,
      absl::StrCat("meta-iteration ", s.at.step, " of ", s.o.meta_iters));
}

absl::Status Iterate(Search& s) {
  if (s.o.use_memory) ALTPROP_RETURN_IF_ERROR(TakeWeights(s));
  ++s.counter;
  const double rate = LearningRate(s.o, s.counter);
  ALTPROP_ASSIGN_OR_RETURN(const MetaResult meta, MetaStep(s, rate));
  ALTPROP_ASSIGN_OR_RETURN(const WeightGradient weights, WeightStep(s, rate));
  if (s.o.use_memory) {
    s.memory.Insert({s.counter, DeepCopy(training::ModelDict(State(s.network))),
                     DeepCopy(s.optimizer.State()), s.error});
  }
  ++s.at.step;
  const at::Tensor p =
      Relax(s.alpha.detach(), at::Tensor()).p.cpu().unsqueeze(0);
  s.history = s.history.defined() ? at::cat({s.history, p}) : p;
  return LogIteration(s, rate, meta, weights);
}

// ---- The whole search ----

absl::Status Save(const Search& s) {
  training::Dict checkpoint = CheckpointEntries(s.o, s.network, s.at);
  checkpoint.emplace_back("optimizer", s.optimizer.State());
  checkpoint.emplace_back("alpha", s.alpha.detach());
  checkpoint.emplace_back("beta", s.beta.detach());
  checkpoint.emplace_back("meta_optimizer", s.meta_optimizer.State());
  checkpoint.emplace_back("counter", s.counter);
  checkpoint.emplace_back("error", s.error);
  checkpoint.emplace_back("memory", s.memory.ToValue());
  if (s.history.defined()) checkpoint.emplace_back("history", s.history);
  return training::SaveFinite(s.record.File("checkpoint.pt"), State(s.network),
                              s.at.step, checkpoint);
}

absl::Status Load(const Value& checkpoint, const std::string& file, Search& s) {
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor alpha,
                           checkpoint.GetTensor("alpha"));
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor beta, checkpoint.GetTensor("beta"));
  ALTPROP_RETURN_IF_ERROR(training::CopyParameters(
      training::Dict{{"alpha", alpha}, {"beta", beta}}, file,
      {{"alpha", s.alpha.detach()}, {"beta", s.beta.detach()}}));
  ALTPROP_ASSIGN_OR_RETURN(s.counter, checkpoint.GetInt("counter"));
  ALTPROP_ASSIGN_OR_RETURN(s.error, checkpoint.GetDouble("error"));
  ALTPROP_RETURN_IF_ERROR(checkpoint.GetDict("meta_optimizer").status());
  ALTPROP_RETURN_IF_ERROR(
      s.meta_optimizer.LoadState(*checkpoint.Find("meta_optimizer"), file));
  ALTPROP_RETURN_IF_ERROR(checkpoint.GetList("memory").status());
  ALTPROP_RETURN_IF_ERROR(s.memory.FromValue(*checkpoint.Find("memory")));
  if (checkpoint.Find("history") != nullptr) {
    ALTPROP_ASSIGN_OR_RETURN(s.history, checkpoint.GetTensor("history"));
  }
  // The draws so far: one of as many snapshots as there are, each time.
  for (int64_t i = 0; s.o.use_memory && i < s.at.step; ++i) {
    s.random.ChoiceOne(s.memory.size());
  }
  return absl::OkStatus();
}

absl::Status Interrupt(const Search& s) {
  ALTPROP_RETURN_IF_ERROR(Save(s));
  const std::string where = absl::StrCat("after meta-iteration ", s.at.step);
  ALTPROP_RETURN_IF_ERROR(s.record.Report(RunState::kStopped, where));
  return InterruptedError(
      s.stop.Requested(),
      absl::StrCat("stopped ", where,
                   "; --resume=", s.record.File("checkpoint.pt"), " goes on"));
}

absl::Status Run(Search& s) {
  const int64_t most = s.o.run.max_steps;
  const int64_t last =
      most == 0 ? s.o.meta_iters : std::min(most, s.o.meta_iters);
  const auto due = [&](int64_t every) {
    return every > 0 && s.at.step % every == 0;
  };
  while (s.at.step < last) {
    ALTPROP_RETURN_IF_ERROR(Iterate(s));
    if (due(s.o.monitor_freq)) {
      const absl::Status monitored = Monitor(s);
      if (absl::IsCancelled(monitored)) return Interrupt(s);
      ALTPROP_RETURN_IF_ERROR(monitored);
    }
    if (s.stop.Requested() != 0) return Interrupt(s);
    if (due(s.o.state_every) || due(s.o.run.checkpoint_every)) {
      ALTPROP_RETURN_IF_ERROR(Save(s));
    }
  }
  return Save(s);
}

// The memory on disk; where there is none, pretraining fills it and saves it.
absl::Status FillMemory(const Options& o, Inputs& inputs, Network& network,
                        WeightMemory& memory,
                        const training::StopSignal& stop) {
  const std::string folder = MemoryFolder(o);
  std::error_code error;
  if (std::filesystem::is_directory(folder, error)) {
    return memory.Load(folder, SettingsOf(o));
  }
  std::cerr << folder << ": no weight memory; pretraining for " << o.train_iters
            << " iterations\n";
  training::Optimizer optimizer = MakeSupernetOptimizer(o, network);
  Pretraining pretraining(o, inputs, network, optimizer, memory, stop);
  for (int64_t t = 0; t < o.train_iters; ++t) {
    ALTPROP_RETURN_IF_ERROR(pretraining.Step(t).status());
    if (stop.Requested() != 0) return InterruptedError(stop.Requested());
  }
  return memory.Save(folder, SettingsOf(o));
}

absl::Status SearchRun(const Options& o, const Start& start, Inputs& inputs) {
  ALTPROP_ASSIGN_OR_RETURN(
      Network network,
      MakeNetwork(o.architecture, SupernetAux(o.architecture, o.no_beta)));
  ALTPROP_ASSIGN_OR_RETURN(network,
                           PrepareNetwork(std::move(network), o, start));
  const training::StopSignal stop;
  WeightMemory memory(o.memory_size, o.eviction);
  if (o.use_memory && !start.resumes()) {
    ALTPROP_RETURN_IF_ERROR(FillMemory(o, inputs, network, memory, stop));
  }
  const int64_t rows = UnitCount(o.architecture.name) - 1;
  const auto variables = at::TensorOptions(o.dtype()).device(o.run.device);
  const at::Tensor alpha =
      at::zeros({rows, 2}, variables).set_requires_grad(true);
  const at::Tensor beta =
      at::zeros({rows, o.no_beta ? 0 : o.architecture.candidates()}, variables)
          .set_requires_grad(true);
  training::Optimizer optimizer = MakeSupernetOptimizer(o, network);
  ALTPROP_RETURN_IF_ERROR(training::LoadOptimizer(start, optimizer));
  training::Optimizer meta_optimizer = MakeMetaOptimizer(o, alpha, beta);
  Position at;
  if (start.resumes()) {
    const absl::StatusOr<Position> saved =
        training::ReadPosition(start.checkpoint);
    if (!saved.ok()) return Annotate(saved.status(), start.file);
    at = *saved;
  }
  ALTPROP_ASSIGN_OR_RETURN(
      const std::unique_ptr<training::Record> record,
      MakeRecord(o, start, at,
                 absl::StrCat("SEDONA search: ", o.architecture.name, " on ",
                              o.dataset),
                 absl::StrCat(o.dataset, "-", o.name, "-search"), o.meta_iters,
                 o.meta_iters + 1));
  Search s{o,
           inputs,
           network,
           optimizer,
           alpha,
           beta,
           meta_optimizer,
           memory,
           inputs.random,
           at,
           -1,
           0,
           at::Tensor(),
           *record,
           stop};
  if (start.resumes()) {
    const absl::Status loaded = Load(start.checkpoint, start.file, s);
    if (!loaded.ok()) return Annotate(loaded, start.file);
  }
  absl::Status searched = Run(s);
  if (absl::IsCancelled(searched)) return searched;
  if (!searched.ok()) {
    record->Report(RunState::kStopped, searched.message()).IgnoreError();
    return searched;
  }
  const std::string folder = absl::StrCat(o.out_dir, "/", o.name);
  ALTPROP_RETURN_IF_ERROR(WriteVariables(folder, {s.alpha, s.beta}));
  if (s.history.defined()) {
    record->directory().SetChart(TrajectoryChart(s.history));
  }
  if (WithBeta(s)) record->directory().SetChart(CandidatesChart(s.beta));
  ALTPROP_RETURN_IF_ERROR(
      record->Report(RunState::kFinished,
                     absl::StrCat("after ", s.at.step, " meta-iterations")));
  ALTPROP_RETURN_IF_ERROR(ExportNetwork(o, network));
  std::cout << "alpha and beta: " << folder
            << "\nrun directory: " << record->path()
            << "  report: " << record->File("report.html") << std::endl;
  return absl::OkStatus();
}

absl::Status Main(const cli::ParsedArguments& arguments) {
  ALTPROP_ASSIGN_OR_RETURN(Setup setup, ReadSetup(Task::kSearch, arguments));
  Options& o = setup.options;
  if (o.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(o.run);
  ALTPROP_ASSIGN_OR_RETURN(Inputs inputs, LoadInputs(o));
  o.architecture.classes = inputs.classes;
  o.architecture.input_size = inputs.size;
  return SearchRun(o, setup.start, inputs);
}

}  // namespace
}  // namespace altprop::sedona

int main(int argc, char** argv) {
  using altprop::sedona::Task;
  return altprop::cli::Main(argc, argv,
                            altprop::sedona::SedonaProgram(Task::kSearch),
                            altprop::sedona::Main);
}
