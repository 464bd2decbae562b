#include "eqprop/setup.h"

#include <sys/stat.h>

#include <utility>
#include <vector>

#include "ATen/ops/isfinite.h"
#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/safetensors.h"
#include "common/training/schedule.h"

ABSL_DECLARE_FLAG(int64_t, epochs);

namespace altprop::eqprop {
namespace {

using training::Dict;
using training::List;
using training::Value;

bool IsFile(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// The folder's best state, else its last one.
absl::StatusOr<std::string> StateIn(const std::string& folder) {
  for (const char* name : {"best.pt", "checkpoint.pt"}) {
    const std::string file = absl::StrCat(folder, "/", name);
    if (IsFile(file)) return file;
  }
  const std::string module = absl::StrCat(folder, "/model.pt");
  if (IsFile(module)) return module;
  return absl::NotFoundError(absl::StrCat(
      "--load_path=", folder, ": holds neither best.pt nor checkpoint.pt"));
}

// What their model.pt is, when it turns out to be one.
absl::Status WithAdvice(const absl::Status& status) {
  if (!absl::StrContains(status.message(), "global")) return status;
  return {status.code(),
          absl::StrCat(
              status.message(),
              "; if it is a pickled module of the authors' program, convert it "
              "beside their model_utils.py: torch.save({'model': "
              "torch.load('model.pt', weights_only=False).state_dict()}, "
              "'weights.pt'), and give --init_from=weights.pt")};
}

absl::Status RestoreFlagsOf(const Start& start,
                            const cli::ParsedArguments& arguments, bool more) {
  const absl::StatusOr<const Dict*> flags = start.checkpoint.GetDict("flags");
  if (!flags.ok()) return Annotate(flags.status(), start.file);
  for (const auto& [name, value] : **flags) {
    if (arguments.Given(name) || (more && name == "epochs")) continue;
    if (value.string() == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          start.file, ": flags: \"", name, "\" is ", value.TypeName()));
    }
    ALTPROP_RETURN_IF_ERROR(
        Annotate(cli::SetFlagFromText(name, *value.string()),
                 absl::StrCat(start.file, ": flags")));
  }
  return absl::OkStatus();
}

absl::StatusOr<Value> ReadInitialWeights(const std::string& file) {
  if (absl::EndsWith(file, ".safetensors")) {
    ALTPROP_ASSIGN_OR_RETURN(training::Safetensors read,
                             training::LoadSafetensors(file));
    Dict model;
    for (auto& [name, tensor] : read.tensors) model.emplace_back(name, tensor);
    return Value(std::move(model));
  }
  ALTPROP_ASSIGN_OR_RETURN(Value root, training::LoadCheckpoint(file));
  const Value* model = root.Find("model");
  if (model == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": expected a dictionary with the parameters under \"model\""));
  }
  return *model;
}

absl::Status CheckImages(const Options& options, const data::ImageSet& set) {
  const Architecture& a = options.architecture;
  const int64_t pixels =
      set.images.size(1) * set.images.size(2) * set.images.size(3);
  if (!a.convolutional() && pixels != a.archi.front()) {
    return FlagError(
        "archi", absl::StrJoin(a.archi, ","),
        absl::StrCat("must begin with ", pixels,
                     ", the values of an image of --task=", options.dataset));
  }
  if (set.classes > a.classes()) {
    return FlagError(a.convolutional() ? "fc" : "archi",
                     absl::StrJoin(a.convolutional() ? a.fc : a.archi, ","),
                     absl::StrCat("must end with at least ", set.classes,
                                  ", the classes of --task=", options.dataset));
  }
  return absl::OkStatus();
}

absl::Status Get(const Value& from, absl::string_view key, int64_t& into) {
  ALTPROP_ASSIGN_OR_RETURN(into, from.GetInt(key));
  return absl::OkStatus();
}

