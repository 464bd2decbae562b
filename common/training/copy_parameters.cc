#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"
#include "common/training/checkpoint.h"

namespace altprop::training {
namespace {

std::string Shape(const at::Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.sizes(), ", "), "]");
}

// What is wrong with `from` as `name`; empty if nothing is.
std::string Difference(const std::string& name, const Value* from,
                       const at::Tensor& to) {
  if (from == nullptr) return absl::StrCat("missing ", name, " ", Shape(to));
  if (from->tensor() == nullptr) {
    return absl::StrCat(name, " is ", from->TypeName(), ", expected a tensor ",
                        Shape(to));
  }
  if (from->tensor()->sizes() == to.sizes()) return "";
  return absl::StrCat(name, " is ", Shape(*from->tensor()), ", expected ",
                      Shape(to));
}

std::string LeftOver(const std::string& name, const Value& value) {
  const std::string printable = Printable(name);
  return value.tensor() == nullptr ? absl::StrCat("left over ", printable)
                                   : absl::StrCat("left over ", printable, " ",
                                                  Shape(*value.tensor()));
}

std::vector<std::string> Differences(const Value& model,
                                     const NamedTensors& into) {
  std::vector<std::string> differences;
  absl::flat_hash_set<std::string> wanted;
  for (const auto& [name, tensor] : into) {
    wanted.insert(name);
    std::string difference = Difference(name, model.Find(name), tensor);
    if (!difference.empty()) differences.push_back(std::move(difference));
  }
  for (const auto& [name, value] : *model.dict()) {
    if (!wanted.contains(name)) differences.push_back(LeftOver(name, value));
  }
  return differences;
}

}  // namespace

absl::Status CopyParameters(const Value& model, const std::string& file,
                            const NamedTensors& into) {
  if (model.dict() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": the model is ", model.TypeName(),
                     ", expected a dictionary of tensors"));
  }
  const std::vector<std::string> differences = Differences(model, into);
  if (!differences.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        file,
        ": does not fit the network: ", absl::StrJoin(differences, "; ")));
  }
  for (const auto& [name, tensor] : into) {
    // detach: parameters may require gradients, which forbids copying in place.
    tensor.detach().copy_(*model.Find(name)->tensor());
  }
  return absl::OkStatus();
}

}  // namespace altprop::training
