// //sedona:decode: shows how a network falls into blocks.

#include <algorithm>
#include <iostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/cli/main.h"
#include "common/status.h"
#include "sedona/decoupling.h"
#include "sedona/flags.h"
#include "sedona/greedy.h"
#include "sedona/network.h"
#include "sedona/results.h"
#include "sedona/variables.h"

namespace altprop::sedona {
namespace {

int64_t Count(const training::NamedTensors& tensors) {
  int64_t count = 0;
  for (const auto& [name, tensor] : tensors) count += tensor.numel();
  return count;
}

void FitToDataset(Options& o) {
  const bool tiny = o.dataset == "tiny_imagenet";
  const bool wide = o.dataset == "imagenet" || o.dataset == "folder";
  o.architecture.input_size = tiny                    ? 64
                              : o.dataset == "folder" ? o.image_size
                              : wide                  ? 224
                                                      : 32;
  o.architecture.classes = tiny                      ? 200
                           : wide                    ? 1000
                           : o.dataset == "cifar100" ? 100
                                                     : 10;
}

// "oooooo|oooooooooo": a letter per unit, a bar at each cut.
std::string Drawing(const std::vector<Block>& blocks) {
  std::string drawing;
  for (const Block& block : blocks) {
    if (!drawing.empty()) drawing += '|';
    drawing.append(block.last - block.first + 1, 'o');
  }
  return drawing;
}

std::string Table(const Network& network) {
  std::string table =
      "block  units      output          auxiliary network  parameters\n";
  const std::vector<int64_t> depths = AuxDepths(network);
  const std::vector<Block> blocks = Blocks(network);
  for (size_t j = 0; j < blocks.size(); ++j) {
    const Unit& end = network.units[blocks[j].last];
    std::string aux = "head";
    if (j < depths.size()) {
      aux = depths[j] > 0 ? absl::StrCat("depth ", depths[j])
            : std::holds_alternative<PredSim>(end.aux) ? "PredSim"
                                                       : "MLP-SR";
    }
    absl::StrAppendFormat(
        &table, "%5d  %-9s  %-14s  %-17s  %10d\n", j + 1,
        absl::StrCat(blocks[j].first, "-", blocks[j].last),
        absl::StrFormat("%dx%dx%d", end.channels, end.size, end.size), aux,
        Count(BlockParameters(network, blocks[j])));
  }
  absl::StrAppendFormat(&table, "%-56s  %10d\n", "in all",
                        Count(Parameters(network)));
  return table;
}

absl::Status Main(const cli::ParsedArguments&) {
  ALTPROP_ASSIGN_OR_RETURN(Options o, OptionsFromFlags(Task::kDecode));
  FitToDataset(o);
  const int64_t units = UnitCount(o.architecture.name);
  Decoupling cuts = UniformDecoupling(units, std::max<int64_t>(o.blocks, 1));
  if (!o.base_dir.empty()) {
    ALTPROP_ASSIGN_OR_RETURN(const Variables variables,
                             ReadVariables(o.base_dir, !o.no_beta));
    ALTPROP_RETURN_IF_ERROR(CheckVariables(
        o.base_dir, variables, units, o.architecture.candidates(), !o.no_beta));
    cuts = Decode(variables.alpha, o.no_beta ? at::Tensor() : variables.beta,
                  o.blocks);
  } else if (o.blocks == 0) {
    return FlagError("target_num_blocks", "0",
                     "takes the blocks from the alpha of --eval_base_dir");
  }
  ALTPROP_ASSIGN_OR_RETURN(
      const Network network,
      MakeNetwork(o.architecture, ChooseAux(o.architecture, cuts, o.baseline)));
  std::cout << o.architecture.name << ", " << units << " units in "
            << cuts.blocks() << " blocks\n"
            << Drawing(Blocks(network)) << "\n\n"
            << Table(network);
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::sedona

int main(int argc, char** argv) {
  using altprop::sedona::Task;
  return altprop::cli::Main(argc, argv,
                            altprop::sedona::SedonaProgram(Task::kDecode),
                            altprop::sedona::Main);
}
