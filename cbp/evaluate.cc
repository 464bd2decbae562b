// //cbp:evaluate: the accuracy of a network whose weights are levels.

#include <iostream>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_format.h"
#include "cbp/evaluation.h"
#include "cbp/export_levels.h"
#include "cbp/flags.h"
#include "cbp/images.h"
#include "cbp/learner.h"
#include "common/cli/main.h"
#include "common/cli/path.h"
#include "common/status.h"
#include "common/training/options.h"
#include "common/training/stop.h"

ABSL_DECLARE_FLAG(std::string, checkpoint);

namespace altprop::cbp {
namespace {

absl::Status Main(const cli::ParsedArguments& arguments) {
  ALTPROP_RETURN_IF_ERROR(RestoreFileFlags(
      cli::ResolvePath(absl::GetFlag(FLAGS_checkpoint)), arguments));
  ALTPROP_RETURN_IF_ERROR(ApplyDataset(arguments));
  ALTPROP_ASSIGN_OR_RETURN(Options o, OptionsFromFlags(/*training=*/false));
  if (o.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(o.run);
  const training::StopSignal stop;
  ALTPROP_ASSIGN_OR_RETURN(const Network network,
                           LoadNetwork(o, FileToRead(o)));
  ALTPROP_ASSIGN_OR_RETURN(const Images images, LoadImages(o, /*train=*/false));
  if (images.classes != o.architecture.classes ||
      images.channels != o.architecture.input_channels) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: for %d channels and %d classes, --dataset=%s has %d and %d",
        FileToRead(o), o.architecture.input_channels, o.architecture.classes,
        o.dataset, images.channels, images.classes));
  }
  ALTPROP_ASSIGN_OR_RETURN(const training::Score score,
                           Evaluate(o, network, *images.test, stop));
  std::cout << absl::StrFormat(
      "top1 %d  top5 %d  of %d  (%.2f %%, %.2f %%)\n"
      "test accuracy %.6g  accuracy5 %.6g  loss %.6g\n",
      score.correct, score.correct5, score.samples, 100 * score.accuracy(),
      100 * score.accuracy5(), score.accuracy(), score.accuracy5(),
      score.loss());
  if (o.mode.has_value()) {
    const Closeness closeness = Measure(network.constrained(), *o.mode);
    std::cout << absl::StrFormat("cfs %.6g  cfs_over_s %.6g  within5 %.6g\n",
                                 closeness.cfs, closeness.cfs_over_s,
                                 closeness.within5);
  } else {
    std::cout << "in full precision: the file's weights as they are "
                 "(--quant=MODE: on levels)\n";
  }
  std::cout << std::flush;
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::cbp

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv, altprop::cbp::EvaluateProgram(),
                            altprop::cbp::Main);
}
