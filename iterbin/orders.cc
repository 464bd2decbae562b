#include "iterbin/orders.h"

#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/cli/path.h"
#include "common/logging.h"
#include "common/status.h"
#include "iterbin/text_file.h"

namespace altprop::iterbin {
namespace {

struct Family {
  std::string name;
  int64_t layers;
  // 1-based, as published.
  std::vector<int64_t> ascend, random;
};

const std::vector<Family>& Families() {
  static const auto* families = new std::vector<Family>{
      {"mlp3", 3, {}, {}},
      {"vgg5", 5, {5, 4, 1, 3, 2}, {2, 5, 1, 3, 4}},
      {"vgg9", 9, {8, 9, 1, 7, 6, 3, 5, 2, 4}, {3, 8, 1, 5, 6, 9, 2, 4, 7}},
      {"resnet20",
       20,
       {19, 6, 5, 7, 1, 9, 12, 4, 8, 3, 14, 11, 15, 18, 2, 13, 10, 16, 17, 20},
       {4, 14, 10, 11, 13, 6, 9, 2, 15, 8, 17, 7, 18, 16, 20, 5, 1, 19, 12, 3}},
      {"resnet21",
       21,
       {13, 10, 5,  14, 9,  3,  2,  7,  18, 6, 17,
        4,  1,  16, 15, 20, 11, 12, 19, 8,  21},
       {}},
  };
  return *families;
}

const Family& FamilyNamed(const std::string& name) {
  for (const Family& family : Families()) {
    if (family.name == name) return family;
  }
  LOG(FATAL) << "no orders of " << name;
}

LayerOrder FromNumbers(const std::vector<int64_t>& numbers) {
  LayerOrder order;
  for (const int64_t number : numbers) order.push_back(number - 1);
  return order;
}

LayerOrder ForwardOrder(int64_t layers) {
  LayerOrder order(layers);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

// A permutation of the digits 1 .. L, else nothing.
LayerOrder FromDigits(const std::string& tag, int64_t layers) {
  LayerOrder order;
  for (const char digit : tag) order.push_back(digit - '1');
  const LayerOrder forward = ForwardOrder(layers);
  return std::is_permutation(order.begin(), order.end(), forward.begin(),
                             forward.end())
             ? order
             : LayerOrder();
}

std::string BaseName(const std::string& file) {
  return file.substr(file.rfind('/') + 1);
}

std::string NumbersOf(const Network& network, bool positions) {
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    numbers.push_back(positions ? network.layers[i].position
                                : static_cast<int64_t>(i) + 1);
  }
  return absl::StrJoin(numbers, ", ");
}

// The entries by layer: a list is of positions, or else all of it of numbers.
absl::StatusOr<LayerOrder> ByEntry(const std::vector<int64_t>& entries,
                                   const Network& network,
                                   const std::string& file) {
  const auto layers = static_cast<int64_t>(network.layers.size());
  const bool numbers =
      std::all_of(entries.begin(), entries.end(),
                  [&](int64_t e) { return e >= 1 && e <= layers; });
  LayerOrder order;
  std::vector<bool> seen(layers, false);
  for (size_t j = 0; j < entries.size(); ++j) {
    int64_t layer = -1;
    for (int64_t i = 0; i < layers; ++i) {
      const int64_t key = numbers ? i + 1 : network.layers[i].position;
      if (key == entries[j]) layer = i;
    }
    if (layer < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          file, ": entry ", j + 1, " is ", entries[j], ", no layer of ",
          network.name, ", whose layers are at ", NumbersOf(network, true)));
    }
    if (seen[layer]) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": entry ", j + 1, " names ", entries[j],
                       " again, expected each layer once"));
    }
    seen[layer] = true;
    order.push_back(layer);
  }
  for (int64_t i = 0; i < layers; ++i) {
    if (seen[i]) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": ", entries.size(), " entries, expected the ",
                     layers, " layers of ", network.name, ": ",
                     numbers ? i + 1 : network.layers[i].position, " (",
                     network.layers[i].name, ") is missing"));
  }
  return order;
}

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

// Whether `file`, which is not there, may stand for a published order: a bare
// name, or in the folder where the authors' files lie. Any other path is one
// that somebody meant.
bool MayBePublished(absl::string_view file) {
  absl::ConsumePrefix(&file, "./");
  absl::ConsumePrefix(&file, "models/");
  return !absl::StrContains(file, '/');
}

