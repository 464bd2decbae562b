#include "sedona/results.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status.h"
#include "common/training/atomic_file.h"
#include "common/training/checkpoint.h"
#include "sedona/greedy.h"

namespace altprop::sedona {
namespace {

namespace fs = std::filesystem;

// As in the authors' command lines: "tiny-imagenet".
std::string DatasetFolder(const Options& options) {
  std::string name = options.dataset;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

absl::Status MakeFolderOf(const std::string& file) {
  std::error_code error;
  fs::create_directories(fs::path(file).parent_path(), error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(file, ": its folder cannot be made: ", error.message()));
}

std::string ResultFile(const Options& options, int64_t k) {
  const std::string name = options.ensemble > 1
                               ? absl::StrCat("ensemble_", options.ensemble)
                               : "results";
  if (options.relaxed) {
    return absl::StrCat(options.result_dir, "/", name, ".json");
  }
  return absl::StrCat(options.result_dir, "/", DatasetFolder(options), "/",
                      options.architecture.feat_mult, "/", options.name, "/", k,
                      "/", name, ".json");
}

const LightDecoder* LightOf(const Unit& unit) {
  return std::get_if<LightDecoder>(&unit.aux);
}

std::string AuxText(const Unit& unit) {
  if (const LightDecoder* light = LightOf(unit)) {
    return absl::StrCat("depth ", light->blocks.size() + 1);
  }
  if (std::holds_alternative<MlpSr>(unit.aux)) return "MLP-SR";
  if (std::holds_alternative<PredSim>(unit.aux)) return "PredSim";
  if (const auto* mixture = std::get_if<Mixture>(&unit.aux)) {
    return absl::StrCat(mixture->candidates.size(), " candidates");
  }
  return "head";
}

}  // namespace

std::string CheckpointFile(const Options& options, int64_t k, bool best) {
  return absl::StrCat(options.ckpt_dir, "/", DatasetFolder(options), "/",
                      options.name, "_", k,
                      best ? "_model_best.pth.tar" : "_ckpt.pth.tar");
}

absl::Status WriteModel(const Options& options, int64_t k,
                        const training::Value& model) {
  const std::string file = CheckpointFile(options, k, /*best=*/false);
  ALTPROP_RETURN_IF_ERROR(MakeFolderOf(file));
  const training::Value root = training::Dict{{"model", model}};
  ALTPROP_RETURN_IF_ERROR(training::SaveCheckpoint(file, root));
  return training::SaveCheckpoint(CheckpointFile(options, k, /*best=*/true),
                                  root);
}

absl::Status WriteResults(const Options& options, int64_t k,
                          const Network& network, const training::Score& test) {
  nlohmann::ordered_json json;
  json["block_indices"] = nlohmann::ordered_json::array();
  json["decoder_configs"] = nullptr;
  for (size_t i = 0; i < network.units.size(); ++i) {
    const Unit& unit = network.units[i];
    if (!unit.ends_block()) continue;
    json["block_indices"].push_back(absl::StrCat(i));
    if (const LightDecoder* light = LightOf(unit)) {
      json["decoder_configs"].push_back(
          {{"dim_in_decoder", unit.channels / 4},
           {"num_layers", light->blocks.size() + 1}});
    }
  }
  json["loss"] = test.loss();
  json["err@1"] = 1 - test.accuracy();
  json["err@5"] = 1 - test.accuracy5();
  const std::string file = ResultFile(options, k);
  ALTPROP_RETURN_IF_ERROR(MakeFolderOf(file));
  return training::WriteFileAtomically(file, json.dump(2) + "\n");
}

std::string BlockText(const Network& network) {
  std::vector<size_t> ends;
  for (const Block& block : Blocks(network)) ends.push_back(block.last);
  return absl::StrJoin(ends, ", ");
}

std::vector<int64_t> AuxDepths(const Network& network) {
  std::vector<int64_t> depths;
  for (size_t i = 0; i + 1 < network.units.size(); ++i) {
    if (!network.units[i].ends_block()) continue;
    const LightDecoder* light = LightOf(network.units[i]);
    depths.push_back(
        light == nullptr ? 0 : static_cast<int64_t>(light->blocks.size()) + 1);
  }
  return depths;
}

training::Chart DecouplingChart(const Network& network) {
  training::Chart chart;
  chart.title = "Decoupling: parameters of each unit";
  chart.x_title = "unit";
  const std::vector<Block> blocks = Blocks(network);
  for (size_t j = 0; j < blocks.size(); ++j) {
    training::Curve curve;
    curve.name = absl::StrCat("block ", j + 1);
    curve.color = static_cast<int>(j % 6);
    for (size_t i = blocks[j].first; i <= blocks[j].last; ++i) {
      const Unit& unit = network.units[i];
      double parameters = 0;
      for (const auto& [name, tensor] : UnitParameters(network, i)) {
        parameters += static_cast<double>(tensor.numel());
      }
      std::string label = absl::StrFormat("unit %d: %d channels of %d x %d", i,
                                          unit.channels, unit.size, unit.size);
      if (unit.ends_block()) {
        absl::StrAppend(&label, "; ends the block: ", AuxText(unit));
      }
      curve.points.push_back(
          {static_cast<double>(i), parameters, std::move(label)});
    }
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

}  // namespace altprop::sedona
