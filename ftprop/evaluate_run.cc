#include "ftprop/evaluate_run.h"

#include <iostream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/training/safetensors.h"
#include "common/training/stop.h"
#include "ftprop/data.h"
#include "ftprop/evaluation.h"
#include "ftprop/setup.h"

namespace altprop::ftprop {

std::string ScoreText(absl::string_view split, const training::Score& score) {
  return absl::StrFormat(
      "%s accuracy %.6g (%d of %d), top 5 %.6g, loss %.10g\n", split,
      score.accuracy(), score.correct, score.samples, score.accuracy5(),
      score.loss());
}

absl::Status EvaluateRun(const Options& options, const training::Start& start,
                         bool validation) {
  if (!start.resumes() && options.run.init_from.empty()) {
    return UsageError(
        "--test-model: name a checkpoint to evaluate (or give "
        "--init_from=FILE)");
  }
  DataOptions which = options.data;
  which.validation = validation && which.validation;
  ALTPROP_ASSIGN_OR_RETURN(const Sources data, OpenData(which));
  ALTPROP_ASSIGN_OR_RETURN(const Network network,
                           BuildNetwork(options, start, data.classes));
  const training::StopSignal stop;
  if (data.validation != nullptr) {
    ALTPROP_ASSIGN_OR_RETURN(
        const training::Score score,
        Evaluate(options, network, *data.validation, stop));
    std::cout << ScoreText("val", score) << std::flush;
  }
  ALTPROP_ASSIGN_OR_RETURN(const training::Score test,
                           Evaluate(options, network, *data.test, stop));
  std::cout << ScoreText("test", test) << std::flush;
  return options.run.export_to.empty()
             ? absl::OkStatus()
             : ExportNetwork(options.run.export_to, options, network);
}

absl::Status ExportNetwork(const std::string& path, const Options& options,
                           const Network& network) {
  training::NamedTensors tensors;
  for (const auto& [name, tensor] : network.state.entries()) {
    tensors.emplace_back(name, tensor.detach());
  }
  return training::ExportSafetensors(
      path, tensors,
      {{"format", "pt"},
       {"method", "ftprop"},
       {"arch", std::string(ArchitectureName(network.spec.architecture))},
       {"ds", options.data.spec.name}});
}

}  // namespace altprop::ftprop
