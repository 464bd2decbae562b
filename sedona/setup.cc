#include "sedona/setup.h"

#include <algorithm>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "common/random.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/safetensors.h"
#include "common/training/schedule.h"
#include "sedona/autocast.h"
#include "sedona/greedy.h"
#include "sedona/supernet.h"

namespace altprop::sedona {
namespace {

constexpr uint64_t kDropoutStream = RandomStream("sedona dropout");
constexpr double kMultiStepFactor = 0.1;

}  // namespace

absl::StatusOr<Setup> ReadSetup(Task task,
                                const cli::ParsedArguments& arguments) {
  Setup setup;
  ALTPROP_RETURN_IF_ERROR(ApplyDefaults(arguments, task));
  ALTPROP_ASSIGN_OR_RETURN(const training::RunOptions run,
                           training::RunOptionsFromFlags());
  ALTPROP_ASSIGN_OR_RETURN(setup.start, training::ReadStart(run.resume));
  ALTPROP_RETURN_IF_ERROR(training::RestoreFlags(setup.start, arguments));
  ALTPROP_ASSIGN_OR_RETURN(setup.options, OptionsFromFlags(task));
  return setup;
}

absl::StatusOr<Network> PrepareNetwork(Network network, const Options& options,
                                       const Start& start) {
  Initialise(network, options.run.seed);
  ConvertTo(network, options.dtype(), options.run.device);
  ALTPROP_RETURN_IF_ERROR(
      training::LoadModel(start, options.run.init_from, State(network)));
  RequireGradients(network);
  return network;
}

training::Optimizer MakeOptimizer(
    const Options& options, const std::vector<training::NamedTensors>& groups) {
  std::vector<training::ParameterGroup> parameters;
  for (const training::NamedTensors& group : groups) {
    training::ParameterGroup& added = parameters.emplace_back();
    for (const auto& [name, tensor] : group) {
      added.parameters.emplace_back(name, tensor.detach());
    }
    added.learning_rate = LearningRate(options, 0);
    added.weight_decay = options.weight_decay;
  }
  switch (options.optimizer) {
    case OptimizerKind::kAdam:
      return training::Optimizer::Adam(std::move(parameters));
    case OptimizerKind::kMomentum:
      return training::Optimizer::Sgd(std::move(parameters), options.momentum);
    case OptimizerKind::kSgd:
      break;
  }
  return training::Optimizer::Sgd(std::move(parameters), 0);
}

training::Optimizer MakeSupernetOptimizer(const Options& options,
                                          const Network& network) {
  std::vector<training::NamedTensors> groups;
  for (size_t i = 0; i < network.units.size(); ++i) {
    groups.push_back(UnitParameters(network, i));
  }
  return MakeOptimizer(options, groups);
}

double LearningRate(const Options& options, int64_t t) {
  if (options.schedule == ScheduleKind::kMultiStep) {
    return training::MultiStepPow(options.lr, kMultiStepFactor,
                                  options.milestones, t);
  }
  return training::CosineAnnealing(options.lr, t, options.train_iters,
                                   options.lr_min);
}

void SetLearningRate(double rate, training::Optimizer& optimizer) {
  for (size_t group = 0; group < optimizer.groups().size(); ++group) {
    optimizer.set_learning_rate(group, rate);
  }
}

at::Generator DropoutGenerator(const Options& options, int64_t step,
                               int64_t part) {
  const uint64_t seed = MixSeed(options.run.seed, kDropoutStream);
  return models::SeededGenerator(MixSeed(
      MixSeed(seed, static_cast<uint64_t>(step)), static_cast<uint64_t>(part)));
}

std::optional<at::ScalarType> AutocastType(const Options& options) {
  if (options.fp16) return at::kHalf;
  if (options.run.precision == training::Precision::kBf16) return at::kBFloat16;
  return std::nullopt;
}

absl::StatusOr<Score> ScoreFeed(const Options& options, const Network& network,
                                Feed& feed, const training::StopSignal& stop,
                                int64_t ensemble, int64_t batches) {
  const at::NoGradGuard no_gradients;
  const Autocast autocast(AutocastType(options), options.run.device.type());
  Score score;
  const int64_t count =
      batches == 0 ? feed.batches() : std::min(batches, feed.batches());
  for (int64_t i = 0; i < count; ++i) {
    if (stop.Requested() != 0) return InterruptedError(stop.Requested());
    ALTPROP_ASSIGN_OR_RETURN(const Minibatch batch, feed.Get(0, i));
    if (ensemble == 1) {
      const at::Tensor logits = HeadLogits(network, batch.x, Mode());
      AddScore(logits, logits, batch.labels, options.smoothing, score);
    } else {
      const std::vector<at::Tensor> logits = EvaluationLogits(network, batch.x);
      AddScore(logits.back(), EnsembleScores(logits, ensemble), batch.labels,
               options.smoothing, score);
    }
  }
  return score;
}

std::string MemoryFolder(const Options& o) {
  const char* const kNames[] = {"momentum", "sgd", "adam"};
  std::string dataset = o.dataset;
  std::replace(dataset.begin(), dataset.end(), '_', '-');
  std::string key = absl::StrCat(
      "feat_mult_", o.architecture.feat_mult, "-dataset_", dataset, "-step_",
      o.train_iters, "-optim_", kNames[static_cast<size_t>(o.optimizer)],
      "-lr_", KeyNumber(o.lr), "-lr_min_", KeyNumber(o.lr_min), "-smoothing_",
      KeyNumber(o.smoothing), "-batch_size_", o.batch_size,
      "-valid_batch_size_", o.valid_batch_size);
  if (o.no_beta) absl::StrAppend(&key, "-decoder_mlp_sr");
  return absl::StrCat(o.mem_dir, "/", o.architecture.name, "/", key);
}

MemorySettings SettingsOf(const Options& o) {
  const Architecture& a = o.architecture;
  return {{"valid_size", absl::StrCat(o.valid_size)},
          {"min_dec_depth", absl::StrCat(a.min_depth)},
          {"max_dec_depth", absl::StrCat(a.max_depth)},
          {"weight_decay", absl::StrCat(o.weight_decay)},
          {"momentum", absl::StrCat(o.momentum)},
          {"nonlin", a.nonlin == Activation::kRelu ? "relu" : "leakyrelu"},
          {"seed", absl::StrCat(o.run.seed)}};
}

absl::StatusOr<std::unique_ptr<training::Record>> MakeRecord(
    const Options& options, const Start& start, const Position& at,
    const std::string& title, const std::string& name, int64_t iterations,
    int64_t batches) {
  training::RecordOptions record;
  record.directory.path = options.run.run_dir;
  record.directory.method = "sedona";
  record.directory.name = name;
  record.directory.flags = cli::FlagValues(SedonaProgram(options.task));
  record.directory.resumed_from = start.file;
  record.title = title;
  record.subtitle =
      "Pyeon et al. 2021, SEDONA: Search for Decoupled Neural Networks toward "
      "Greedy Block-wise Learning";
  record.batches = batches;
  record.epochs = (iterations + batches - 1) / batches;
  record.top5 = true;
  // The progress line's end: an iteration, not a pass.
  training::RunOptions run = options.run;
  if (run.max_steps == 0 || run.max_steps > iterations) {
    run.max_steps = iterations;
  }
  return training::Record::Create(std::move(record), run, at);
}

training::Dict CheckpointEntries(const Options& options, const Network& network,
                                 const Position& position) {
  training::Dict checkpoint{
      {"method", "sedona"},
      {"model", training::ModelDict(State(network))},
      {"rng", training::Dict{{"seed", absl::StrCat(options.run.seed)}}},
      {"flags", training::FlagDict(ResultFlags(options.task))},
  };
  for (auto& entry : training::PositionEntries(position)) {
    checkpoint.push_back(std::move(entry));
  }
  return checkpoint;
}

absl::Status ExportNetwork(const Options& options, const Network& network) {
  if (options.run.export_to.empty()) return absl::OkStatus();
  training::NamedTensors tensors;
  for (const auto& [name, tensor] : State(network)) {
    tensors.emplace_back(name, tensor.detach());
  }
  return training::ExportSafetensors(
      options.run.export_to, tensors,
      {{"format", "pt"}, {"method", "sedona"}, {"name", options.name}});
}

}  // namespace altprop::sedona
