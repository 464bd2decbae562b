// //ftprop:evaluate: the accuracy of a trained network.

#include "common/cli/main.h"
#include "common/status.h"
#include "common/training/options.h"
#include "ftprop/evaluate_run.h"
#include "ftprop/flags.h"
#include "ftprop/setup.h"

namespace altprop::ftprop {
namespace {

absl::Status Run(const cli::ParsedArguments& arguments) {
  ALTPROP_ASSIGN_OR_RETURN(const training::Start start, FindStart());
  ALTPROP_ASSIGN_OR_RETURN(
      const Options options,
      OptionsWithStart(arguments, start, /*training=*/false));
  if (options.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(options.run);
  return EvaluateRun(options, start, /*validation=*/true);
}

}  // namespace
}  // namespace altprop::ftprop

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv,
                            altprop::ftprop::FtpropProgram("//ftprop:evaluate"),
                            altprop::ftprop::Run);
}
