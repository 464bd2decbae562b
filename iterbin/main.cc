// //iterbin:main: trains a network on MNIST or CIFAR-10, layer by layer binary.

#include "common/cli/main.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/training/options.h"
#include "common/training/start.h"
#include "iterbin/flags.h"
#include "iterbin/sensitivity.h"
#include "iterbin/shared_flags.h"
#include "iterbin/state.h"
#include "iterbin/train.h"

namespace altprop::iterbin {
namespace {

absl::Status Main(const cli::ParsedArguments& arguments) {
  ALTPROP_RETURN_IF_ERROR(CheckOneProcess());
  ALTPROP_ASSIGN_OR_RETURN(const training::RunOptions run,
                           training::RunOptionsFromFlags());
  ALTPROP_RETURN_IF_ERROR(ApplyDefaults(arguments, !run.resume.empty()));
  ALTPROP_ASSIGN_OR_RETURN(const training::Start start,
                           training::ReadStart(run.resume));
  ALTPROP_ASSIGN_OR_RETURN(const Options options,
                           OptionsWithStart(arguments, start));
  if (options.run.check_flags) return absl::OkStatus();
  for (const std::string& notice : Notices(arguments, options)) {
    std::cerr << "notice: " << notice << "\n";
  }
  training::ApplyRunOptions(options.run);
  ALTPROP_ASSIGN_OR_RETURN(const Outcome outcome, TrainRun(options, start));
  std::cout << "run directory: " << outcome.run_dir
            << "  report: " << outcome.run_dir << "/report.html" << std::endl;
  if (options.sensitivity_run() && options.run.max_steps == 0) {
    return ConcludeSensitivity(options, outcome);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::iterbin

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv, altprop::iterbin::MainProgram(),
                            altprop::iterbin::Main);
}
