// //iterbin:guide: sensitivity runs, the order that follows from them, and a
// run in that order, as one command.

#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/cli/main.h"
#include "common/cli/path.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/options.h"
#include "common/training/start.h"
#include "iterbin/flags.h"
#include "iterbin/orders.h"
#include "iterbin/sensitivity.h"
#include "iterbin/shared_flags.h"
#include "iterbin/train.h"

ABSL_FLAG(int64_t, sensitivity_epochs, 0,
          "epochs of each layer's sensitivity run; 0: --epochs_per_layer");
ABSL_FLAG(std::string, guided_order, "ascend",
          "order of the guided run: ascend (the least sensitive layer first) "
          "or descend");

namespace altprop::iterbin {
namespace {

namespace fs = std::filesystem;

using FlagTexts = std::vector<std::pair<std::string, std::string>>;

cli::Program GuideProgram() {
  cli::Program program = MainProgram();
  program.name = "//iterbin:guide";
  program.summary =
      "Sensitivity runs, an order of the layers from them, and a run in that "
      "order (Lan 2021).";
  program.groups.insert(program.groups.begin(),
                        {"Guide", {"sensitivity_epochs", "guided_order"}});
  return program;
}

// Reads the flags again after setting these.
absl::StatusOr<Options> OptionsWith(const FlagTexts& flags) {
  for (const auto& [flag, value] : flags) {
    ALTPROP_RETURN_IF_ERROR(cli::SetFlagFromText(flag, value));
  }
  return OptionsFromFlags();
}

// The order that begins with a layer: a published rotation, or for a perceptron
// the published order that does.
std::string OrderBeginningWith(const Network& network, int64_t layer) {
  const std::string family = OrderFamily(network.name);
  for (const std::string& tag : PublishedTags(family)) {
    const LayerOrder order = PublishedOrder(family, tag);
    if (tag == absl::StrCat(layer + 1)) return OrderFileName(family, tag);
    if (family == "mlp3" && order.front() == layer && tag != "132") {
      return OrderFileName(family, tag);
    }
  }
  return OrderFileName(family, "forward");
}

// One layer's run, unless it was done before.
absl::Status RunSensitivity(const Network& network, int64_t layer,
                            const std::string& folder, const Options& wanted) {
  const std::string run_dir = absl::StrCat(folder, "/layer-", layer + 1);
  ALTPROP_ASSIGN_OR_RETURN(
      const Options options,
      OptionsWith({{"layers_indices", OrderBeginningWith(network, layer)},
                   {"run_dir", run_dir},
                   {"epochs", absl::StrCat(wanted.epochs)},
                   {"epochs_per_layer", absl::StrCat(wanted.epochs)},
                   {"patience", "0"},
                   {"test_validation", "true"},
                   {"test_training", "false"},
                   {"reverse_layer_binarization", "false"}}));
  const Sensitivity own = SensitivityOf(options, layer, Best());
  const absl::StatusOr<Sensitivity> before = ReadSensitivity(run_dir);
  if (before.ok() && before->ComparesWith(own) && before->layer == layer) {
    std::cout << "layer " << layer + 1 << ": done before\n";
    return absl::OkStatus();
  }
  ALTPROP_ASSIGN_OR_RETURN(const Outcome outcome,
                           TrainRun(options, training::Start()));
  return WriteSensitivity(outcome.run_dir,
                          SensitivityOf(options, layer, outcome.best));
}

std::string GuideFolder(const Options& options) {
  const std::string given = cli::ResolvePath(options.run.run_dir);
  return given.empty()
             ? cli::ResolvePath(absl::StrCat(
                   "runs/iterbin/guide-", options.dataset, "-", options.model))
             : given;
}

absl::StatusOr<Options> ReadGuideOptions(
    const cli::ParsedArguments& arguments) {
  ALTPROP_RETURN_IF_ERROR(CheckOneProcess());
  ALTPROP_RETURN_IF_ERROR(ApplyDefaults(arguments, /*resumes=*/false));
  ALTPROP_ASSIGN_OR_RETURN(Options options, OptionsFromFlags());
  if (options.mode != Mode::kLayer) {
    return FlagError("model", options.model,
                     "expected one with _layer, whose layers have an order");
  }
  if (!options.run.resume.empty()) {
    return UsageError(
        "--resume: give --run_dir again, finished sensitivity runs are kept");
  }
  const std::string order = absl::GetFlag(FLAGS_guided_order);
  if (order != "ascend" && order != "descend") {
    return FlagError("guided_order", order, "expected ascend or descend");
  }
  ALTPROP_RETURN_IF_ERROR(
      AtLeast("sensitivity_epochs", absl::GetFlag(FLAGS_sensitivity_epochs), 0)
          .status());
  return options;
}

absl::Status Guide(const cli::ParsedArguments& arguments) {
  ALTPROP_ASSIGN_OR_RETURN(const Options options, ReadGuideOptions(arguments));
  if (options.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(options.run);
  const FlagTexts given = cli::FlagValues(MainProgram());
  const std::string folder = GuideFolder(options);
  const std::string runs = folder + "/sensitivity";
  std::error_code error;
  fs::create_directories(runs, error);
  const Network network =
      MakeNamed(options.network, models::SeededGenerator(0));
  Options sensitivity = options;
  sensitivity.epochs = absl::GetFlag(FLAGS_sensitivity_epochs) > 0
                           ? absl::GetFlag(FLAGS_sensitivity_epochs)
                           : options.epochs_per_layer;
  const auto layers = static_cast<int64_t>(network.layers.size());
  for (int64_t layer = 0; layer < layers; ++layer) {
    ALTPROP_RETURN_IF_ERROR(RunSensitivity(network, layer, runs, sensitivity));
  }
  ALTPROP_ASSIGN_OR_RETURN(
      const auto found,
      CollectSensitivities(runs, SensitivityOf(sensitivity, 0, Best())));
  ALTPROP_ASSIGN_OR_RETURN(const auto files,
                           WriteGuidedOrders(folder, network, found));
  std::cout << RankedTable(network, found);
  for (const std::string& file : files) std::cout << "order: " << file << "\n";

  ALTPROP_RETURN_IF_ERROR(OptionsWith(given).status());
  ALTPROP_ASSIGN_OR_RETURN(
      const Options guided,
      OptionsWith(
          {{"layers_indices",
            absl::StrCat(folder, "/",
                         OrderFileName(OrderFamily(network.name),
                                       absl::GetFlag(FLAGS_guided_order)))},
           {"run_dir", folder + "/guided"}}));
  ALTPROP_ASSIGN_OR_RETURN(const Outcome outcome,
                           TrainRun(guided, training::Start()));
  std::cout << RankedTable(network, found)
            << absl::StrFormat("%s order: best accuracy %.4f%% at epoch %d\n",
                               absl::GetFlag(FLAGS_guided_order),
                               100 * outcome.best.accuracy,
                               outcome.best.accuracy_epoch)
            << "run directory: " << outcome.run_dir
            << "  report: " << outcome.run_dir << "/report.html" << std::endl;
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::iterbin

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv, altprop::iterbin::GuideProgram(),
                            altprop::iterbin::Guide);
}
