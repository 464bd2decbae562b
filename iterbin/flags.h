// The command line of //iterbin:main, with the authors' names, defaults and
// meanings. `Options` is what everything below flags.cc sees.

#ifndef ITERBIN_FLAGS_H_
#define ITERBIN_FLAGS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/training/options.h"
#include "iterbin/binarize.h"
#include "iterbin/shared_flags.h"

namespace altprop::iterbin {

// The suffix of --model: none, _layer, _binary.
enum class Mode { kFloat, kLayer, kAllBinary };

struct Options {
  std::string model;    // as given: "300_layer"
  std::string network;  // "300"
  Mode mode = Mode::kFloat;
  std::string layers_indices;  // order file, as typed
  bool reverse = false;
  int64_t epochs_per_layer = 0;  // P
  Semantics semantics = Semantics::kReference;
  bool fused = true;  // the faster of two ways to compute a step

  int64_t epochs = 0, patience = 0;  // patience > 0: epochs has no say
  int64_t batch_size = 0, test_batch_size = 0;
  double learning_rate = 0;
  double momentum = 0;              // SGD, so ResNet-20
  std::vector<int64_t> milestones;  // the same
  double gamma = 0;

  std::string dataset;          // lower case
  std::string dataset_indices;  // split file of CIFAR-10, as typed
  bool augment = false;         // flip and crop of training images
  int64_t loader_workers = 0;   // whose random streams are repeated
  bool test_validation = false, test_training = false;

  int64_t log_interval = 0;
  bool record_histogram = false, save_progress = false, save_last = false;
  bool load_last = false;
  std::string load_last_file;
  training::RunOptions run;

  bool binary_capable() const { return mode != Mode::kFloat; }
  // Adam without a schedule, or SGD with weight decay and milestones.
  bool uses_sgd() const { return network.starts_with("resnet"); }
  // Only one layer is ever binary, and the validation split decides.
  bool sensitivity_run() const {
    return mode == Mode::kLayer && test_validation && patience == 0 &&
           epochs <= epochs_per_layer;
  }
  // "val" or "test": what each epoch is scored on.
  std::string evaluated_split() const {
    return test_validation ? "val" : "test";
  }
};

inline constexpr double kWeightDecay = 1e-4;  // with SGD

// The program's flags, grouped for --help.
cli::Program MainProgram();

// --seed is 316 where nothing else says so, and a run without --dataset and
// --model is a demonstration on `glyphs`. Call it before anything else sets
// flags.
absl::Status ApplyDefaults(const cli::ParsedArguments& arguments, bool resumes);

// Reads and validates the flags. Errors name the flag, its value and what was
// expected; they are usage errors (exit code 2).
absl::StatusOr<Options> OptionsFromFlags();

// A line for each flag that was given and does nothing.
std::vector<std::string> Notices(const cli::ParsedArguments& arguments,
                                 const Options& options);

// The flags that decide a run's result, for its checkpoint.
std::vector<std::pair<std::string, std::string>> ResultFlags();

// Flags that a resumed run must share with the checkpoint.
const std::vector<std::string>& FixedFlags();

}  // namespace altprop::iterbin

#endif  // ITERBIN_FLAGS_H_
