#include "iterbin/state.h"

#include <algorithm>
#include <utility>

#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/precision.h"
#include "iterbin/orders.h"
#include "iterbin/torch_optimizer.h"

namespace altprop::iterbin {
namespace {

using training::Dict;
using training::List;
using training::NamedTensors;
using training::Start;
using training::Value;

Dict BestEntry(const Best& best) {
  return Dict{{"accuracy", best.accuracy},
              {"accuracy_epoch", best.accuracy_epoch},
              {"loss", best.loss},
              {"loss_epoch", best.loss_epoch}};
}

absl::StatusOr<Best> ReadBest(const Value& from) {
  Best best;
  ALTPROP_ASSIGN_OR_RETURN(best.accuracy, from.GetDouble("accuracy"));
  ALTPROP_ASSIGN_OR_RETURN(best.accuracy_epoch, from.GetInt("accuracy_epoch"));
  ALTPROP_ASSIGN_OR_RETURN(best.loss, from.GetDouble("loss"));
  ALTPROP_ASSIGN_OR_RETURN(best.loss_epoch, from.GetInt("loss_epoch"));
  return best;
}

// The layers' tensors by weight name.
Dict ByLayer(const Network& network, const std::vector<at::Tensor>& tensors) {
  Dict dict;
  for (size_t i = 0; i < tensors.size(); ++i) {
    dict.emplace_back(network.layers[i].name + ".weight", tensors[i]);
  }
  return dict;
}

// The reverse, as copies of type `dtype`; nothing where there is nothing.
absl::StatusOr<std::vector<at::Tensor>> ReadByLayer(const Value& checkpoint,
                                                    const char* key,
                                                    const Network& network,
                                                    at::ScalarType dtype,
                                                    const std::string& file) {
  std::vector<at::Tensor> tensors;
  const absl::StatusOr<const Dict*> dict = checkpoint.GetDict(key);
  if (!dict.ok()) return Annotate(dict.status(), file);
  if ((*dict)->empty()) return tensors;
  NamedTensors into;
  for (const Layer& layer : network.layers) {
    tensors.push_back(
        at::zeros(layer.weight.sizes(), layer.weight.options().dtype(dtype)));
    into.emplace_back(layer.name + ".weight", tensors.back());
  }
  ALTPROP_RETURN_IF_ERROR(training::CopyParameters(
      *checkpoint.Find(key), absl::StrCat(file, ": ", key), into));
  return tensors;
}

// The first of the keys that is there.
absl::StatusOr<const Value*> Either(const Value& root, const std::string& file,
                                    const char* ours, const char* authors) {
  for (const char* key : {ours, authors}) {
    if (const Value* found = root.Find(key)) return found;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(file, ": expected a dictionary with \"", ours, "\" or \"",
                   authors, "\""));
}

// What a saved optimizer works with: "lr", in Python's files "momentum".
double Saved(const Value& optimizer, const char* key, double otherwise) {
  const Value* groups = optimizer.Find("param_groups");
  if (groups == nullptr || groups->list() == nullptr ||
      groups->list()->empty()) {
    return otherwise;
  }
  return groups->list()->front().GetDouble(key).value_or(otherwise);
}

// The momentum in a checkpoint of ours.
double ScheduleMomentum(const Value& checkpoint, double otherwise) {
  const Value* schedule = checkpoint.Find("schedule");
  return schedule == nullptr
             ? otherwise
             : schedule->GetDouble("momentum").value_or(otherwise);
}

// --load_last: weights and optimizer, and with it the rate and the momentum, of
// another run.
absl::Status LoadLast(const Options& o, State& state) {
  const std::string& file = o.load_last_file;
  ALTPROP_ASSIGN_OR_RETURN(const Value root, training::LoadCheckpoint(file));
  ALTPROP_ASSIGN_OR_RETURN(const Value* model,
                           Either(root, file, "model", "model_state_dict"));
  ALTPROP_RETURN_IF_ERROR(
      training::CopyParameters(*model, file, state.network.entries()));
  ALTPROP_ASSIGN_OR_RETURN(
      const Value* optimizer,
      Either(root, file, "optimizer", "optimizer_state_dict"));
  state.momentum =
      Saved(*optimizer, "momentum", ScheduleMomentum(root, o.momentum));
  state.optimizer = MakeOptimizer(o, state.network, state.momentum);
  ALTPROP_RETURN_IF_ERROR(state.optimizer.LoadState(*optimizer, file));
  state.base_rate = Saved(*optimizer, "lr", state.base_rate);
  return absl::OkStatus();
}

absl::Status ReadSchedule(const Start& start, State& state) {
  const absl::StatusOr<const Dict*> found =
      start.checkpoint.GetDict("schedule");
  if (!found.ok()) return found.status();
  const Value& schedule = *start.checkpoint.Find("schedule");
  ALTPROP_ASSIGN_OR_RETURN(state.base_rate, schedule.GetDouble("base_rate"));
  ALTPROP_ASSIGN_OR_RETURN(const List* order, schedule.GetList("order"));
  const auto layers = static_cast<int64_t>(state.network.layers.size());
  state.order.clear();
  for (const Value& layer : *order) {
    if (layer.integer() == nullptr || *layer.integer() < 0 ||
        *layer.integer() >= layers) {
      return absl::InvalidArgumentError("schedule: order names no layer");
    }
    state.order.push_back(*layer.integer());
  }
  return absl::OkStatus();
}

absl::Status ReadRest(const Start& start, State& state) {
  ALTPROP_ASSIGN_OR_RETURN(state.at, training::ReadPosition(start.checkpoint));
  ALTPROP_ASSIGN_OR_RETURN(
      state.binary,
      BinaryLayersOf(start.checkpoint, state.network.layers.size()));
  ALTPROP_RETURN_IF_ERROR(ReadSchedule(start, state));
  const absl::StatusOr<const Dict*> bests = start.checkpoint.GetDict("bests");
  if (!bests.ok()) return bests.status();
  for (const auto& [name, value] : **bests) {
    ALTPROP_ASSIGN_OR_RETURN(Best best, ReadBest(value));
    (name == "train" ? state.trained : state.evaluated) = best;
  }
  return absl::OkStatus();
}

absl::Status Resume(const Options& o, const Start& start, State& state) {
  ALTPROP_RETURN_IF_ERROR(
      training::LoadModel(start, "", state.network.entries()));
  ALTPROP_RETURN_IF_ERROR(training::LoadOptimizer(start, state.optimizer));
  ALTPROP_RETURN_IF_ERROR(Annotate(ReadRest(start, state), start.file));
  // Of the epoch before; the next one that begins has its own.
  state.optimizer.set_learning_rate(
      0, Saved(*start.checkpoint.Find("optimizer"), "lr", state.base_rate));
  ALTPROP_ASSIGN_OR_RETURN(
      state.last, ReadByLayer(start.checkpoint, "last_forward", state.network,
                              training::DtypeOf(o.run.precision), start.file));
  ALTPROP_ASSIGN_OR_RETURN(state.signs,
                           ReadByLayer(start.checkpoint, "signs", state.network,
                                       at::kBool, start.file));
  return absl::OkStatus();
}

// The order file, unless a resumed run brings its order along.
absl::StatusOr<LayerOrder> OrderOf(const Options& o, const Network& network) {
  if (!o.binary_capable()) return LayerOrder();
  ALTPROP_ASSIGN_OR_RETURN(const LayerOrder order,
                           ReadOrder(o.layers_indices, network));
  return o.reverse ? Reversed(order) : order;
}

// What the checkpoint's run had under `flag`.
std::string SavedFlag(const Start& start, const std::string& flag) {
  const Value* flags = start.checkpoint.Find("flags");
  const Value* value = flags == nullptr ? nullptr : flags->Find(flag);
  return value == nullptr || value->string() == nullptr ? "" : *value->string();
}

absl::Status CheckFixedFlags(const cli::ParsedArguments& arguments,
                             const Start& start) {
  for (const auto& [flag, value] : ResultFlags()) {
    const auto& fixed = FixedFlags();
    if (std::find(fixed.begin(), fixed.end(), flag) == fixed.end() ||
        !arguments.Given(flag) || SavedFlag(start, flag) == value) {
      continue;
    }
    return FlagError(
        flag, value,
        absl::StrCat("expected ", SavedFlag(start, flag),
                     ", with which the run in ", start.file, " began"));
  }
  return absl::OkStatus();
}

// --layers_indices beside --resume: it must be the run's own.
absl::Status CheckOrder(const Options& o, const Start& start) {
  State probe{.network = MakeNamed(o.network, models::SeededGenerator(0)),
              .optimizer = training::Optimizer::Sgd({}, 0)};
  ALTPROP_RETURN_IF_ERROR(Annotate(ReadSchedule(start, probe), start.file));
  ALTPROP_ASSIGN_OR_RETURN(const LayerOrder given, OrderOf(o, probe.network));
  if (given == probe.order) return absl::OkStatus();
  for (size_t j = 0; j < given.size() && j < probe.order.size(); ++j) {
    if (given[j] == probe.order[j]) continue;
    const auto& layers = probe.network.layers;
    return FlagError(
        "layers_indices", o.layers_indices,
        absl::StrCat("entry ", j + 1, " is ", layers[given[j]].position,
                     ", expected ", layers[probe.order[j]].position,
                     ", the order with which the run in ", start.file,
                     " began"));
  }
  return FlagError("layers_indices", o.layers_indices,
                   absl::StrCat("not the order of the run in ", start.file));
}

}  // namespace

double LearningRate(const Options& options, const State& state, int64_t epoch) {
  if (!options.uses_sgd()) return state.base_rate;
  std::vector<int64_t> milestones = options.milestones;
  // A loaded rate replaces what milestone 0 had made of --lr.
  if (options.load_last) std::erase(milestones, 0);
  return MultiStepRate(state.base_rate, milestones, options.gamma, epoch);
}

Flags FlagsOfEpoch(const Options& options, const State& state,
                   int64_t finished) {
  if (options.mode == Mode::kLayer) {
    return ScheduledFlags(state.order, finished, options.epochs_per_layer);
  }
  return Flags(state.network.layers.size(), options.mode == Mode::kAllBinary);
}

training::Optimizer MakeOptimizer(const Options& options,
                                  const Network& network, double momentum) {
  training::ParameterGroup group;
  group.parameters = network.parameters();
  group.learning_rate = options.learning_rate;
  if (!options.uses_sgd()) return training::Optimizer::Adam({group});
  group.weight_decay = kWeightDecay;
  return training::Optimizer::Sgd({group}, momentum);
}

absl::StatusOr<State> MakeState(const Options& options, const Start& start) {
  Network network =
      MakeNamed(options.network, models::SeededGenerator(options.run.seed));
  network.State().ConvertTo(training::DtypeOf(options.run.precision),
                            options.run.device);
  // oneDNN's convolutions, which are of float32 and bfloat16, work on them.
  network.channels_last =
      options.fused && options.run.precision != training::Precision::kFp64;
  // A loaded momentum goes on in a run that goes on.
  const double momentum =
      options.load_last && start.resumes()
          ? ScheduleMomentum(start.checkpoint, options.momentum)
          : options.momentum;
  training::Optimizer optimizer = MakeOptimizer(options, network, momentum);
  State state{.network = std::move(network),
              .optimizer = std::move(optimizer),
              .base_rate = options.learning_rate,
              .momentum = momentum};
  if (start.resumes()) {
    ALTPROP_RETURN_IF_ERROR(Resume(options, start, state));
    return state;
  }
  ALTPROP_ASSIGN_OR_RETURN(state.order, OrderOf(options, state.network));
  ALTPROP_RETURN_IF_ERROR(training::LoadModel(start, options.run.init_from,
                                              state.network.entries()));
  if (options.load_last) ALTPROP_RETURN_IF_ERROR(LoadLast(options, state));
  return state;
}

absl::StatusOr<Options> OptionsWithStart(const cli::ParsedArguments& arguments,
                                         const Start& start) {
  ALTPROP_RETURN_IF_ERROR(training::RestoreFlags(start, arguments));
  ALTPROP_ASSIGN_OR_RETURN(Options options, OptionsFromFlags());
  if (!start.resumes()) return options;
  ALTPROP_RETURN_IF_ERROR(CheckFixedFlags(arguments, start));
  if (arguments.Given("layers_indices") && options.binary_capable()) {
    ALTPROP_RETURN_IF_ERROR(CheckOrder(options, start));
  }
  return options;
}

Value ToCheckpoint(const Options& options, const State& state) {
  Dict root{{"method", "iterbin"},
            {"model", training::ModelDict(state.network.entries())},
            {"optimizer", state.optimizer.State()}};
  for (auto& entry : training::PositionEntries(state.at)) {
    root.push_back(std::move(entry));
  }
  List order, binary;
  for (const int64_t layer : state.order) order.emplace_back(layer);
  for (const bool flag : state.binary) binary.emplace_back(flag);
  root.emplace_back("schedule", Dict{{"base_rate", state.base_rate},
                                     {"momentum", state.momentum},
                                     {"order", std::move(order)},
                                     {"binary", std::move(binary)}});
  root.emplace_back("bests", Dict{{"evaluated", BestEntry(state.evaluated)},
                                  {"train", BestEntry(state.trained)}});
  root.emplace_back("last_forward", ByLayer(state.network, state.last));
  root.emplace_back("signs", state.at.batch == 0
                                 ? Dict()
                                 : ByLayer(state.network, state.signs));
  root.emplace_back("rng", Dict{{"seed", absl::StrCat(options.run.seed)}});
  root.emplace_back("flags", training::FlagDict(ResultFlags()));
  return root;
}

absl::StatusOr<Flags> BinaryLayersOf(const Value& checkpoint, size_t layers) {
  const Value* schedule = checkpoint.Find("schedule");
  if (schedule == nullptr) return absl::InvalidArgumentError("no \"schedule\"");
  ALTPROP_ASSIGN_OR_RETURN(const List* list, schedule->GetList("binary"));
  Flags flags;
  for (const Value& flag : *list) {
    if (flag.boolean() == nullptr) break;
    flags.push_back(*flag.boolean());
  }
  if (flags.size() == layers) return flags;
  return absl::InvalidArgumentError(absl::StrCat(
      "schedule: binary has ", flags.size(), " flags, expected ", layers));
}

Value ToAuthorsCheckpoint(const Options& options, const State& state,
                          int64_t epoch, double loss) {
  Dict settings =
      options.uses_sgd() ? SgdSettings(state.momentum) : AdamSettings();
  // What a schedule of Python's that goes on looks up.
  if (options.uses_sgd()) {
    settings.emplace_back("initial_lr", state.base_rate);
  }
  return Dict{
      {"epoch", epoch},
      {"model_state_dict", training::ModelDict(state.network.entries())},
      {"optimizer_state_dict", TorchState(state.optimizer, settings)},
      {"loss", loss}};
}

}  // namespace altprop::iterbin
