// The command line of the constrained backpropagation programs.
//
// Names, defaults and meanings are those of the authors' main.py and
// evaluate.py where these have the flag; `Options` is what everything below
// flags.cc sees.

#ifndef CBP_FLAGS_H_
#define CBP_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cbp/levels.h"
#include "cbp/network.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/training/options.h"

namespace altprop::cbp {

// What of the method is left out, as in the paper's Table 4.
enum class Ablation {
  kCbp,       // nothing
  kNoWindow,  // u = 1 throughout
  kSte,       // lambda = 0 throughout: the straight-through estimator alone
};

struct Options {
  // Classes and channels of the image are those of the data (setup.h).
  Architecture architecture;
  std::optional<Mode> mode;  // none: full precision (--quant=none)
  // Learning.
  double learning_rate;
  double weight_decay;  // of convolutions and linear layers
  double lr_lambda;
  int64_t period;  // p_max
  Ablation ablation;
  bool pretrained;
  int64_t pretrain_epochs;  // in full precision, before the constraint
  double pretrain_lr;
  int64_t epochs;  // under the constraint; with --quant=none: of all
  int64_t batch_size;
  // How it is computed.
  bool fused;          // the fused operators; else call by call
  bool channels_last;  // layout of images and filters
  // Data and run.
  std::string dataset;  // lower case
  int64_t image_size;   // of folders of images: the square's side
  int64_t workers;      // decode threads of folders of images
  int64_t skip_corrupt;
  int64_t keep_checkpoints;
  std::string checkpoint;  // what :evaluate, :export and :convert read
  std::string output;      // what :export and :convert write
  training::RunOptions run;

  // Epochs before the constraint, and in all.
  int64_t PlainEpochs() const { return mode ? pretrain_epochs : epochs; }
  int64_t AllEpochs() const { return mode ? pretrain_epochs + epochs : epochs; }
};

// The program's flags, grouped for --help.
cli::Program TrainProgram();
cli::Program EvaluateProgram();
cli::Program ExportProgram();
cli::Program ConvertProgram();

// Sets --dataset where it was left open: imagenet, as in the authors' programs;
// for a small --model glyphs, or a usage error where --data_root is given.
absl::Status ApplyDataset(const cli::ParsedArguments& arguments);

// For :train: a command line that leaves model, levels, start, data and device
// open asks for a demonstration, on glyphs: sets the flags for it that are not
// given. Otherwise as ApplyDataset().
absl::Status ApplyDefaults(const cli::ParsedArguments& arguments);

// Reads and validates the flags. The error names the flag, its value and what
// was expected; it is a usage error (exit code 2). `training`: for :train,
// which needs a start.
absl::StatusOr<Options> OptionsFromFlags(bool training);

// The flags that decide the result of a run, as a checkpoint keeps them.
std::vector<std::pair<std::string, std::string>> ResultFlags();

// "bin", or "none".
std::string QuantName(const Options& options);

}  // namespace altprop::cbp

#endif  // CBP_FLAGS_H_
