#include "eqprop/flags.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/cli/lists.h"
#include "common/cli/path.h"
#include "common/status.h"

ABSL_FLAG(std::string, model, "MLP", "network: MLP (layers of --archi)");
ABSL_FLAG(altprop::cli::IntList, archi, (altprop::cli::IntList{{784, 512, 10}}),
          "units of the input, of each hidden layer and of the output");
ABSL_FLAG(std::string, act, "mysig",
          "activation sigma: mysig, sigmoid, tanh, hard_sigmoid, my_hard_sig, "
          "ctrd_hard_sig");
ABSL_FLAG(std::optional<double>, scale, std::nullopt,
          "redraw the initial weights and multiply them by this gain");

ABSL_FLAG(std::string, alg, "EP", "gradient estimate: EP");
ABSL_FLAG(std::string, loss, "mse",
          "mse (half the squared distance to the one-hot label) or cel "
          "(cross-entropy, with a linear output layer)");
ABSL_FLAG(int64_t, T1, 20, "time steps of the free phase, and of evaluation");
ABSL_FLAG(int64_t, T2, 4, "time steps of each nudged phase");
ABSL_FLAG(altprop::cli::FloatList, betas,
          (altprop::cli::FloatList{{0.0, 0.01}}),
          "nudging strength of the free and of the nudged phase");
ABSL_FLAG(bool, thirdphase, false,
          "symmetric estimate: a third phase, nudged by minus beta");
ABSL_FLAG(bool, random_sign, false,
          "one-sided estimate with a sign of beta drawn for each minibatch; "
          "only where the first of --betas is 0");
ABSL_FLAG(std::string, optim, "sgd", "sgd (with --mmt) or adam");
ABSL_FLAG(altprop::cli::FloatList, lrs, {},
          "learning rate of each edge (weight and bias), from the input on");
ABSL_FLAG(altprop::cli::FloatList, wds, {},
          "weight decay of each edge (L2, biases too); none: 0");
ABSL_FLAG(double, mmt, 0.0, "momentum of sgd");
ABSL_FLAG(bool, lr_decay, false,
          "cosine decay of the learning rates to 1e-5, by epoch");
ABSL_FLAG(int64_t, lr_decay_epochs, 100,
          "epochs of the cosine decay, whatever --epochs is");
ABSL_FLAG(int64_t, mbs, 20, "minibatch size, in samples");
ABSL_FLAG(int64_t, epochs, 1,
          "epochs to train; after --load_path: epochs more");

ABSL_FLAG(std::string, task, "glyphs",
          "data set: glyphs (drawn by the program), MNIST, CIFAR10");
ABSL_FLAG(bool, data_aug, false,
          "CIFAR10: flip, pad with the edge and crop the training images");

ABSL_FLAG(std::string, todo, "train", "train or evaluate");
ABSL_FLAG(std::string, load_path, "",
          "folder of an earlier run, whose best state is loaded");
ABSL_FLAG(bool, save, false,
          "name the run directory as the authors' program does "
          "(results/ALG/LOSS/DATE/TIME_gpuN) and write hyperparameters.txt");

ABSL_FLAG(bool, contrast_first, true,
          "subtract the states before the products (more precise); false: "
          "subtract the summed products, as the authors' program does");
ABSL_FLAG(bool, squash_output, false,
          "cel: apply sigma to the output in evaluation though training does "
          "not, as the authors' program does");
ABSL_FLAG(bool, fused, true,
          "all time steps of a phase in one operator; false: one ATen call "
          "after the other");

