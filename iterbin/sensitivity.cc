#include "iterbin/sensitivity.h"

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/atomic_file.h"
#include "iterbin/orders.h"
#include "iterbin/text_file.h"

namespace altprop::iterbin {
namespace {

namespace fs = std::filesystem;

std::string FileIn(const std::string& run_dir) {
  return absl::StrCat(run_dir, "/sensitivity.json");
}

// The rank of each layer, least sensitive first, among those that are there.
std::vector<int64_t> Ranked(const std::map<int64_t, Sensitivity>& found) {
  std::vector<int64_t> layers;
  std::vector<double> best;
  for (const auto& [layer, result] : found) {
    layers.push_back(layer);
    best.push_back(result.best_accuracy);
  }
  std::vector<int64_t> ranked;
  for (const int64_t i : AscendingSensitivity(best))
    ranked.push_back(layers[i]);
  return ranked;
}

}  // namespace

bool Sensitivity::ComparesWith(const Sensitivity& other) const {
  return network == other.network && dataset == other.dataset &&
         epochs == other.epochs && learning_rate == other.learning_rate &&
         seed == other.seed;
}

Sensitivity SensitivityOf(const Options& options, int64_t layer,
                          const Best& best) {
  return {.network = options.network,
          .dataset = options.dataset,
          .layer = layer,
          .epochs = options.epochs,
          .learning_rate = options.learning_rate,
          .seed = options.run.seed,
          .best_accuracy = best.accuracy,
          .best_epoch = best.accuracy_epoch};
}

absl::Status WriteSensitivity(const std::string& run_dir,
                              const Sensitivity& found) {
  const nlohmann::ordered_json json = {{"network", found.network},
                                       {"dataset", found.dataset},
                                       {"layer", found.layer + 1},
                                       {"epochs", found.epochs},
                                       {"lr", found.learning_rate},
                                       {"seed", found.seed},
                                       {"best_accuracy", found.best_accuracy},
                                       {"best_epoch", found.best_epoch}};
  return training::WriteFileAtomically(FileIn(run_dir), json.dump(2) + "\n");
}

absl::StatusOr<Sensitivity> ReadSensitivity(const std::string& run_dir) {
  const std::string file = FileIn(run_dir);
  ALTPROP_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file));
  const auto json = nlohmann::json::parse(text, nullptr,
                                          /*allow_exceptions=*/false);
  Sensitivity found;
  const auto number = [&](const char* key, auto& into) {
    const auto at = json.is_object() ? json.find(key) : json.end();
    if (at == json.end() || !at->is_number()) return false;
    at->get_to(into);
    return true;
  };
  const auto string = [&](const char* key, std::string& into) {
    const auto at = json.is_object() ? json.find(key) : json.end();
    if (at == json.end() || !at->is_string()) return false;
    at->get_to(into);
    return true;
  };
  if (!string("network", found.network) || !string("dataset", found.dataset) ||
      !number("layer", found.layer) || !number("epochs", found.epochs) ||
      !number("lr", found.learning_rate) || !number("seed", found.seed) ||
      !number("best_accuracy", found.best_accuracy) ||
      !number("best_epoch", found.best_epoch)) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": not what a sensitivity run writes"));
  }
  --found.layer;
  return found;
}

absl::StatusOr<std::map<int64_t, Sensitivity>> CollectSensitivities(
    const std::string& folder, const Sensitivity& like) {
  std::map<int64_t, Sensitivity> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (!fs::exists(FileIn(entry.path().string()), error)) continue;
    ALTPROP_ASSIGN_OR_RETURN(const Sensitivity one,
                             ReadSensitivity(entry.path().string()));
    if (!one.ComparesWith(like)) continue;
    const auto at = found.emplace(one.layer, one).first;
    if (one.best_accuracy > at->second.best_accuracy) at->second = one;
  }
  return found;
}

std::string RankedTable(const Network& network,
                        const std::map<int64_t, Sensitivity>& found) {
  std::string table =
      "rank  layer  position  module                 best validation "
      "accuracy\n";
  int rank = 0;
  for (const int64_t layer : Ranked(found)) {
    const Sensitivity& one = found.at(layer);
    absl::StrAppendFormat(&table, "%4d  %5d  %8d  %-21s  %.4f%% (epoch %d)\n",
                          ++rank, layer + 1, network.layers[layer].position,
                          network.layers[layer].name, 100 * one.best_accuracy,
                          one.best_epoch);
  }
  const size_t missing = network.layers.size() - found.size();
  if (missing > 0) {
    absl::StrAppend(&table, missing, " of ", network.layers.size(),
                    " layers have no run yet\n");
  }
  return table;
}

absl::StatusOr<std::vector<std::string>> WriteGuidedOrders(
    const std::string& folder, const Network& network,
    const std::map<int64_t, Sensitivity>& found) {
  std::vector<std::string> files;
  if (found.size() != network.layers.size()) return files;
  const LayerOrder ascend = Ranked(found);
  const std::string family = OrderFamily(network.name);
  for (const auto& [tag, order] :
       {std::pair<const char*, LayerOrder>{"ascend", ascend},
        {"descend", Reversed(ascend)}}) {
    files.push_back(absl::StrCat(folder, "/", OrderFileName(family, tag)));
    ALTPROP_RETURN_IF_ERROR(training::WriteFileAtomically(
        files.back(), OrderFileText(network, order)));
  }
  return files;
}

absl::Status ConcludeSensitivity(const Options& options,
                                 const Outcome& outcome) {
  const Network network =
      MakeNamed(options.network, models::SeededGenerator(0));
  const Sensitivity own =
      SensitivityOf(options, outcome.first_layer, outcome.best);
  ALTPROP_RETURN_IF_ERROR(WriteSensitivity(outcome.run_dir, own));
  const std::string folder =
      fs::absolute(outcome.run_dir).parent_path().string();
  ALTPROP_ASSIGN_OR_RETURN(const auto found, CollectSensitivities(folder, own));
  std::cout << RankedTable(network, found);
  ALTPROP_ASSIGN_OR_RETURN(const auto files,
                           WriteGuidedOrders(folder, network, found));
  for (const std::string& file : files) std::cout << "order: " << file << "\n";
  return absl::OkStatus();
}

}  // namespace altprop::iterbin
