#include "common/training/start.h"

#include <algorithm>
#include <utility>

#include "ATen/ops/isfinite.h"
#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/training/safetensors.h"

namespace altprop::training {
namespace {

// The entry of the checkpoint, or an error that names the file.
absl::StatusOr<const Value*> Entry(const Start& start, absl::string_view key) {
  const Value* value = start.checkpoint.Find(key);
  if (value != nullptr) return value;
  return absl::InvalidArgumentError(
      absl::StrCat(start.file, ": no \"", key, "\""));
}

}  // namespace

absl::StatusOr<Start> ReadStart(const std::string& file) {
  if (file.empty()) return Start();
  ALTPROP_ASSIGN_OR_RETURN(Value checkpoint, LoadCheckpoint(file));
  return Start{file, std::move(checkpoint)};
}

absl::Status RestoreFlags(const Start& start,
                          const cli::ParsedArguments& arguments,
                          const std::vector<std::string>& fresh) {
  if (!start.resumes()) return absl::OkStatus();
  const absl::StatusOr<const Dict*> flags = start.checkpoint.GetDict("flags");
  if (!flags.ok()) return Annotate(flags.status(), start.file);
  for (const auto& [name, value] : **flags) {
    if (arguments.Given(name) || absl::c_linear_search(fresh, name)) continue;
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

absl::StatusOr<Value> ReadWeights(const std::string& file) {
  if (absl::EndsWith(file, ".safetensors")) {
    ALTPROP_ASSIGN_OR_RETURN(Safetensors read, LoadSafetensors(file));
    return Value(ModelDict(read.tensors));
  }
  ALTPROP_ASSIGN_OR_RETURN(Value root, LoadCheckpoint(file));
  const Value* model = root.Find("model");
  if (model == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": expected a dictionary with the parameters under \"model\""));
  }
  return *model;
}

absl::Status LoadModel(const Start& start, const std::string& init_from,
                       const NamedTensors& model) {
  if (start.resumes()) {
    ALTPROP_ASSIGN_OR_RETURN(const Value* saved, Entry(start, "model"));
    return CopyParameters(*saved, start.file, model);
  }
  if (init_from.empty()) return absl::OkStatus();
  ALTPROP_ASSIGN_OR_RETURN(const Value weights, ReadWeights(init_from));
  return CopyParameters(weights, init_from, model);
}

absl::Status LoadOptimizer(const Start& start, Optimizer& optimizer) {
  if (!start.resumes()) return absl::OkStatus();
  ALTPROP_ASSIGN_OR_RETURN(const Value* state, Entry(start, "optimizer"));
  return optimizer.LoadState(*state, start.file);
}

Dict ModelDict(const NamedTensors& model) {
  Dict dict;
  dict.reserve(model.size());
  // Without what autograd knows of them.
  for (const auto& [name, tensor] : model) {
    dict.emplace_back(name, tensor.detach());
  }
  return dict;
}

Dict FlagDict(const std::vector<std::pair<std::string, std::string>>& flags) {
  Dict dict;
  dict.reserve(flags.size());
  for (const auto& [name, value] : flags) dict.emplace_back(name, value);
  return dict;
}

absl::Status SaveFinite(const std::string& path, const NamedTensors& model,
                        int64_t step, const Value& root) {
  for (const auto& [name, tensor] : model) {
    if (!at::isfinite(tensor.detach()).all().item<bool>()) {
      return absl::DataLossError(
          absl::StrCat(name, " is not finite after step ", step,
                       "; training diverged, and ", path, " was not written"));
    }
  }
  return SaveCheckpoint(path, root);
}

}  // namespace altprop::training
