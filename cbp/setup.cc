#include "cbp/setup.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cbp/weights_file.h"
#include "common/logging.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/precision.h"

ABSL_DECLARE_FLAG(std::string, quant);

namespace altprop::cbp {
namespace {

using training::Dict;
using training::Value;

// Weights over the fresh ones; the scales follow from them.
absl::Status LoadInitial(const std::string& file, Network& network) {
  ALTPROP_ASSIGN_OR_RETURN(Dict weights, ReadWeightsFile(file));
  // Scales of a run under the constraint: computed anew.
  const std::vector<std::string>& layers = network.constrained().names;
  weights.erase(std::remove_if(weights.begin(), weights.end(),
                               [&](const auto& entry) {
                                 absl::string_view name = entry.first;
                                 return absl::ConsumeSuffix(&name, ".scale") &&
                                        absl::c_linear_search(layers, name);
                               }),
                weights.end());
  ALTPROP_ASSIGN_OR_RETURN(std::vector<std::string> missing,
                           OverlayWeights(weights, file, network.State()));
  // torchvision's older files lack the counters.
  missing.erase(std::remove_if(missing.begin(), missing.end(),
                               [](const std::string& name) {
                                 return absl::EndsWith(name,
                                                       "num_batches_tracked");
                               }),
                missing.end());
  if (!missing.empty()) {
    LOG(WARNING) << file << ": lacks " << absl::StrJoin(missing, ", ")
                 << "; as initialised";
  }
  return absl::OkStatus();
}

}  // namespace

Options ForImages(Options options, const Images& images) {
  options.architecture.classes = images.classes;
  options.architecture.input_channels = images.channels;
  return options;
}

Network MakeNetwork(const Options& options) {
  NetworkOptions how;
  how.dtype = training::DtypeOf(options.run.precision);
  how.operand_dtype = training::OperandDtypeOf(options.run.precision);
  how.device = options.run.device;
  how.channels_last = options.channels_last;
  return {options.architecture, how, models::SeededGenerator(options.run.seed)};
}

LearnerOptions LearnerOptionsOf(const Options& options) {
  LearnerOptions o;
  o.mode = options.mode.value_or(Mode::kBinary);
  o.ablation = options.ablation;
  o.learning_rate = options.learning_rate;
  o.weight_decay = options.weight_decay;
  o.lr_lambda = options.lr_lambda;
  o.period = options.period;
  o.fused = options.fused;
  return o;
}

absl::Status CheckQuant(const training::Start& start) {
  if (!start.resumes()) return absl::OkStatus();
  const absl::StatusOr<const Dict*> flags = start.checkpoint.GetDict("flags");
  if (!flags.ok()) return Annotate(flags.status(), start.file);
  const std::string asked = absl::GetFlag(FLAGS_quant);
  for (const auto& [name, value] : **flags) {
    if (name == "quant" && value.string() != nullptr &&
        *value.string() != asked) {
      return FlagError(
          "quant", asked,
          absl::StrCat(start.file, " is of a run with --quant=",
                       Printable(*value.string()), ": leave the flag out"));
    }
  }
  return absl::OkStatus();
}

absl::Status LoadStart(const Options& options, const training::Start& start,
                       Network& network, Learner& learner) {
  if (!start.resumes()) {
    return options.run.init_from.empty()
               ? absl::OkStatus()
               : LoadInitial(options.run.init_from, network);
  }
  ALTPROP_RETURN_IF_ERROR(
      Annotate(learner.Restore(start.checkpoint), start.file));
  ALTPROP_RETURN_IF_ERROR(
      training::LoadModel(start, /*init_from=*/"", network.State()));
  if (!network.quantized()) return absl::OkStatus();
  if (!options.mode.has_value()) {
    return FlagError("quant", "none",
                     absl::StrCat(start.file, " is under the constraint"));
  }
  network.Quantize(*options.mode);
  return absl::OkStatus();
}

absl::StatusOr<EpochSums> ReadSums(const training::Start& start) {
  EpochSums sums;
  if (!start.resumes()) return sums;
  const absl::StatusOr<const Dict*> dict = start.checkpoint.GetDict("sums");
  if (!dict.ok()) return Annotate(dict.status(), start.file);
  const Value& value = *start.checkpoint.Find("sums");
  for (const auto& [key, into] :
       {std::pair<const char*, double*>{"lagrangian", &sums.lagrangian},
        {"constraint", &sums.constraint}}) {
    const absl::StatusOr<double> read = value.GetDouble(key);
    if (!read.ok()) return Annotate(read.status(), start.file);
    *into = *read;
  }
  return sums;
}

Value ToCheckpoint(const Options& options, const Network& network,
                   const Learner& learner, const training::Position& at,
                   const EpochSums& sums) {
  Dict root = {{"method", "cbp"},
               {"model", training::ModelDict(network.State())}};
  for (auto& entry : learner.State()) root.push_back(std::move(entry));
  for (auto& entry : training::PositionEntries(at)) {
    root.push_back(std::move(entry));
  }
  root.emplace_back("sums", Dict{{"lagrangian", sums.lagrangian},
                                 {"constraint", sums.constraint}});
  root.emplace_back("rng", Dict{{"seed", absl::StrCat(options.run.seed)}});
  root.emplace_back("flags", training::FlagDict(ResultFlags()));
  return root;
}

double PlainRate(double initial, int64_t epoch, int64_t epochs) {
  const int64_t last = std::max<int64_t>(epochs / 4, epochs >= 2 ? 1 : 0);
  return epoch >= epochs - last ? initial * 0.1 : initial;
}

}  // namespace altprop::cbp
