#include "cbp/export_levels.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/eq.h"
#include "ATen/ops/tensor.h"
#include "absl/container/flat_hash_map.h"
#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cbp/constraint.h"
#include "cbp/setup.h"
#include "cbp/weights_file.h"
#include "common/cli/path.h"
#include "common/status.h"
#include "common/training/bit_planes.h"
#include "common/training/checkpoint.h"
#include "common/training/safetensors.h"
#include "common/training/start.h"

ABSL_DECLARE_FLAG(std::string, checkpoint);
ABSL_DECLARE_FLAG(std::string, model);
ABSL_DECLARE_FLAG(std::string, quant);
ABSL_DECLARE_FLAG(int64_t, width);

namespace altprop::cbp {
namespace {

using training::NamedTensors;

int64_t BytesOf(const NamedTensors& tensors) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    bytes += tensor.numel() * static_cast<int64_t>(tensor.element_size());
  }
  return bytes;
}

// Floating point as float32, whatever the run computed in.
at::Tensor Shared(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().cpu();
  return plain.is_floating_point() ? plain.to(at::kFloat) : plain;
}

int64_t Ties(const at::Tensor& w, const at::Tensor& s, Mode mode) {
  const LevelSet levels = LevelsOf(mode);
  int64_t ties = 0;
  for (int k = 0; k + 1 < levels.size; ++k) {
    ties += w.eq(s * levels.b[k]).sum().item<int64_t>();
  }
  return ties;
}

// Adds the packed form of constrained layer k.
void AddPacked(const Constrained& c, size_t k, Mode mode, NamedTensors& tensors,
               ExportSummary& summary) {
  const at::Tensor w = c.View(c.w, k).cpu().contiguous();
  const at::Tensor s = c.ScaleOf(k).cpu();
  summary.ties += Ties(w, s, mode);
  summary.constrained += w.numel();
  tensors.emplace_back(
      c.names[k] + ".levels",
      training::PackBitPlanes(NearestIndex(w, s, mode), LevelsOf(mode).bits));
  tensors.emplace_back(c.names[k] + ".shape",
                       at::tensor(c.shapes[k], at::kLong));
  tensors.emplace_back(c.names[k] + ".scale", Shared(s));
}

std::string LevelsText(Mode mode) {
  const LevelSet levels = LevelsOf(mode);
  return absl::StrJoin(levels.f.begin(), levels.f.begin() + levels.size, ",");
}

// Channels and classes, as the file's first and last layers have them.
absl::Status ReadShapes(const training::Dict& weights, const std::string& file,
                        Architecture& architecture) {
  const auto size = [&](const std::vector<const char*>& names,
                        int64_t dim) -> int64_t {
    for (const auto& [name, value] : weights) {
      for (const char* wanted : names) {
        if (name == wanted && value.tensor() != nullptr &&
            value.tensor()->dim() > dim) {
          return value.tensor()->size(dim);
        }
      }
    }
    return 0;
  };
  const bool mnist = architecture.model == Model::kMnistCnn;
  const bool alex = architecture.model == Model::kAlexNet;
  architecture.classes = size({mnist  ? "classifier.3.weight"
                               : alex ? "classifier.6.weight"
                                      : "fc.weight"},
                              0);
  architecture.input_channels =
      size({"features.0.weight", "conv1.weight", "conv1.conv.weight"}, 1);
  if (architecture.classes > 0 && architecture.input_channels > 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(file, ": has no first and last layer of --model=",
                   ModelName(architecture.model)));
}

}  // namespace

