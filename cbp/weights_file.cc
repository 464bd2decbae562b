#include "cbp/weights_file.h"

#include <algorithm>
#include <utility>

#include "ATen/core/Tensor.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/max.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cbp/constraint.h"
#include "common/status.h"
#include "common/training/bit_planes.h"
#include "common/training/checkpoint.h"

namespace altprop::cbp {
namespace {

using training::Dict;
using training::Value;

std::string Shape(const at::Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.sizes(), ", "), "]");
}

std::string MetadataOf(const training::Safetensors& file,
                       const std::string& key) {
  for (const auto& [name, value] : file.metadata) {
    if (name == key) return value;
  }
  return "";
}

// What to do with the numpy array in the authors' checkpoints.
absl::Status WithAdvice(const absl::Status& status) {
  if (!absl::StrContains(status.message(), "numpy")) return status;
  return {status.code(),
          absl::StrCat(status.message(),
                       "; a checkpoint of the authors' program: convert it by "
                       "torch.save({'model_state_dict': torch.load('old.pth', "
                       "weights_only=False)['model_state_dict']}, 'new.pth')")};
}

const Dict* WeightsIn(const Value& root) {
  for (const char* key : {"model", "model_state_dict", "state_dict"}) {
    const Value* found = root.Find(key);
    if (found != nullptr && found->dict() != nullptr) return found->dict();
  }
  return root.dict();
}

absl::StatusOr<std::vector<int64_t>> ShapeOf(const at::Tensor& tensor) {
  if (tensor.scalar_type() != at::kLong || tensor.dim() != 1 ||
      tensor.size(0) > 8) {
    return absl::InvalidArgumentError("expected a shape, int64");
  }
  std::vector<int64_t> shape;
  int64_t numel = 1;
  for (int64_t i = 0; i < tensor.size(0); ++i) {
    shape.push_back(tensor[i].item<int64_t>());
    if (shape.back() < 1 || shape.back() > (int64_t{1} << 32) / numel) {
      return absl::InvalidArgumentError("a shape of no layer");
    }
    numel *= shape.back();
  }
  return shape;
}

absl::StatusOr<at::Tensor> Unpack(const at::Tensor& planes,
                                  const at::Tensor& shape,
                                  const at::Tensor& scale, Mode mode) {
  ALTPROP_ASSIGN_OR_RETURN(const std::vector<int64_t> sizes, ShapeOf(shape));
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor index,
                           training::UnpackBitPlanes(planes, sizes));
  if (index.numel() > 0 && index.max().item<int64_t>() >= LevelsOf(mode).size) {
    return absl::InvalidArgumentError(
        absl::StrCat("an index beyond the levels of ", ModeName(mode)));
  }
  if (scale.numel() != 1 || !scale.is_floating_point()) {
    return absl::InvalidArgumentError("expected a scale of one element");
  }
  return FromIndex(index, scale.view({1}), mode);
}

}  // namespace

absl::StatusOr<Dict> UnpackLevels(const training::Safetensors& file,
                                  const std::string& name) {
  absl::flat_hash_map<std::string, at::Tensor> by_name;
  for (const auto& [key, tensor] : file.tensors) by_name.emplace(key, tensor);
  Dict weights;
  if (MetadataOf(file, "format") != kLevelsFormat) {
    for (const auto& [key, tensor] : file.tensors) {
      weights.emplace_back(key, tensor);
    }
    return weights;
  }
  const absl::StatusOr<Mode> mode = ParseMode(MetadataOf(file, "quant"));
  if (!mode.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": metadata quant=", Printable(MetadataOf(file, "quant")), ": ",
        mode.status().message()));
  }
  for (const auto& [key, tensor] : file.tensors) {
    if (absl::EndsWith(key, ".shape")) continue;
    if (!absl::EndsWith(key, ".levels")) {
      weights.emplace_back(key, tensor);
      continue;
    }
    const std::string layer(absl::StripSuffix(key, ".levels"));
    const auto shape = by_name.find(layer + ".shape");
    const auto scale = by_name.find(layer + ".scale");
    if (shape == by_name.end() || scale == by_name.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": ", Printable(layer), " has no shape or no scale"));
    }
    absl::StatusOr<at::Tensor> weight =
        Unpack(tensor, shape->second, scale->second, *mode);
    if (!weight.ok()) {
      return Annotate(weight.status(),
                      absl::StrCat(name, ": ", Printable(key)));
    }
    weights.emplace_back(layer + ".weight", *std::move(weight));
  }
  return weights;
}

absl::StatusOr<Dict> ReadWeightsFile(const std::string& file) {
  if (absl::EndsWith(file, ".safetensors")) {
    ALTPROP_ASSIGN_OR_RETURN(const training::Safetensors read,
                             training::LoadSafetensors(file));
    return UnpackLevels(read, file);
  }
  const absl::StatusOr<Value> read = training::LoadCheckpoint(file);
  if (!read.ok()) return WithAdvice(read.status());
  const Value& root = *read;
  const Dict* found = WeightsIn(root);
  if (found == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": is ", root.TypeName(), ", expected a dictionary of weights"));
  }
  Dict weights;
  for (const auto& [name, value] : *found) {
    // The authors' wrapper for several processes writes it.
    weights.emplace_back(std::string(absl::StripPrefix(name, "module.")),
                         value);
  }
  return weights;
}

absl::StatusOr<std::vector<std::string>> OverlayWeights(
    const Dict& weights, const std::string& file,
    const training::NamedTensors& into) {
  absl::flat_hash_map<std::string, at::Tensor> wanted;
  for (const auto& [name, tensor] : into) wanted.emplace(name, tensor);
  std::vector<std::string> differences;
  absl::flat_hash_set<std::string> given;
  for (const auto& [name, value] : weights) {
    const auto found = wanted.find(name);
    if (found == wanted.end()) {
      differences.push_back(absl::StrCat("left over ", Printable(name)));
    } else if (value.tensor() == nullptr) {
      differences.push_back(
          absl::StrCat(name, " is ", value.TypeName(), ", expected a tensor"));
    } else if (value.tensor()->sizes() != found->second.sizes()) {
      differences.push_back(absl::StrCat(name, " is ", Shape(*value.tensor()),
                                         ", expected ", Shape(found->second)));
    }
    given.insert(name);
  }
  if (!differences.empty()) {
    // A network of another kind differs in everything.
    constexpr size_t kMost = 8;
    const size_t more =
        differences.size() - std::min(kMost, differences.size());
    differences.resize(differences.size() - more);
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": does not fit the network: ", absl::StrJoin(differences, "; "),
        more > 0 ? absl::StrCat("; and ", more, " more") : ""));
  }
  const at::NoGradGuard no_grad;
  std::vector<std::string> missing;
  for (const auto& [name, tensor] : into) {
    if (!given.contains(name)) missing.push_back(name);
  }
  for (const auto& [name, value] : weights) {
    wanted[name].copy_(*value.tensor());
  }
  return missing;
}

}  // namespace altprop::cbp
