#include "sedona/memory.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/logging.h"
#include "common/status.h"
#include "common/training/checkpoint.h"

namespace altprop::sedona {
namespace {

namespace fs = std::filesystem;
using training::Dict;
using training::List;
using training::Value;

constexpr char kSettings[] = "settings.txt";

Value ToValue(const Snapshot& snapshot) {
  return Dict{{"step", snapshot.step},
              {"model", snapshot.model},
              {"optim", snapshot.optimizer},
              {"error", snapshot.error}};
}

absl::StatusOr<Snapshot> ReadSnapshot(const Value& value) {
  Snapshot snapshot;
  ALTPROP_ASSIGN_OR_RETURN(snapshot.step, value.GetInt("step"));
  ALTPROP_ASSIGN_OR_RETURN(snapshot.error, value.GetDouble("error"));
  ALTPROP_RETURN_IF_ERROR(value.GetDict("model").status());
  ALTPROP_RETURN_IF_ERROR(value.GetDict("optim").status());
  snapshot.model = *value.Find("model");
  snapshot.optimizer = *value.Find("optim");
  return snapshot;
}

// The snapshots' files, oldest first.
std::vector<std::string> Files(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    double seconds = 0;
    if (absl::SimpleAtod(name, &seconds)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status CheckSettings(const std::string& folder,
                           const MemorySettings& settings) {
  const std::string path = absl::StrCat(folder, "/", kSettings);
  std::ifstream file(path);
  // The authors' own memories have none.
  if (!file) return absl::OkStatus();
  std::map<std::string, std::string> recorded;
  for (std::string line; std::getline(file, line);) {
    const size_t equals = line.find('=');
    if (equals != std::string::npos) {
      recorded[line.substr(0, equals)] = line.substr(equals + 1);
    }
  }
  for (const auto& [flag, value] : settings) {
    const auto found = recorded.find(flag);
    if (found == recorded.end() || found->second == value) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(folder, ": made with --", flag, "=", found->second,
                     ", not ", value, "; give the same, or another --mem_dir"));
  }
  return absl::OkStatus();
}

}  // namespace

Value DeepCopy(const Value& value) {
  if (const at::Tensor* tensor = value.tensor()) {
    return tensor->detach().to(at::Device(at::kCPU), tensor->scalar_type(),
                               /*non_blocking=*/false, /*copy=*/true);
  }
  if (const Dict* dict = value.dict()) {
    Dict copy;
    for (const auto& [key, entry] : *dict) {
      copy.emplace_back(key, DeepCopy(entry));
    }
    return copy;
  }
  if (const List* list = value.list()) {
    List copy;
    for (const Value& entry : *list) copy.push_back(DeepCopy(entry));
    return copy;
  }
  return value;
}

void WeightMemory::Insert(Snapshot snapshot) {
  if (size() >= capacity_) {
    auto leaves = snapshots_.begin();
    if (eviction_ == Eviction::kWorst) {
      leaves = std::max_element(
          snapshots_.begin(), snapshots_.end(),
          [](const auto& a, const auto& b) { return a.error < b.error; });
      if (!(leaves->error > 0)) return;
    }
    snapshots_.erase(leaves);
  }
  snapshots_.push_back(std::move(snapshot));
}

Snapshot WeightMemory::Sample(NumpyRandom& random) {
  CHECK(!empty());
  const auto at = snapshots_.begin() + random.ChoiceOne(size());
  Snapshot drawn = std::move(*at);
  snapshots_.erase(at);
  return drawn;
}

double WeightMemory::MeanError() const {
  double sum = 0;
  for (const Snapshot& snapshot : snapshots_) sum += snapshot.error;
  return empty() ? 0 : sum / static_cast<double>(size());
}

absl::Status WeightMemory::Save(const std::string& folder,
                                const MemorySettings& settings) const {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(folder, ": cannot be made: ", error.message()));
  }
  const std::vector<std::string> old = Files(folder);
  double seconds = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  for (const Snapshot& snapshot : snapshots_) {
    seconds += 1e-3;
    ALTPROP_RETURN_IF_ERROR(
        training::SaveCheckpoint(absl::StrFormat("%s/%.7f", folder, seconds),
                                 sedona::ToValue(snapshot)));
  }
  const std::string path = absl::StrCat(folder, "/", kSettings);
  std::ofstream file(path);
  for (const auto& [flag, value] : settings)
    file << flag << '=' << value << '\n';
  file.close();
  if (!file) return absl::UnavailableError(path + ": cannot be written");
  for (const std::string& name : old)
    fs::remove(fs::path(folder) / name, error);
  return absl::OkStatus();
}

absl::Status WeightMemory::Load(const std::string& folder,
                                const MemorySettings& settings) {
  ALTPROP_RETURN_IF_ERROR(CheckSettings(folder, settings));
  std::vector<std::string> names = Files(folder);
  if (names.empty()) {
    return absl::NotFoundError(absl::StrCat(folder, ": holds no snapshot"));
  }
  const auto most = static_cast<size_t>(capacity_);
  if (names.size() > most) {
    names.erase(names.begin(), names.end() - static_cast<int64_t>(most));
  }
  snapshots_.clear();
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(folder, "/", name);
    ALTPROP_ASSIGN_OR_RETURN(const Value value, training::LoadCheckpoint(path));
    absl::StatusOr<Snapshot> snapshot = ReadSnapshot(value);
    if (!snapshot.ok()) return Annotate(snapshot.status(), path);
    snapshots_.push_back(*std::move(snapshot));
  }
  return absl::OkStatus();
}

Value WeightMemory::ToValue() const {
  List list;
  for (const Snapshot& snapshot : snapshots_) {
    list.push_back(sedona::ToValue(snapshot));
  }
  return list;
}

absl::Status WeightMemory::FromValue(const Value& value) {
  const List* list = value.list();
  if (list == nullptr) {
    return absl::InvalidArgumentError("\"memory\" is not a list");
  }
  snapshots_.clear();
  for (const Value& entry : *list) {
    ALTPROP_ASSIGN_OR_RETURN(snapshots_.emplace_back(), ReadSnapshot(entry));
  }
  return absl::OkStatus();
}

std::string KeyNumber(double value) {
  if (value == 0) return "0";
  if (std::abs(value) < 0.01 || std::abs(value) > 100) {
    return absl::StrFormat("%.2e", value);
  }
  return absl::StrFormat("%.4f", value);
}

}  // namespace altprop::sedona