absl::StatusOr<ExportSummary> ExportLevels(const std::string& path,
                                           const Options& options,
                                           const Network& network) {
  const at::NoGradGuard no_grad;
  ExportSummary summary;
  NamedTensors tensors, whole;
  const Constrained& c = network.constrained();
  size_t next = 0;
  for (const auto& [name, tensor] : network.State()) {
    whole.emplace_back(name, Shared(tensor));
    if (!network.quantized()) {
      tensors.emplace_back(name, Shared(tensor));
    } else if (next < c.size() && name == c.names[next] + ".weight") {
      AddPacked(c, next++, *options.mode, tensors, summary);
    } else if (!absl::EndsWith(name, ".scale")) {
      tensors.emplace_back(name, Shared(tensor));
    }
  }
  for (const WeightLayer& layer : network.layers()) {
    summary.weights += layer.weight.numel();
  }
  summary.bytes = BytesOf(tensors);
  summary.float_bytes = BytesOf(whole);
  training::Metadata metadata = {
      {"format", network.quantized() ? kLevelsFormat : "pt"},
      {"method", "cbp"},
      {"model", std::string(ModelName(options.architecture.model))},
      {"width", absl::StrCat(options.architecture.width)}};
  if (network.quantized()) {
    metadata.emplace_back("quant", std::string(ModeName(*options.mode)));
    metadata.emplace_back("levels", LevelsText(*options.mode));
  }
  ALTPROP_RETURN_IF_ERROR(training::ExportSafetensors(path, tensors, metadata));
  return summary;
}

absl::Status ExportNetwork(const std::string& path, const Options& options,
                           const Network& network) {
  ALTPROP_ASSIGN_OR_RETURN(const ExportSummary summary,
                           ExportLevels(path, options, network));
  std::cout << absl::StrFormat(
                   "%s: %d weights, %d of them packed in %d bits, %d bytes "
                   "(in float32 %d: %.1f times), %d ties",
                   path, summary.weights, summary.constrained,
                   network.quantized() ? LevelsOf(*options.mode).bits : 32,
                   summary.bytes, summary.float_bytes,
                   static_cast<double>(summary.float_bytes) /
                       static_cast<double>(std::max<int64_t>(1, summary.bytes)),
                   summary.ties)
            << std::endl;
  return absl::OkStatus();
}

namespace {

// A network with `weights`, under the constraint so that the names of scales
// are known. Counts the scales that are missing.
absl::StatusOr<Network> Filled(Options& options, const training::Dict& weights,
                               const std::string& file,
                               size_t& missing_scales) {
  ALTPROP_RETURN_IF_ERROR(ReadShapes(weights, file, options.architecture));
  Network network = MakeNetwork(options);
  network.UseQuantized(true);
  ALTPROP_ASSIGN_OR_RETURN(const std::vector<std::string> missing,
                           OverlayWeights(weights, file, network.State()));
  missing_scales = 0;
  for (const std::string& name : missing) {
    if (absl::EndsWith(name, ".scale")) {
      ++missing_scales;
    } else if (!absl::EndsWith(name, "num_batches_tracked")) {
      return absl::InvalidArgumentError(absl::StrCat(
          file, ": has no ", name,
          ", which --model=", ModelName(options.architecture.model), " has"));
    }
  }
  return network;
}

}  // namespace

absl::Status CheckWeights(Options& options, const training::Dict& weights,
                          const std::string& file) {
  size_t missing_scales = 0;
  return Filled(options, weights, file, missing_scales).status();
}

absl::StatusOr<Network> LoadNetwork(Options& options, const std::string& file) {
  ALTPROP_ASSIGN_OR_RETURN(const training::Dict weights, ReadWeightsFile(file));
  size_t scales = 0;  // missing
  ALTPROP_ASSIGN_OR_RETURN(Network network,
                           Filled(options, weights, file, scales));
  Constrained& c = network.constrained();
  if (!options.mode.has_value()) {
    network.UseQuantized(false);
    return network;
  }
  if (scales == c.size()) {
    ALTPROP_RETURN_IF_ERROR(Annotate(network.SetScales(), file));
  } else if (scales > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": has scales for ", c.size() - scales, " of ",
                     c.size(), " constrained layers"));
  }
  for (size_t k = 0; k < c.size(); ++k) {
    const double s = c.ScaleOf(k).to(at::kDouble).item<double>();
    if (!(s > 0) || !std::isfinite(s)) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": ", c.names[k], ".scale is ", s,
                       ", expected a number above 0"));
    }
  }
  network.Quantize(*options.mode);
  return network;
}

