// //iterbin:evaluate: scores a run's checkpoint, or the packed file that
// //iterbin:export made of one, on MNIST or CIFAR-10.

#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>

#include "ATen/core/grad_mode.h"
#include "ATen/ops/argmax.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/cli/main.h"
#include "common/cli/path.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/atomic_file.h"
#include "common/training/checkpoint.h"
#include "common/training/start.h"
#include "iterbin/data.h"
#include "iterbin/flags.h"
#include "iterbin/packed.h"
#include "iterbin/score.h"
#include "iterbin/state.h"

ABSL_FLAG(std::string, checkpoint, "",
          "checkpoint.pt of a run, the folder that holds it, or a .safetensors "
          "file of //iterbin:export");
ABSL_FLAG(std::string, split, "test", "test, val or train");
ABSL_FLAG(std::string, labels, "",
          "write the network's label for each image to this file, a line each");

namespace altprop::iterbin {
namespace {

cli::Program EvaluateProgram() {
  cli::Program program;
  program.name = "//iterbin:evaluate";
  program.summary =
      "Scores a trained network, also from its packed file (Lan 2021).";
  program.groups = {{"Evaluate", {"checkpoint", "split", "labels"}},
                    {"Data",
                     {"dataset", "dataset_indices", "data_root", "download",
                      "limit_train", "limit_test", "test_batch_size"}},
                    {"Run", {"device", "threads", "precision"}}};
  program.aliases = {{"dataset_folder", "data_root"}, {"gpu", "device"}};
  return program;
}

struct Model {
  Network network;
  Flags binary;
};

absl::Status SetUnlessGiven(const cli::ParsedArguments& arguments,
                            const char* flag, const std::string& value) {
  if (arguments.Given(flag) || value.empty()) return absl::OkStatus();
  return cli::SetFlagFromText(flag, value);
}

absl::Status CheckKnown(const std::string& network, const std::string& file) {
  if (IsNetworkName(network) && network != "resnet21") return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(file,
                   ": a network for ImageNet, which "
                   "//iterbin:main_imagenet_binary --evaluate scores"));
}

// A file of //iterbin:export. Its weights are E(W) already.
absl::StatusOr<Model> FromPacked(const cli::ParsedArguments& arguments,
                                 const std::string& file, Options& o) {
  ALTPROP_ASSIGN_OR_RETURN(const PackedModel packed, ReadPacked(file));
  ALTPROP_RETURN_IF_ERROR(CheckKnown(packed.network, file));
  ALTPROP_RETURN_IF_ERROR(SetUnlessGiven(arguments, "dataset", packed.dataset));
  const bool wide = !packed.tensors.empty() &&
                    packed.tensors.front().second.scalar_type() == at::kDouble;
  ALTPROP_RETURN_IF_ERROR(
      SetUnlessGiven(arguments, "precision", wide ? "fp64" : ""));
  ALTPROP_RETURN_IF_ERROR(cli::SetFlagFromText("model", packed.model));
  ALTPROP_ASSIGN_OR_RETURN(o, OptionsFromFlags());
  training::ApplyRunOptions(o.run);
  Model model{MakeNamed(packed.network, models::SeededGenerator(0)), {}};
  model.network.State().ConvertTo(training::DtypeOf(o.run.precision),
                                  o.run.device);
  ALTPROP_RETURN_IF_ERROR(training::CopyParameters(
      training::Value(training::ModelDict(packed.tensors)), file,
      model.network.entries()));
  model.binary.assign(model.network.layers.size(), false);
  return model;
}

// A run's checkpoint: as its last evaluation scored it.
absl::StatusOr<Model> FromCheckpoint(const cli::ParsedArguments& arguments,
                                     const std::string& file, Options& o) {
  ALTPROP_ASSIGN_OR_RETURN(const training::Start start,
                           training::ReadStart(file));
  const training::Value* flags = start.checkpoint.Find("flags");
  if (flags == nullptr ||
      start.checkpoint.GetString("method").value_or("") != "iterbin") {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": not a checkpoint of //iterbin:main"));
  }
  for (const char* flag :
       {"model", "dataset", "dataset_indices", "precision"}) {
    ALTPROP_RETURN_IF_ERROR(Annotate(
        SetUnlessGiven(arguments, flag, flags->GetString(flag).value_or("")),
        file));
  }
  if (flags->Find("model") == nullptr) {
    ALTPROP_RETURN_IF_ERROR(CheckKnown("resnet21", file));
  }
  ALTPROP_ASSIGN_OR_RETURN(o, OptionsFromFlags());
  training::ApplyRunOptions(o.run);
  ALTPROP_ASSIGN_OR_RETURN(State state, MakeState(o, start));
  absl::StatusOr<Flags> binary =
      BinaryLayersOf(start.checkpoint, state.network.layers.size());
  if (!binary.ok()) return Annotate(binary.status(), file);
  return Model{std::move(state.network), *std::move(binary)};
}

absl::Status Score(const Options& o, const Model& model,
                   const std::string& split, const std::string& labels_file) {
  const at::NoGradGuard no_grad;
  ALTPROP_ASSIGN_OR_RETURN(const Splits splits, LoadSplits(o));
  const data::ImageSet& set = splits.Named(split);
  const Weights weights = EffectiveWeights(model.network, model.binary);
  const Pass pass = {PassOrder(LoaderPass(), set.size()).to(o.run.device), {}};
  const int64_t batch_size = BatchSizeOf(o, split);
  training::Score total;
  std::string labels;
  for (int64_t i = 0; i < Batches(set, batch_size); ++i) {
    const Minibatch batch = GetBatch(o, set, pass, batch_size, i);
    const at::Tensor output =
        Forward(model.network, weights, batch.x, /*training=*/false,
                training::OperandDtypeOf(o.run.precision));
    total +=
        ScoreOf(output, batch.labels,
                Loss(model.network, output, batch.labels).item().toDouble());
    if (labels_file.empty()) continue;
    const at::Tensor found = output.argmax(1).cpu();
    for (int64_t n = 0; n < found.size(0); ++n) {
      absl::StrAppend(&labels, found[n].item<int64_t>(), "\n");
    }
  }
  if (!labels_file.empty()) {
    ALTPROP_RETURN_IF_ERROR(
        training::WriteFileAtomically(cli::ResolvePath(labels_file), labels));
  }
  std::cout << absl::StrFormat("%s accuracy %.6g (%d of %d), loss %.6g\n",
                               split, total.accuracy(), total.correct,
                               total.samples, total.loss())
            << std::flush;
  return absl::OkStatus();
}

absl::Status Main(const cli::ParsedArguments& arguments) {
  std::string file = cli::ResolvePath(absl::GetFlag(FLAGS_checkpoint));
  if (file.empty()) {
    return UsageError("--checkpoint: name a checkpoint or a packed file");
  }
  const std::string split = absl::GetFlag(FLAGS_split);
  if (split != "test" && split != "val" && split != "train") {
    return FlagError("split", split, "expected test, val or train");
  }
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) file += "/checkpoint.pt";
  Options o;
  ALTPROP_ASSIGN_OR_RETURN(const Model model,
                           absl::EndsWith(file, ".safetensors")
                               ? FromPacked(arguments, file, o)
                               : FromCheckpoint(arguments, file, o));
  return Score(o, model, split, absl::GetFlag(FLAGS_labels));
}

}  // namespace
}  // namespace altprop::iterbin

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv, altprop::iterbin::EvaluateProgram(),
                            altprop::iterbin::Main);
}
