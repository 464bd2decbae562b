#include "common/training/metrics.h"

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace altprop::training {
namespace {

using Json = nlohmann::ordered_json;

double NumberOrNan(const Json& json) {
  return json.is_number() ? json.get<double>()
                          : std::numeric_limits<double>::quiet_NaN();
}

// The fields before the values. False where one is missing or of another type.
bool ReadFields(const Json& json, MetricsLine& line) {
  if (!json.is_object()) return false;
  const auto split = json.find("split"), epoch = json.find("epoch"),
             step = json.find("step"), wall_time = json.find("wall_time");
  const auto end = json.end();
  if (split == end || epoch == end || step == end || wall_time == end ||
      !split->is_string() || !epoch->is_number_integer() ||
      !step->is_number_integer() || !wall_time->is_number()) {
    return false;
  }
  line.split = split->get<std::string>();
  line.epoch = epoch->get<int64_t>();
  line.step = step->get<int64_t>();
  line.wall_time = wall_time->get<double>();
  return true;
}

bool IsField(absl::string_view key) {
  return key == "split" || key == "epoch" || key == "step" ||
         key == "wall_time";
}

}  // namespace

std::string MetricsJson(const MetricsLine& line) {
  Json json;
  json["split"] = line.split;
  json["epoch"] = line.epoch;
  json["step"] = line.step;
  json["wall_time"] = line.wall_time;
  for (const auto& [name, value] : line.values) json[name] = value;
  return json.dump();  // writes null for what is not finite
}

absl::StatusOr<MetricsLine> ParseMetricsJson(absl::string_view text) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr,
                                /*allow_exceptions=*/false);
  MetricsLine line;
  if (!ReadFields(json, line)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected a JSON object with split, epoch, step and wall_time, got ",
        text.substr(0, 60)));
  }
  for (const auto& [key, value] : json.items()) {
    if (!IsField(key) && (value.is_number() || value.is_null())) {
      line.values.emplace_back(key, NumberOrNan(value));
    }
  }
  return line;
}

}  // namespace altprop::training