namespace altprop::eqprop {
namespace {

using cli::FloatList;
using cli::IntList;

constexpr double kInf = std::numeric_limits<double>::infinity();

// Flags of this method that do not decide a run's result (common/training has
// its own).
constexpr absl::string_view kPlaces[] = {"todo", "load_path", "save"};

std::vector<cli::FlagGroup> MethodGroups() {
  return {{"Model", {"model", "archi", "act", "scale"}},
          {"Learning",
           {"alg", "loss", "T1", "T2", "betas", "thirdphase", "random_sign",
            "optim", "lrs", "wds", "mmt", "lr_decay", "lr_decay_epochs", "mbs",
            "epochs"}},
          {"Parity", {"contrast_first", "squash_output", "fused"}},
          {"Program", {"todo", "load_path", "save"}}};
}

// The position of `value` among `names`.
absl::StatusOr<int> OneOf(absl::string_view flag, const std::string& value,
                          const std::vector<absl::string_view>& names) {
  const auto it = std::find(names.begin(), names.end(), value);
  if (it != names.end()) return static_cast<int>(it - names.begin());
  return FlagError(flag, value,
                   absl::StrCat("expected ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<int64_t> AtLeast(absl::string_view flag, int64_t value,
                                int64_t least) {
  if (value >= least) return value;
  return FlagError(flag, absl::StrCat(value),
                   absl::StrCat("must be at least ", least));
}

absl::Status CheckRange(absl::string_view flag, double value, double low,
                        double high) {
  if (std::isfinite(value) && value >= low && value <= high) {
    return absl::OkStatus();
  }
  if (high == kInf) {
    return FlagError(flag, absl::StrCat(value),
                     absl::StrCat("must be a number of at least ", low));
  }
  return FlagError(flag, absl::StrCat(value),
                   absl::StrCat("must be a number from ", low, " to ", high));
}

// One number per edge.
absl::StatusOr<std::vector<double>> PerEdge(absl::string_view flag,
                                            const FloatList& list,
                                            size_t edges) {
  const std::string text = absl::StrJoin(list.values, ",");
  if (list.values.size() != edges) {
    return FlagError(flag, text,
                     absl::StrCat(list.values.size(), " values for ", edges,
                                  " edges of --archi; give one per edge"));
  }
  for (const double value : list.values) {
    ALTPROP_RETURN_IF_ERROR(CheckRange(flag, value, 0, kInf));
  }
  return list.values;
}

absl::Status ReadModel(Options& o) {
  ALTPROP_RETURN_IF_ERROR(
      OneOf("model", absl::GetFlag(FLAGS_model), {"MLP"}).status());
  o.archi = absl::GetFlag(FLAGS_archi).values;
  const std::string archi = absl::StrJoin(o.archi, ",");
  if (o.archi.size() < 2) {
    return FlagError("archi", archi,
                     "needs at least an input and an output size");
  }
  for (const int64_t units : o.archi) {
    if (units < 1) return FlagError("archi", archi, "sizes must be positive");
  }
  absl::StatusOr<Activation> activation =
      ParseActivation(absl::GetFlag(FLAGS_act));
  if (!activation.ok()) {
    return UsageError(absl::StrCat("--act: ", activation.status().message()));
  }
  o.activation = *activation;
  o.scale = absl::GetFlag(FLAGS_scale);
  if (o.scale.has_value()) {
    ALTPROP_RETURN_IF_ERROR(CheckRange("scale", *o.scale, 0, kInf));
  }
  return absl::OkStatus();
}

absl::Status ReadPhases(Options& o) {
  ALTPROP_RETURN_IF_ERROR(
      OneOf("alg", absl::GetFlag(FLAGS_alg), {"EP"}).status());
  ALTPROP_ASSIGN_OR_RETURN(
      const int loss, OneOf("loss", absl::GetFlag(FLAGS_loss), {"mse", "cel"}));
  o.loss = loss == 0 ? Loss::kMse : Loss::kCel;
  ALTPROP_ASSIGN_OR_RETURN(o.free_steps,
                           AtLeast("T1", absl::GetFlag(FLAGS_T1), 0));
  ALTPROP_ASSIGN_OR_RETURN(o.nudged_steps,
                           AtLeast("T2", absl::GetFlag(FLAGS_T2), 1));
  const std::vector<double> betas = absl::GetFlag(FLAGS_betas).values;
  const std::string text = absl::StrJoin(betas, ",");
  if (betas.size() != 2) {
    return FlagError("betas", text,
                     "expected two values, of the free and the nudged phase");
  }
  for (const double beta : betas) {
    ALTPROP_RETURN_IF_ERROR(CheckRange("betas", beta, -1e30, 1e30));
  }
  o.beta_1 = betas[0];
  o.beta_2 = betas[1];
  if (o.beta_2 == 0) {
    return FlagError("betas", text, "the nudged phase's must not be 0");
  }
  const bool symmetric = absl::GetFlag(FLAGS_thirdphase);
  const bool random_sign = absl::GetFlag(FLAGS_random_sign);
  // A third phase is the same for either sign, so it takes precedence.
  o.estimator = symmetric     ? Estimator::kSymmetric
                : random_sign ? Estimator::kRandomSign
                              : Estimator::kOneSided;
  if (random_sign && o.beta_1 != 0) {
    return FlagError("betas", text, "--random_sign needs 0 as the first");
  }
  if (o.estimator == Estimator::kOneSided && o.beta_1 == o.beta_2) {
    return FlagError("betas", text, "the two must differ");
  }
  return absl::OkStatus();
}

absl::Status ReadOptimizer(Options& o) {
  const size_t edges = o.archi.size() - 1;
  ALTPROP_ASSIGN_OR_RETURN(
      const int kind,
      OneOf("optim", absl::GetFlag(FLAGS_optim), {"sgd", "adam"}));
  o.optimizer = kind == 0 ? OptimizerKind::kSgd : OptimizerKind::kAdam;
  if (o.todo == Task::kTrain) {
    ALTPROP_ASSIGN_OR_RETURN(o.learning_rates,
                             PerEdge("lrs", absl::GetFlag(FLAGS_lrs), edges));
  }
  o.weight_decays.assign(edges, 0.0);
  if (!absl::GetFlag(FLAGS_wds).values.empty()) {
    ALTPROP_ASSIGN_OR_RETURN(o.weight_decays,
                             PerEdge("wds", absl::GetFlag(FLAGS_wds), edges));
  }
  o.momentum = absl::GetFlag(FLAGS_mmt);
  ALTPROP_RETURN_IF_ERROR(CheckRange("mmt", o.momentum, 0, 1));
  o.decay_learning_rate = absl::GetFlag(FLAGS_lr_decay);
  ALTPROP_ASSIGN_OR_RETURN(
      o.decay_epochs,
      AtLeast("lr_decay_epochs", absl::GetFlag(FLAGS_lr_decay_epochs), 1));
  ALTPROP_ASSIGN_OR_RETURN(o.batch_size,
                           AtLeast("mbs", absl::GetFlag(FLAGS_mbs), 1));
  ALTPROP_ASSIGN_OR_RETURN(o.epochs,
                           AtLeast("epochs", absl::GetFlag(FLAGS_epochs), 0));
  return absl::OkStatus();
}

}  // namespace

cli::Program EqpropProgram(const std::string& target) {
  cli::Program program;
  program.name = target;
  program.summary =
      "Equilibrium propagation (Laborieux et al. 2021, Frontiers in "
      "Neuroscience 15:633674).";
  program.groups = MethodGroups();
  cli::FlagGroup data = training::DataFlagGroup();
  data.flags.insert(data.flags.begin(), {"task", "data_aug"});
  program.groups.push_back(std::move(data));
  program.groups.push_back(training::RunFlagGroup());
  return program;
}

absl::Status ApplyGlyphsDefaults(const cli::ParsedArguments& arguments) {
  if (absl::AsciiStrToLower(absl::GetFlag(FLAGS_task)) != "glyphs" ||
      absl::GetFlag(FLAGS_todo) != "train") {
    return absl::OkStatus();
  }
  // train_mnist's settings, which the authors publish for 28x28 digits.
  const std::pair<const char*, const char*> defaults[] = {
      {"T1", "30"},  {"T2", "10"},     {"betas", "0,0.1"},
      {"mbs", "50"}, {"epochs", "10"},
  };
  for (const auto& [flag, value] : defaults) {
    if (!arguments.Given(flag)) {
      ALTPROP_RETURN_IF_ERROR(cli::SetFlagFromText(flag, value));
    }
  }
  if (!arguments.Given("lrs") && !arguments.Given("optim")) {
    absl::SetFlag(&FLAGS_optim, "adam");
    const size_t sizes = absl::GetFlag(FLAGS_archi).values.size();
    absl::SetFlag(&FLAGS_lrs, FloatList{std::vector<double>(
                                  sizes > 1 ? sizes - 1 : 0, 5e-4)});
  }
  return absl::OkStatus();
}

absl::StatusOr<Options> OptionsFromFlags() {
  Options o;
  ALTPROP_ASSIGN_OR_RETURN(
      const int todo,
      OneOf("todo", absl::GetFlag(FLAGS_todo), {"train", "evaluate"}));
  o.todo = todo == 0 ? Task::kTrain : Task::kEvaluate;
  ALTPROP_ASSIGN_OR_RETURN(o.run, training::RunOptionsFromFlags());
  ALTPROP_RETURN_IF_ERROR(ReadModel(o));
  ALTPROP_RETURN_IF_ERROR(ReadPhases(o));
  ALTPROP_RETURN_IF_ERROR(ReadOptimizer(o));
  o.dataset = absl::AsciiStrToLower(absl::GetFlag(FLAGS_task));
  ALTPROP_RETURN_IF_ERROR(
      OneOf("task", o.dataset, {"glyphs", "mnist", "cifar10"}).status());
  if (absl::GetFlag(FLAGS_data_aug) && o.dataset != "cifar10") {
    return UsageError(absl::StrCat("--data_aug: --task=", o.dataset,
                                   " has no augmentation, CIFAR10 has"));
  }
  o.augment_data = absl::GetFlag(FLAGS_data_aug) && o.run.augment;
  o.save = absl::GetFlag(FLAGS_save);
  o.contrast = absl::GetFlag(FLAGS_contrast_first)
                   ? ContrastOrder::kContrastFirst
                   : ContrastOrder::kSumsFirst;
  o.squash_output_in_evaluation = absl::GetFlag(FLAGS_squash_output);
  o.path = absl::GetFlag(FLAGS_fused) ? Path::kFused : Path::kPlain;
  return o;
}

std::vector<std::pair<std::string, std::string>> ResultFlags() {
  auto values = training::ResultFlags(EqpropProgram(""));
  values.erase(std::remove_if(values.begin(), values.end(),
                              [](const auto& flag) {
                                return absl::c_linear_search(kPlaces,
                                                             flag.first);
                              }),
               values.end());
  return values;
}

std::string LoadPathFromFlags() {
  return cli::ResolvePath(absl::GetFlag(FLAGS_load_path));
}

}  // namespace altprop::eqprop
