// //iterbin:export: the weights of a run, binary layers packed one bit each.

#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/cli/main.h"
#include "common/cli/path.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "iterbin/packed.h"
#include "iterbin/state.h"

ABSL_FLAG(std::string, checkpoint, "",
          "checkpoint.pt of a run, or the folder that holds it");
ABSL_FLAG(std::string, out, "", "the .safetensors file to write");

namespace altprop::iterbin {
namespace {

using training::Value;

// The checkpoint's flag, "" where it has none of that name.
std::string SavedFlag(const Value& root, absl::string_view flag) {
  const Value* flags = root.Find("flags");
  if (flags == nullptr) return "";
  return flags->GetString(flag).value_or("");
}

// Of //iterbin:main, or else of the ImageNet programs, whose checkpoints name
// no model.
std::string NetworkName(const std::string& model) {
  if (model.empty()) return "resnet21";
  absl::string_view name = model;
  if (!absl::ConsumeSuffix(&name, "_layer")) {
    absl::ConsumeSuffix(&name, "_binary");
  }
  return std::string(name);
}

// The network with its tensors in the types they have in the file.
absl::StatusOr<Network> LoadNetwork(const Value& root, const std::string& file,
                                    const std::string& name) {
  Network network = MakeNamed(name, models::SeededGenerator(0));
  const Value* model = root.Find("model");
  if (model == nullptr || model->dict() == nullptr || model->dict()->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": no \"model\""));
  }
  const at::Tensor* first = model->dict()->front().second.tensor();
  if (first != nullptr && first->is_floating_point()) {
    network.State().ConvertTo(first->scalar_type(), at::kCPU);
  }
  ALTPROP_RETURN_IF_ERROR(
      training::CopyParameters(*model, file, network.entries()));
  return network;
}

absl::Status Main(const cli::ParsedArguments&) {
  std::string file = cli::ResolvePath(absl::GetFlag(FLAGS_checkpoint));
  const std::string out = cli::ResolvePath(absl::GetFlag(FLAGS_out));
  if (file.empty()) return UsageError("--checkpoint: name a checkpoint");
  if (!absl::EndsWith(out, ".safetensors")) {
    return FlagError("out", out, "expected a name that ends in .safetensors");
  }
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) file += "/checkpoint.pt";
  ALTPROP_ASSIGN_OR_RETURN(const Value root, training::LoadCheckpoint(file));
  if (root.GetString("method").value_or("") != "iterbin") {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": not a checkpoint of this package's programs"));
  }
  const std::string model = SavedFlag(root, "model");
  const std::string name = NetworkName(model);
  if (!IsNetworkName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": no network is called ", Printable(name, 40)));
  }
  ALTPROP_ASSIGN_OR_RETURN(const Network network,
                           LoadNetwork(root, file, name));
  const absl::StatusOr<Flags> flags =
      BinaryLayersOf(root, network.layers.size());
  if (!flags.ok()) return Annotate(flags.status(), file);
  ALTPROP_ASSIGN_OR_RETURN(
      const auto sizes,
      WritePacked(out, network, *flags, model.empty() ? "resnet21" : model,
                  SavedFlag(root, "dataset")));
  std::cout << SizeTable(sizes) << out << ": "
            << std::filesystem::file_size(out, error) << " bytes" << std::endl;
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::iterbin

int main(int argc, char** argv) {
  return altprop::cli::Main(
      argc, argv,
      {.name = "//iterbin:export",
       .summary = "Packs the binary weights of a run one bit each.",
       .groups = {{"Export", {"checkpoint", "out"}}}},
      altprop::iterbin::Main);
}