namespace {

absl::Status Contradiction(absl::string_view flag, absl::string_view given,
                           const std::string& file, absl::string_view value) {
  return FlagError(flag, given,
                   absl::StrCat(file, " is of --", flag, "=", value,
                                ": leave the flag out"));
}

// --model, --width and --quant from what ExportLevels() wrote into `file`.
absl::Status RestoreExported(const std::string& file,
                             const training::Metadata& metadata,
                             const cli::ParsedArguments& arguments) {
  absl::flat_hash_map<std::string, std::string> facts(metadata.begin(),
                                                      metadata.end());
  if (facts["method"] != "cbp") return absl::OkStatus();
  const absl::StatusOr<Model> model = ParseModel(facts["model"]);
  int64_t width = 0;
  const bool packed = facts["format"] == kLevelsFormat;
  if (!model.ok() || !absl::SimpleAtoi(facts["width"], &width) || width < 1 ||
      (packed && !ParseMode(facts["quant"]).ok())) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": metadata model=", Printable(facts["model"]),
        " width=", Printable(facts["width"]),
        " quant=", Printable(facts["quant"]), ": not those of a network"));
  }
  if (!arguments.Given("model")) {
    absl::SetFlag(&FLAGS_model, facts["model"]);
  } else if (absl::GetFlag(FLAGS_model) != facts["model"]) {
    return Contradiction("model", absl::GetFlag(FLAGS_model), file,
                         facts["model"]);
  }
  const int64_t asked = absl::GetFlag(FLAGS_width);
  if (!arguments.Given("width")) {
    absl::SetFlag(&FLAGS_width, width);
  } else if ((asked == 0 ? DefaultWidth(*model) : asked) != width) {
    return Contradiction("width", absl::StrCat(asked), file,
                         absl::StrCat(width));
  }
  // Weights in full precision have levels where somebody asks for them.
  if (!arguments.Given("quant")) {
    absl::SetFlag(&FLAGS_quant, packed ? facts["quant"] : "none");
  } else if (packed && absl::GetFlag(FLAGS_quant) != facts["quant"]) {
    return Contradiction("quant", absl::GetFlag(FLAGS_quant), file,
                         facts["quant"]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RestoreFileFlags(const std::string& file,
                              const cli::ParsedArguments& arguments) {
  if (file.empty()) return absl::OkStatus();
  if (absl::EndsWith(file, ".safetensors")) {
    const auto read = training::LoadSafetensors(file);
    // What is wrong with a file LoadNetwork() tells.
    return read.ok() ? RestoreExported(file, read->metadata, arguments)
                     : absl::OkStatus();
  }
  const absl::StatusOr<training::Start> start = training::ReadStart(file);
  if (!start.ok()) return absl::OkStatus();
  const training::Value* method = start->checkpoint.Find("method");
  if (method == nullptr || method->string() == nullptr ||
      *method->string() != "cbp") {
    return absl::OkStatus();
  }
  ALTPROP_RETURN_IF_ERROR(training::RestoreFlags(*start, arguments));
  // Before the constraint a network has no scales: levels are for the asking.
  if (start->checkpoint.Find("window") == nullptr &&
      !arguments.Given("quant")) {
    absl::SetFlag(&FLAGS_quant, "none");
  }
  return absl::OkStatus();
}

std::string FileToRead(const Options& options) {
  if (!options.checkpoint.empty()) return options.checkpoint;
  return cli::ResolvePath(
      absl::StrCat("model/", ModelName(options.architecture.model), "_",
                   QuantName(options), "_prequantized.pth"));
}

}  // namespace altprop::cbp