// The tag of a published file's name, or the name itself.
std::string TagOf(absl::string_view name, const std::string& family) {
  absl::ConsumePrefix(&name, absl::StrCat(family, "_layers_"));
  absl::ConsumeSuffix(&name, ".json");
  return std::string(name);
}

}  // namespace

std::string OrderFamily(const std::string& network) {
  return absl::StartsWith(network, "vgg") || absl::StartsWith(network, "resnet")
             ? network
             : "mlp3";
}

const std::vector<std::string>& OrderFamilies() {
  static const auto* names = [] {
    auto* list = new std::vector<std::string>;
    for (const Family& family : Families()) list->push_back(family.name);
    return list;
  }();
  return *names;
}

int64_t LayersOf(const std::string& family) {
  return FamilyNamed(family).layers;
}

std::vector<std::string> PublishedTags(const std::string& name) {
  const Family& family = FamilyNamed(name);
  std::vector<std::string> tags = {"forward", "reverse"};
  if (family.ascend.empty()) {
    tags.insert(tags.end(), {"132", "213", "231", "312"});
    return tags;
  }
  tags.insert(tags.end(), {"ascend", "descend"});
  if (!family.random.empty()) tags.push_back("random");
  for (int64_t first = 1; first <= family.layers; ++first) {
    tags.push_back(absl::StrCat(first));
  }
  return tags;
}

LayerOrder PublishedOrder(const std::string& name, const std::string& tag) {
  const Family& family = FamilyNamed(name);
  LayerOrder forward = ForwardOrder(family.layers);
  if (tag == "forward") return forward;
  if (tag == "reverse") return Reversed(forward);
  if (family.ascend.empty()) return FromDigits(tag, family.layers);
  if (tag == "ascend") return FromNumbers(family.ascend);
  if (tag == "descend") return Reversed(FromNumbers(family.ascend));
  if (tag == "random") return FromNumbers(family.random);
  int64_t first = 0;
  if (!absl::SimpleAtoi(tag, &first) || first < 1 || first > family.layers) {
    return {};
  }
  LayerOrder rotated = forward;
  std::rotate(rotated.begin(), rotated.begin() + (first - 1), rotated.end());
  return rotated;
}

std::string OrderFileName(const std::string& family, const std::string& tag) {
  return absl::StrCat(family, "_layers_", tag, ".json");
}

std::string OrderFileText(const Network& network, const LayerOrder& order) {
  std::vector<int64_t> positions;
  for (const int64_t layer : order) {
    positions.push_back(network.layers[layer].position);
  }
  return absl::StrCat("[", absl::StrJoin(positions, ", "), "]\n");
}

absl::StatusOr<LayerOrder> ParseOrder(const std::string& text,
                                      const std::string& file,
                                      const Network& network) {
  const auto json = nlohmann::json::parse(text, nullptr,
                                          /*allow_exceptions=*/false);
  if (!json.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": expected a JSON list of layers, such as [",
                     NumbersOf(network, true), "]"));
  }
  std::vector<int64_t> entries;
  for (const auto& entry : json) {
    if (!entry.is_number_integer()) {
      return absl::InvalidArgumentError(absl::StrCat(
          file, ": entry ", entries.size() + 1, " is ",
          Printable(entry.dump(), 40), ", expected a whole number"));
    }
    entries.push_back(entry.get<int64_t>());
  }
  return ByEntry(entries, network, file);
}

absl::StatusOr<LayerOrder> ReadOrder(const std::string& file,
                                     const Network& network) {
  const std::string path = cli::ResolvePath(file);
  if (!Exists(path)) {
    const std::string family = OrderFamily(network.name);
    const LayerOrder published =
        PublishedOrder(family, TagOf(BaseName(file), family));
    if (MayBePublished(file) && !published.empty()) return published;
    return absl::NotFoundError(absl::StrCat(
        file, ": no such file, nor a published order of ", network.name, ": ",
        absl::StrJoin(PublishedTags(family), ", ")));
  }
  ALTPROP_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  return ParseOrder(text, file, network);
}

LayerOrder AscendingSensitivity(const std::vector<double>& best) {
  LayerOrder order = ForwardOrder(static_cast<int64_t>(best.size()));
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return best[a] > best[b]; });
  return order;
}

}  // namespace altprop::iterbin
