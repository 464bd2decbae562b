// The command line of the equilibrium propagation programs.
//
// Names, defaults and meanings are those of the authors' program where it has
// the flag; `Options` is what everything below flags.cc sees.

#ifndef EQPROP_FLAGS_H_
#define EQPROP_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/training/options.h"
#include "eqprop/activation.h"
#include "eqprop/equilibrium.h"
#include "eqprop/estimate.h"
#include "eqprop/network.h"
#include "eqprop/phases.h"
#include "eqprop/relax_conv.h"

namespace altprop::eqprop {

enum class Algorithm { kEp, kBptt, kCep };
enum class OptimizerKind { kSgd, kAdam };
enum class Task { kTrain, kEvaluate, kGradientCheck };

struct Options {
  // Model.
  Architecture architecture;
  std::optional<double> scale;  // gain on the initial weights; none: 1, undrawn
  std::vector<double> dropout;  // keep probabilities, input first; empty: none
  // Learning.
  Algorithm algorithm;
  Loss loss;
  Estimator estimator;
  int64_t free_steps;    // T1
  int64_t nudged_steps;  // T2
  double beta_1, beta_2;
  bool continual_as_one;  // --cep_debug
  OptimizerKind optimizer;
  // One per edge; of continual EP the decays as converted.
  std::vector<double> learning_rates, weight_decays;
  double momentum;
  bool decay_learning_rate;  // cosine over `decay_epochs` to 1e-5
  int64_t decay_epochs;
  int64_t batch_size;
  int64_t epochs;
  bool check_theorem;
  // How it is computed (README, "Two semantics" and "Fast").
  Rule rule;
  Path path;
  RelaxOptions relax;
  // Data and run.
  std::string dataset;  // lower case
  bool augment_data;    // --data_aug and --augment
  Task todo;
  bool save;  // the authors' folder names and hyperparameters.txt
  training::RunOptions run;

  Dynamics TrainingDynamics() const {
    return eqprop::TrainingDynamics(loss, architecture.softmax);
  }
  EstimateOptions estimate() const {
    return {estimator,          beta_1, beta_2, nudged_steps,
            TrainingDynamics(), path,   rule};
  }
};

// Test batches are always this large, as in the authors' program.
inline constexpr int64_t kTestBatch = 200;

// The program's flags, grouped for --help. `target` is the Bazel label.
cli::Program EqpropProgram(const std::string& target);

// Sets the flags that make a run without data a good demonstration (`glyphs`
// only): those not given on the command line.
absl::Status ApplyGlyphsDefaults(const cli::ParsedArguments& arguments);

// Reads and validates the flags. The error names the flag, its value and what
// was expected; it is a usage error (exit code 2).
absl::StatusOr<Options> OptionsFromFlags();

// The flags that decide the result of a run, as a checkpoint keeps them: those
// that say where a run lives or how often it speaks are left out.
std::vector<std::pair<std::string, std::string>> ResultFlags();

// --load_path, from where the user stands.
std::string LoadPathFromFlags();

}  // namespace altprop::eqprop

#endif  // EQPROP_FLAGS_H_
