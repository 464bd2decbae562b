// //eqprop:gducheck: the gradient check, as //eqprop:train --todo=gducheck.

#include "common/cli/main.h"
#include "common/status.h"
#include "common/training/options.h"
#include "eqprop/flags.h"
#include "eqprop/gradient_check_run.h"
#include "eqprop/setup.h"

namespace altprop::eqprop {
namespace {

absl::Status Run(const cli::ParsedArguments& arguments) {
  ALTPROP_RETURN_IF_ERROR(cli::SetFlagFromText("todo", "gducheck"));
  ALTPROP_ASSIGN_OR_RETURN(const Start start, FindStart());
  ALTPROP_ASSIGN_OR_RETURN(const Options options,
                           OptionsWithStart(arguments, start));
  if (options.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(options.run);
  return GradientCheckRun(options, start);
}

}  // namespace
}  // namespace altprop::eqprop

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv,
                            altprop::eqprop::EqpropProgram("//eqprop:gducheck"),
                            altprop::eqprop::Run);
}
