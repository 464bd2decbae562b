#include "eqprop/evaluate_run.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/training/safetensors.h"
#include "eqprop/authors_files.h"

namespace altprop::eqprop {
namespace {

std::string Line(absl::string_view split, const Score& score) {
  return absl::StrFormat("%s accuracy %.6g (%d of %d), loss %.6g\n", split,
                         score.accuracy(), score.correct, score.samples,
                         score.loss());
}

std::string FolderOf(const std::string& file) {
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

}  // namespace

absl::Status EvaluateRun(const Options& options, const Start& start) {
  if (start.file.empty() && options.run.init_from.empty()) {
    return UsageError(
        "--load_path: name the folder of a run to evaluate (or give "
        "--init_from=FILE)");
  }
  ALTPROP_ASSIGN_OR_RETURN(const Network network, BuildNetwork(options, start));
  ALTPROP_ASSIGN_OR_RETURN(const data::Dataset data, LoadData(options));
  const training::StopSignal stop;
  ALTPROP_ASSIGN_OR_RETURN(const Score train,
                           Evaluate(options, network, data.train, stop));
  std::cout << Line("train", train) << std::flush;
  ALTPROP_ASSIGN_OR_RETURN(const Score test,
                           Evaluate(options, network, data.test, stop));
  std::cout << Line("test", test) << std::flush;
  if (options.save && !start.file.empty()) {
    ALTPROP_RETURN_IF_ERROR(
        AppendAccuracies(FolderOf(start.file), train, test));
  }
  return options.run.export_to.empty()
             ? absl::OkStatus()
             : ExportNetwork(options.run.export_to, options, network);
}

absl::Status ExportNetwork(const std::string& path, const Options& options,
                           const Network& network) {
  return training::ExportSafetensors(
      path, Parameters(network),
      {{"format", "pt"},
       {"method", "eqprop"},
       {"model", std::string(ModelName(options.architecture.model))},
       {"sizes", SizesText(options.architecture)},
       {"act", std::string(ActivationName(options.architecture.activation))}});
}

}  // namespace altprop::eqprop
