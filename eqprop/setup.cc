#include "eqprop/setup.h"

#include <sys/stat.h>

#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/schedule.h"

ABSL_DECLARE_FLAG(int64_t, epochs);

namespace altprop::eqprop {
namespace {

using training::Dict;
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
  absl::StatusOr<Start> start = training::ReadStart(file);
  if (!start.ok()) return WithAdvice(start.status());
  return start;
}

absl::StatusOr<Options> OptionsWithStart(const cli::ParsedArguments& arguments,
                                         const Start& start) {
  if (start.file.empty()) {
    ALTPROP_RETURN_IF_ERROR(ApplyGlyphsDefaults(arguments));
    return OptionsFromFlags();
  }
  if (LoadPathFromFlags().empty()) {
    ALTPROP_RETURN_IF_ERROR(training::RestoreFlags(start, arguments));
  } else {
    ALTPROP_RETURN_IF_ERROR(
        training::RestoreFlags(start, arguments, {"epochs"}));
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
  ALTPROP_RETURN_IF_ERROR(
      training::LoadModel(start, options.run.init_from, Parameters(network)));
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
  Dict checkpoint{
      {"method", "eqprop"},
      {"model", training::ModelDict(Parameters(network))},
      {"optimizer", optimizer.State()},
      {"rng", Dict{{"seed", absl::StrCat(options.run.seed)}}},
      {"flags", training::FlagDict(ResultFlags())},
  };
  for (auto& entry : training::PositionEntries(position)) {
    checkpoint.push_back(std::move(entry));
  }
  return checkpoint;
}

absl::StatusOr<Position> RestoreTraining(const Start& start,
                                         training::Optimizer& optimizer) {
  if (!start.resumes()) return Position();
  absl::StatusOr<Position> position = training::ReadPosition(start.checkpoint);
  if (!position.ok()) return Annotate(position.status(), start.file);
  ALTPROP_RETURN_IF_ERROR(training::LoadOptimizer(start, optimizer));
  return position;
}

absl::Status SaveFinite(const std::string& path, const Options& options,
                        const Network& network,
                        const training::Optimizer& optimizer,
                        const Position& position) {
  return training::SaveFinite(
      path, Parameters(network), position.step,
      ToCheckpoint(options, network, optimizer, position));
}

}  // namespace altprop::eqprop
