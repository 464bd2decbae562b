// //cbp:export: a trained network as packed level indices and scales.

#include <iostream>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "cbp/export_levels.h"
#include "cbp/flags.h"
#include "common/cli/main.h"
#include "common/cli/path.h"
#include "common/status.h"

ABSL_DECLARE_FLAG(std::string, checkpoint);

namespace altprop::cbp {
namespace {

absl::Status Main(const cli::ParsedArguments& arguments) {
  ALTPROP_RETURN_IF_ERROR(RestoreFileFlags(
      cli::ResolvePath(absl::GetFlag(FLAGS_checkpoint)), arguments));
  ALTPROP_RETURN_IF_ERROR(ApplyDataset(arguments));
  ALTPROP_ASSIGN_OR_RETURN(Options o, OptionsFromFlags(/*training=*/false));
  if (o.output.empty()) {
    return UsageError("--output: name the .safetensors file to write");
  }
  if (o.run.check_flags) return absl::OkStatus();
  ALTPROP_ASSIGN_OR_RETURN(const Network network,
                           LoadNetwork(o, FileToRead(o)));
  return ExportNetwork(o.output, o, network);
}

}  // namespace
}  // namespace altprop::cbp

int main(int argc, char** argv) {
  return altprop::cli::Main(argc, argv, altprop::cbp::ExportProgram(),
                            altprop::cbp::Main);
}
