// //cbp:convert: weights of others as a start for //cbp:train.

#include <cmath>
#include <iostream>
#include <optional>
#include <utility>

#include "ATen/core/Tensor.h"
#include "ATen/ops/full.h"
#include "ATen/ops/ones_like.h"
#include "ATen/ops/zeros_like.h"
#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cbp/export_levels.h"
#include "cbp/flags.h"
#include "cbp/weights_file.h"
#include "common/cli/main.h"
#include "common/cli/path.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/start.h"

ABSL_DECLARE_FLAG(std::string, checkpoint);

namespace altprop::cbp {
namespace {

using training::Dict;
using training::Value;

// torchvision's AlexNet has biases where AlexNet-BN has batch norm.
struct Renamed {
  const char* from;
  const char* to;
  const char* norm;
};
constexpr Renamed kAlexNet[] = {
    {"features.0", "features.0", "features.1"},
    {"features.3", "features.4", "features.5"},
    {"features.6", "features.8", "features.9"},
    {"features.8", "features.11", "features.12"},
    {"features.10", "features.14", "features.15"},
    {"classifier.1", "classifier.0", "classifier.1"},
    {"classifier.4", "classifier.3", "classifier.4"},
};
constexpr double kAlexNetEps = 1e-4;

const at::Tensor* Find(const Dict& weights, const std::string& name) {
  for (const auto& [key, value] : weights) {
    if (key == name) return value.tensor();
  }
  return nullptr;
}

bool IsTorchvisionAlexNet(const Dict& weights) {
  return Find(weights, "features.10.bias") != nullptr &&
         Find(weights, "features.14.weight") == nullptr;
}

// The same function of an image in evaluation: batch norm with mean 0, variance
// 1 and a weight that undoes its epsilon adds the bias.
absl::StatusOr<Dict> FromAlexNet(const Dict& weights, const std::string& file) {
  Dict out;
  for (const Renamed& layer : kAlexNet) {
    const std::string from = layer.from;
    const at::Tensor* weight = Find(weights, from + ".weight");
    const at::Tensor* bias = Find(weights, from + ".bias");
    if (weight == nullptr || bias == nullptr || bias->dim() != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          file, ": has no ", from, ".weight and bias, as AlexNet has"));
    }
    const int64_t channels = bias->size(0);
    const std::string norm = layer.norm;
    out.emplace_back(absl::StrCat(layer.to, ".weight"), *weight);
    out.emplace_back(
        norm + ".weight",
        at::full({channels}, std::sqrt(1 + kAlexNetEps), at::dtype(at::kDouble))
            .to(bias->scalar_type()));
    out.emplace_back(norm + ".bias", *bias);
    out.emplace_back(norm + ".running_mean", at::zeros_like(*bias));
    out.emplace_back(norm + ".running_var", at::ones_like(*bias));
  }
  for (const char* name : {"classifier.6.weight", "classifier.6.bias"}) {
    const at::Tensor* tensor = Find(weights, name);
    if (tensor == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": has no ", name, ", as AlexNet has"));
    }
    out.emplace_back(name, *tensor);
  }
  return out;
}

// torchvision's auxiliary classifiers serve its training alone.
Dict WithoutAuxiliaries(const Dict& weights) {
  Dict out;
  for (const auto& [name, value] : weights) {
    if (!absl::StartsWith(name, "aux1.") && !absl::StartsWith(name, "aux2.")) {
      out.emplace_back(name, value);
    }
  }
  return out;
}

absl::Status Main(const cli::ParsedArguments& arguments) {
  ALTPROP_RETURN_IF_ERROR(RestoreFileFlags(
      cli::ResolvePath(absl::GetFlag(FLAGS_checkpoint)), arguments));
  ALTPROP_RETURN_IF_ERROR(ApplyDataset(arguments));
  ALTPROP_ASSIGN_OR_RETURN(Options o, OptionsFromFlags(/*training=*/false));
  if (o.checkpoint.empty()) {
    return UsageError("--checkpoint: name the file to convert");
  }
  if (o.output.empty()) return UsageError("--output: name the file to write");
  if (o.run.check_flags) return absl::OkStatus();
  ALTPROP_ASSIGN_OR_RETURN(Dict weights, ReadWeightsFile(o.checkpoint));
  if (o.architecture.model == Model::kAlexNet &&
      IsTorchvisionAlexNet(weights)) {
    ALTPROP_ASSIGN_OR_RETURN(weights, FromAlexNet(weights, o.checkpoint));
  } else if (o.architecture.model == Model::kGoogLeNet) {
    weights = WithoutAuxiliaries(weights);
  }
  ALTPROP_RETURN_IF_ERROR(CheckWeights(o, weights, o.checkpoint));
  const size_t count = weights.size();
  ALTPROP_RETURN_IF_ERROR(training::SaveCheckpoint(
      o.output, Dict{{"model", Value(std::move(weights))}}));
  std::cout << o.output << ": " << count << " tensors of "
            << ModelName(o.architecture.model) << std::endl;
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::cbp

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv, altprop::cbp::ConvertProgram(),
                            altprop::cbp::Main);
}