absl::Status ReadPosition(const Value& checkpoint, Position& position) {
  ALTPROP_RETURN_IF_ERROR(Get(checkpoint, "epoch", position.epoch));
  ALTPROP_RETURN_IF_ERROR(Get(checkpoint, "step", position.step));
  ALTPROP_RETURN_IF_ERROR(checkpoint.GetDict("loader").status());
  ALTPROP_RETURN_IF_ERROR(
      Get(*checkpoint.Find("loader"), "batch", position.batch));
  ALTPROP_RETURN_IF_ERROR(checkpoint.GetDict("running").status());
  const Value& running = *checkpoint.Find("running");
  ALTPROP_ASSIGN_OR_RETURN(position.running.loss_sum,
                           running.GetDouble("loss_sum"));
  ALTPROP_RETURN_IF_ERROR(Get(running, "correct", position.running.correct));
  ALTPROP_RETURN_IF_ERROR(Get(running, "samples", position.running.samples));
  ALTPROP_RETURN_IF_ERROR(checkpoint.GetDict("best").status());
  const Value& best = *checkpoint.Find("best");
  ALTPROP_RETURN_IF_ERROR(Get(best, "correct", position.best_correct));
  ALTPROP_RETURN_IF_ERROR(Get(best, "epoch", position.best_epoch));
  if (position.epoch < 0 || position.batch < 0 || position.step < 0) {
    return absl::InvalidArgumentError("a position before the first minibatch");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Start> FindStart() {
  ALTPROP_ASSIGN_OR_RETURN(const training::RunOptions run,
                           training::RunOptionsFromFlags());
  const std::string load_path = LoadPathFromFlags();
  std::string file = run.resume;
  if (!load_path.empty()) {
    if (!file.empty()) {
      return UsageError("--resume, --load_path: give one of the two");
    }
    file = load_path;
    if (IsFolder(file)) {
      ALTPROP_ASSIGN_OR_RETURN(file, StateIn(file));
    }
  }
  if (file.empty()) return Start();
  absl::StatusOr<Value> checkpoint = training::LoadCheckpoint(file);
  if (!checkpoint.ok()) return WithAdvice(checkpoint.status());
  return Start{std::move(file), *std::move(checkpoint)};
}

absl::StatusOr<Options> OptionsWithStart(const cli::ParsedArguments& arguments,
                                         const Start& start) {
  if (start.file.empty()) {
    ALTPROP_RETURN_IF_ERROR(ApplyGlyphsDefaults(arguments));
    return OptionsFromFlags();
  }
  const std::string load_path = LoadPathFromFlags();
  const bool more = !load_path.empty();
  ALTPROP_RETURN_IF_ERROR(RestoreFlagsOf(start, arguments, more));
  if (more) {
    // --epochs counts from the loaded state; from here on from the beginning,
    // so that a later --resume ends where this run would have ended.
    const absl::StatusOr<int64_t> done = start.checkpoint.GetInt("epoch");
    if (!done.ok()) return Annotate(done.status(), start.file);
    absl::SetFlag(&FLAGS_epochs, absl::GetFlag(FLAGS_epochs) + *done);
  }
  return OptionsFromFlags();
}

absl::StatusOr<data::Dataset> LoadData(const Options& options) {
  data::DatasetOptions which;
  which.name = options.dataset;
  which.root = options.run.data_root;
  which.download = options.run.download;
  which.limit_train = options.run.limit_train;
  which.limit_test = options.run.limit_test;
  ALTPROP_ASSIGN_OR_RETURN(data::Dataset data, data::LoadDataset(which));
  for (data::ImageSet* set : {&data.train, &data.test}) {
    ALTPROP_RETURN_IF_ERROR(CheckImages(options, *set));
    set->images = set->images.to(options.run.device);
    set->labels = set->labels.to(options.run.device);
  }
  return data;
}

absl::StatusOr<Network> BuildNetwork(const Options& options,
                                     const Start& start) {
  const Network initial =
      MakeNetwork(options.architecture, options.scale,
                  models::SeededGenerator(options.run.seed));
  Network network = ConvertNetwork(
      initial, training::DtypeOf(options.run.precision), options.run.device);
  if (!start.file.empty()) {
    const Value* model = start.checkpoint.Find("model");
    if (model == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(start.file, ": no \"model\""));
    }
    ALTPROP_RETURN_IF_ERROR(
        training::CopyParameters(*model, start.file, Parameters(network)));
  } else if (!options.run.init_from.empty()) {
    ALTPROP_ASSIGN_OR_RETURN(const Value model,
                             ReadInitialWeights(options.run.init_from));
    ALTPROP_RETURN_IF_ERROR(training::CopyParameters(
        model, options.run.init_from, Parameters(network)));
  }
  return network;
}

training::Optimizer MakeOptimizer(const Options& options,
                                  const Network& network) {
  const auto parameters = Parameters(network);
  std::vector<training::ParameterGroup> groups;
  const std::vector<size_t> edge_of = EdgeOfParameters(network);
  for (size_t i = 0; i < parameters.size(); ++i) {
    // The bias shares its weight's group; a backward weight has its own, at the
    // rates of its edge.
    const bool bias = i > 0 && i < 2 * network.edges.size() && i % 2 == 1;
    if (!bias) {
      training::ParameterGroup& group = groups.emplace_back();
      group.learning_rate = options.learning_rates[edge_of[i]];
      group.weight_decay = options.weight_decays[edge_of[i]];
    }
    groups.back().parameters.push_back(parameters[i]);
  }
  return options.optimizer == OptimizerKind::kAdam
             ? training::Optimizer::Adam(std::move(groups))
             : training::Optimizer::Sgd(std::move(groups), options.momentum);
}

void SetLearningRates(const Options& options, int64_t epoch,
                      training::Optimizer& optimizer) {
  const size_t edges = options.learning_rates.size();
  for (size_t group = 0; group < optimizer.groups().size(); ++group) {
    // After the edges' groups those of the backward weights, from edge 2 on.
    const double base =
        options.learning_rates[group < edges ? group : group - edges + 1];
    optimizer.set_learning_rate(
        group,
        options.decay_learning_rate
            ? training::CosineAnnealing(base, epoch, options.decay_epochs)
            : base);
  }
}

Value ToCheckpoint(const Options& options, const Network& network,
                   const training::Optimizer& optimizer,
                   const Position& position) {
  Dict model, flags;
  for (const auto& [name, tensor] : Parameters(network)) {
    model.emplace_back(name, tensor);
  }
  for (const auto& [name, value] : ResultFlags()) {
    flags.emplace_back(name, value);
  }
  return Dict{
      {"method", "eqprop"},
      {"model", std::move(model)},
      {"optimizer", optimizer.State()},
      {"epoch", position.epoch},
      {"step", position.step},
      {"loader", Dict{{"epoch", position.epoch}, {"batch", position.batch}}},
      {"rng", Dict{{"seed", absl::StrCat(options.run.seed)}}},
      {"running", Dict{{"loss_sum", position.running.loss_sum},
                       {"correct", position.running.correct},
                       {"samples", position.running.samples}}},
      {"best", Dict{{"correct", position.best_correct},
                    {"epoch", position.best_epoch}}},
      {"flags", std::move(flags)},
  };
}

absl::StatusOr<Position> RestoreTraining(const Start& start,
                                         training::Optimizer& optimizer) {
  Position position;
  if (start.file.empty()) return position;
  ALTPROP_RETURN_IF_ERROR(
      Annotate(ReadPosition(start.checkpoint, position), start.file));
  const Value* state = start.checkpoint.Find("optimizer");
  if (state == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(start.file, ": no \"optimizer\""));
  }
  ALTPROP_RETURN_IF_ERROR(optimizer.LoadState(*state, start.file));
  return position;
}

absl::Status CheckPosition(const Start& start, const Position& at,
                           int64_t batch_size, int64_t batches) {
  if (at.batch <= batches) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      start.file, ": stands after minibatch ", at.batch,
      " of an epoch, but --mbs=", batch_size, " makes only ", batches));
}

absl::Status SaveFinite(const std::string& path, const Options& options,
                        const Network& network,
                        const training::Optimizer& optimizer,
                        const Position& position) {
  for (const auto& [name, tensor] : Parameters(network)) {
    if (!at::isfinite(tensor).all().item<bool>()) {
      return absl::DataLossError(
          absl::StrCat(name, " is not finite after step ", position.step,
                       "; training diverged, and ", path, " was not written"));
    }
  }
  return training::SaveCheckpoint(
      path, ToCheckpoint(options, network, optimizer, position));
}

}  // namespace altprop::eqprop
