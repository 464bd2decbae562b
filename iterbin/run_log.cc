#include "iterbin/run_log.h"

#include <unistd.h>

#include <ios>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace altprop::iterbin {

void RunLog::Open(const std::string& file, bool append) {
  file_.open(file, append ? std::ios::app : std::ios::trunc);
  file_ << before_ << std::flush;
  before_.clear();
}

void RunLog::Print(absl::string_view line) {
  std::cout << line << "\n" << std::flush;
  if (file_.is_open()) {
    file_ << line << "\n" << std::flush;
  } else {
    absl::StrAppend(&before_, line, "\n");
  }
}

std::vector<std::string> FlagLines(const Network& network,
                                   const LayerOrder& order,
                                   const Flags& binary) {
  std::string layers = "Layer  ", flags = "Binary ";
  for (const int64_t layer : order) {
    absl::StrAppendFormat(&layers, "%3d", network.layers[layer].position);
    absl::StrAppendFormat(&flags, "%3d", binary[layer] ? 1 : 0);
  }
  return {layers, flags};
}

std::vector<std::string> LayerLines(const Network& network) {
  std::vector<std::string> lines;
  for (const Layer& layer : network.layers) {
    const bool convolution = layer.weight.dim() == 4;
    std::string module =
        absl::StrCat(convolution ? "Conv2d(" : "Linear(", layer.weight.size(1),
                     ", ", layer.weight.size(0));
    if (convolution) {
      absl::StrAppend(&module, ", kernel ", layer.weight.size(2), ", stride ",
                      layer.stride, ", padding ", layer.padding);
    }
    absl::StrAppend(&module, layer.bias.defined() ? ")" : ", no bias)");
    lines.push_back(absl::StrCat(layer.position, " -> ", layer.name, " ",
                                 module, " n_weight ", layer.weight.numel()));
  }
  lines.push_back(absl::StrCat("Total number of weights: ", network.weights()));
  return lines;
}

std::string StepLine(int64_t epoch, int64_t batch, int64_t batches,
                     int64_t size, int64_t samples, double loss) {
  return absl::StrFormat(
      "%d  Train Epoch: %d [%5d/%5d %.0f%%]  Loss: %g", getpid(), epoch,
      batch * size, samples,
      100.0 * static_cast<double>(batch) / static_cast<double>(batches), loss);
}

}  // namespace altprop::iterbin
