#include "ftprop/setup.h"

#include <utility>
#include <vector>

#include "ATen/core/grad_mode.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/safetensors.h"
#include "common/training/schedule.h"

namespace altprop::ftprop {
namespace {

using training::Dict;
using training::Start;
using training::Value;

constexpr char kBatches[] = ".num_batches_tracked";

// Without the prefixes of data parallelism.
std::string PlainName(absl::string_view name) {
  absl::ConsumePrefix(&name, "module.");
  return absl::StrReplaceAll(name, {{".module.", "."}});
}

// The dictionary of weights in what a file holds.
absl::StatusOr<Dict> WeightsIn(const Value& root, const std::string& file) {
  for (const char* key : {"model", "model_state"}) {
    const Value* found = root.Find(key);
    if (found != nullptr && found->dict() != nullptr) return *found->dict();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      file, ": expected a dictionary with the parameters under \"model\""));
}

absl::StatusOr<Value> ReadFile(const std::string& file) {
  if (!absl::EndsWith(file, ".safetensors")) {
    return training::LoadCheckpoint(file);
  }
  ALTPROP_ASSIGN_OR_RETURN(training::Safetensors read,
                           training::LoadSafetensors(file));
  return Value(Dict{{"model", training::ModelDict(read.tensors)}});
}

}  // namespace

absl::Status LoadWeights(const Value& root, const std::string& file,
                         const Network& network) {
  ALTPROP_ASSIGN_OR_RETURN(Dict weights, WeightsIn(root, file));
  for (auto& [name, value] : weights) name = PlainName(name);
  Value model(std::move(weights));
  Dict counts;
  for (const auto& [name, tensor] : network.state.entries()) {
    // PyTorch of 2018 did not count batches.
    if (absl::EndsWith(name, kBatches) && model.Find(name) == nullptr) {
      counts.emplace_back(name, at::zeros({}, at::kLong));
    }
  }
  Dict all = *model.dict();
  all.insert(all.end(), counts.begin(), counts.end());
  const at::NoGradGuard no_grad;
  return training::CopyParameters(Value(std::move(all)), file,
                                  network.state.entries());
}

absl::StatusOr<Start> FindStart() {
  ALTPROP_ASSIGN_OR_RETURN(const training::RunOptions run,
                           training::RunOptionsFromFlags());
  const std::string model = TestModelFromFlags();
  if (!run.resume.empty() && !model.empty()) {
    return UsageError("--resume, --test-model: give one of the two");
  }
  if (model.empty()) return training::ReadStart(run.resume);
  ALTPROP_ASSIGN_OR_RETURN(Value root, ReadFile(model));
  return Start{model, std::move(root)};
}

absl::StatusOr<Options> OptionsWithStart(const cli::ParsedArguments& arguments,
                                         const Start& start, bool training) {
  ALTPROP_RETURN_IF_ERROR(ApplyDefaults(arguments));
  // The authors' files hold no flags that we could read.
  if (start.checkpoint.Find("flags") != nullptr ||
      TestModelFromFlags().empty()) {
    ALTPROP_RETURN_IF_ERROR(training::RestoreFlags(start, arguments));
  }
  return OptionsFromFlags(arguments, training);
}

absl::StatusOr<Network> BuildNetwork(const Options& options, const Start& start,
                                     int64_t classes) {
  NetworkSpec spec = options.spec;
  if (spec.classes == 0) spec.classes = classes;
  if (spec.classes < classes) {
    return FlagError("classes", absl::StrCat(spec.classes),
                     absl::StrCat("the data set has ", classes));
  }
  Network network = MakeNetwork(spec, options.hidden,
                                models::SeededGenerator(options.run.seed));
  network.state.ConvertTo(training::DtypeOf(options.run.precision),
                          options.run.device);
  // Convolutions in float64 have no such path.
  if (options.run.precision != training::Precision::kFp64) {
    UseChannelsLast(network);
  }
  if (start.resumes()) {
    ALTPROP_RETURN_IF_ERROR(LoadWeights(start.checkpoint, start.file, network));
  } else if (!options.run.init_from.empty()) {
    const std::string& file = options.run.init_from;
    ALTPROP_ASSIGN_OR_RETURN(const Value root, ReadFile(file));
    ALTPROP_RETURN_IF_ERROR(LoadWeights(root, file, network));
  }
  network.state.RequireGradients();
  return network;
}

training::Optimizer MakeOptimizer(const Options& options,
                                  const Network& network) {
  training::ParameterGroup group;
  group.parameters = network.state.parameters();
  group.learning_rate = options.learning_rate;
  group.weight_decay = options.weight_decay;
  switch (options.optimizer) {
    case OptimizerKind::kSgd:
      return training::Optimizer::Sgd({group}, options.momentum);
    case OptimizerKind::kAdam: {
      training::AdamOptions adam;
      adam.legacy_eps = options.legacy_eps;
      return training::Optimizer::Adam({group}, adam);
    }
    case OptimizerKind::kRmsProp:
      break;
  }
  return training::Optimizer::RmsProp({group});
}

double LearningRate(const Options& options, int64_t epoch) {
  return training::MultiStep(options.learning_rate, options.decay,
                             options.decay_epochs, epoch + 1);
}

absl::Status CheckLastBatch(const Options& options, int64_t samples) {
  const bool one_value =
      options.spec.batch_norm &&
      options.spec.architecture != Architecture::kResnet18 &&
      options.spec.architecture != Architecture::kResnet18Cifar;
  const int64_t last = samples % options.data.batch;
  if (!one_value || !(last == 1 || (last == 0 && options.data.batch == 1))) {
    return absl::OkStatus();
  }
  const int64_t first_such =
      options.data.batch == 1 ? 1 : samples / options.data.batch + 1;
  const int64_t steps = options.run.max_steps;
  if (steps > 0 && steps < first_such) return absl::OkStatus();
  return FlagError(
      "batch", absl::StrCat(options.data.batch),
      absl::StrCat("leaves a minibatch of one sample of the ", samples,
                   " to train on, which batch norm has no variance of"));
}

Value ToCheckpoint(const Options& options, const Network& network,
                   const training::Optimizer& optimizer,
                   const training::Position& position,
                   const StatisticsProbe* probe) {
  Dict root{
      {"method", "ftprop"},
      {"model", training::ModelDict(network.state.entries())},
      {"optimizer", optimizer.State()},
      {"rng", Dict{{"seed", absl::StrCat(options.run.seed)}}},
      {"flags", training::FlagDict(ResultFlags())},
  };
  for (auto& entry : training::PositionEntries(position)) {
    root.push_back(std::move(entry));
  }
  if (probe != nullptr) root.emplace_back("outputs", probe->State());
  return root;
}

}  // namespace altprop::ftprop
