// The command line of the feasible target propagation programs.
//
// Names, defaults and meanings are those of the authors' program where it has
// the flag; `Options` is what everything below flags.cc sees.

#ifndef FTPROP_FLAGS_H_
#define FTPROP_FLAGS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/training/options.h"
#include "ftprop/data.h"
#include "ftprop/loss.h"
#include "ftprop/network.h"
#include "ftprop/nonlinearity.h"

namespace altprop::ftprop {

enum class OptimizerKind { kSgd, kAdam, kRmsProp };

struct Options {
  // Model. spec.classes is 0 where the data decide.
  NetworkSpec spec;
  std::vector<Threshold> hidden;  // one per layer
  double dropout;                 // of the networks that have some
  // Learning.
  Loss loss;
  OptimizerKind optimizer;
  double learning_rate, momentum, weight_decay;
  bool legacy_eps;  // Adam's eps as in PyTorch of 2018
  double decay;     // factor of the learning rate at each of `decay_epochs`
  std::vector<int64_t> decay_epochs;  // 1-based, ascending
  int64_t epochs;
  // Data; data.batch and data.test_batch are the minibatches.
  DataOptions data;
  bool plot_test;         // test after every epoch
  bool test_final_model;  // test at the end: the best model, or the last
  // Program.
  std::string test_model;  // absolute; not empty: evaluate only
  bool save;               // --no-save: nothing stays
  std::string run_name;    // folder below runs/ftprop
  bool tensorboard;
  bool diagnostics;     // histograms of every hard threshold
  double sample_share;  // of a tensor's elements in them
  double drop_share;    // of minibatches left out
  bool layer_statistics;
  training::RunOptions run;
};

// The program's flags, grouped for --help. `target` is the Bazel label.
cli::Program FtpropProgram(const std::string& target);

// Sets what depends on other flags: the authors' seed, and for a run that says
// neither network nor data the settings of a demonstration on `glyphs`.
absl::Status ApplyDefaults(const cli::ParsedArguments& arguments);

// Reads and validates the flags; `arguments` tells which were given. The error
// names the flag, its value and what was expected; it is a usage error (exit
// code 2). What only learning needs is asked for where `training`, and neither
// --test-model.
absl::StatusOr<Options> OptionsFromFlags(const cli::ParsedArguments& arguments,
                                         bool training);

// The flags that decide the result of a run, as a checkpoint keeps them: those
// that say where a run lives or how often it speaks are left out.
std::vector<std::pair<std::string, std::string>> ResultFlags();

// --test-model, from where the user stands.
std::string TestModelFromFlags();

}  // namespace altprop::ftprop

#endif  // FTPROP_FLAGS_H_
