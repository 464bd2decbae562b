#include "eqprop/flags.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
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

ABSL_FLAG(std::string, model, "MLP",
          "network: MLP or CNN, with the same weights up and down; VFMLP or "
          "VFCNN, with backward weights of their own (vector field)");
ABSL_FLAG(altprop::cli::IntList, archi, (altprop::cli::IntList{{784, 512, 10}}),
          "MLPs: units of the input, of each hidden layer and of the output");
ABSL_FLAG(altprop::cli::IntList, channels, (altprop::cli::IntList{{32, 64}}),
          "CNNs: output channels of each convolution");
ABSL_FLAG(altprop::cli::IntList, kernels, (altprop::cli::IntList{{5, 5}}),
          "CNNs: kernel size of each convolution");
ABSL_FLAG(altprop::cli::IntList, strides, (altprop::cli::IntList{{1, 1}}),
          "CNNs: stride of each convolution");
ABSL_FLAG(altprop::cli::IntList, paddings, (altprop::cli::IntList{{0, 0}}),
          "CNNs: zero padding of each convolution");
ABSL_FLAG(std::string, pools, "mm",
          "CNNs: a letter per convolution, 2x2 pooling after it: m maximum, a "
          "average, i none");
ABSL_FLAG(altprop::cli::IntList, fc, (altprop::cli::IntList{{10}}),
          "CNNs: units of the matrices after the convolutions, to the classes");
ABSL_FLAG(bool, softmax, false,
          "CNNs with --loss=cel: the last matrix is a softmax readout outside "
          "of the dynamics");
ABSL_FLAG(altprop::cli::FloatList, dropouts, {},
          "CNN: keep probability of the input and of each layer's units; none "
          "or 0: no dropout");
ABSL_FLAG(std::string, act, "mysig",
          "activation sigma: mysig, sigmoid, tanh, hard_sigmoid, my_hard_sig, "
          "ctrd_hard_sig");
ABSL_FLAG(std::optional<double>, scale, std::nullopt,
          "redraw the initial weights and multiply them by this gain");

ABSL_FLAG(std::string, alg, "EP",
          "EP (equilibrium propagation), CEP (continual: an update at every "
          "nudged step) or BPTT (backpropagation through the last T2 steps)");
ABSL_FLAG(std::string, loss, "mse",
          "mse (half the squared distance to the one-hot label) or cel "
          "(cross-entropy, of a linear output layer or with --softmax)");
ABSL_FLAG(int64_t, T1, 20, "time steps of the free phase, and of evaluation");
ABSL_FLAG(int64_t, T2, 4,
          "time steps of each nudged phase; BPTT: steps to go back");
ABSL_FLAG(altprop::cli::FloatList, betas,
          (altprop::cli::FloatList{{0.0, 0.01}}),
          "nudging strength of the free and of the nudged phase");
ABSL_FLAG(bool, thirdphase, false,
          "symmetric estimate: a third phase, nudged by minus beta");
ABSL_FLAG(bool, fivephase, false,
          "fourth-order estimate: the symmetric ones at beta and at 2 beta; "
          "--thirdphase takes precedence");
ABSL_FLAG(bool, same_update, false,
          "VFCNN: one update for forward and backward weights, the mean of "
          "their two");
ABSL_FLAG(bool, cep_debug, false,
          "CEP at rates so small that its sum is the update of EP");
ABSL_FLAG(bool, check_thm, false,
          "ten times an epoch, compare the EP update step by step with "
          "backpropagation through time on 5 samples (the gradient check)");
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

ABSL_FLAG(std::string, todo, "train",
          "train, evaluate or gducheck (the gradient check)");
ABSL_FLAG(std::string, load_path, "",
          "folder of an earlier run, whose best state is loaded");
ABSL_FLAG(bool, save, false,
          "name the run directory as the authors' program does "
          "(results/ALG/LOSS/DATE/TIME_gpuN) and write hyperparameters.txt");

ABSL_FLAG(bool, contrast_first, true,
          "subtract the states before the products (more precise); false: "
          "subtract the summed products, as the authors' program does");
ABSL_FLAG(std::string, semantics, "reference",
          "reference: where the authors' program departs from the mathematics, "
          "as it does; corrected: as the mathematics (README)");
ABSL_FLAG(bool, fused, true,
          "all time steps of a phase in one operator; false: one ATen call "
          "after the other, as --precision=bf16 does in any case");
ABSL_FLAG(double, tolerance, 0,
          "CNNs: end a free phase before T1 steps once no unit moves by more "
          "(looked at every 10 steps); 0: always T1 steps");
ABSL_FLAG(
    std::string, updates, "synchronous",
    "CNNs, free phase: all layers at once (synchronous), or odd and even "
    "layers in turn (alternating: fixed points in fewer steps; on a CPU)");

namespace altprop::eqprop {
namespace {

using cli::FloatList;
using cli::IntList;

constexpr double kInf = std::numeric_limits<double>::infinity();

// Flags of this method that do not decide a run's result (common/training has
// its own).
constexpr absl::string_view kPlaces[] = {"todo", "load_path", "save",
                                         "check_thm"};

std::vector<cli::FlagGroup> MethodGroups() {
  return {
      {"Model",
       {"model", "archi", "channels", "kernels", "strides", "paddings", "pools",
        "fc", "softmax", "act", "scale", "dropouts"}},
      {"Learning",
       {"alg", "loss", "T1", "T2", "betas", "thirdphase", "fivephase",
        "random_sign", "same_update", "optim", "lrs", "wds", "mmt", "lr_decay",
        "lr_decay_epochs", "mbs", "epochs", "cep_debug", "check_thm"}},
      {"Computation",
       {"semantics", "contrast_first", "fused", "tolerance", "updates"}},
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
                                  " edges of the network; give one each"));
  }
  for (const double value : list.values) {
    ALTPROP_RETURN_IF_ERROR(CheckRange(flag, value, 0, kInf));
  }
  return list.values;
}

std::string Text(const std::vector<int64_t>& list) {
  return absl::StrJoin(list, ",");
}

// The images of a data set, channels and size.
std::pair<int64_t, int64_t> ImageShape(const std::string& dataset) {
  return dataset == "cifar10" ? std::pair<int64_t, int64_t>{3, 32}
                              : std::pair<int64_t, int64_t>{1, 28};
}

// `count` numbers of at least `least`.
absl::Status CheckList(absl::string_view flag, const std::vector<int64_t>& list,
                       size_t count, int64_t least) {
  if (list.size() != count) {
    return FlagError(
        flag, Text(list),
        absl::StrCat(list.size(), " values for ", count,
                     " convolutions of --channels; give one each"));
  }
  for (const int64_t value : list) {
    if (value < least) {
      return FlagError(flag, Text(list),
                       absl::StrCat("values must be at least ", least));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadPerceptron(Architecture& a) {
  a.archi = absl::GetFlag(FLAGS_archi).values;
  if (a.archi.size() < 2) {
    return FlagError("archi", Text(a.archi),
                     "needs at least an input and an output size");
  }
  for (const int64_t units : a.archi) {
    if (units < 1) {
      return FlagError("archi", Text(a.archi), "sizes must be positive");
    }
  }
  if (absl::GetFlag(FLAGS_softmax)) {
    return UsageError(absl::StrCat("--softmax: --model=", ModelName(a.model),
                                   " has no readout, CNN and VFCNN have"));
  }
  return absl::OkStatus();
}

absl::Status ReadPools(Architecture& a) {
  const std::string letters = absl::GetFlag(FLAGS_pools);
  if (letters.size() != a.channels.size()) {
    return FlagError(
        "pools", letters,
        absl::StrCat(letters.size(), " letters for ", a.channels.size(),
                     " convolutions of --channels"));
  }
  for (const char letter : letters) {
    switch (letter) {
      case 'm':
        a.pools.push_back(Pool::kMax);
        break;
      case 'a':
        a.pools.push_back(Pool::kAverage);
        break;
      case 'i':
        a.pools.push_back(Pool::kNone);
        break;
      default:
        return FlagError("pools", letters, "letters are m, a and i");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadConvolutions(const std::string& dataset, Architecture& a) {
  std::tie(a.input_channels, a.input_size) = ImageShape(dataset);
  a.channels = absl::GetFlag(FLAGS_channels).values;
  a.kernels = absl::GetFlag(FLAGS_kernels).values;
  a.strides = absl::GetFlag(FLAGS_strides).values;
  a.paddings = absl::GetFlag(FLAGS_paddings).values;
  a.fc = absl::GetFlag(FLAGS_fc).values;
  a.softmax = absl::GetFlag(FLAGS_softmax);
  const size_t count = a.channels.size();
  if (count == 0) {
    return FlagError("channels", "", "a CNN needs at least one convolution");
  }
  ALTPROP_RETURN_IF_ERROR(CheckList("channels", a.channels, count, 1));
  ALTPROP_RETURN_IF_ERROR(CheckList("kernels", a.kernels, count, 1));
  ALTPROP_RETURN_IF_ERROR(CheckList("strides", a.strides, count, 1));
  ALTPROP_RETURN_IF_ERROR(CheckList("paddings", a.paddings, count, 0));
  ALTPROP_RETURN_IF_ERROR(ReadPools(a));
  if (a.fc.empty()) return FlagError("fc", "", "needs the number of classes");
  for (const int64_t units : a.fc) {
    if (units < 1) return FlagError("fc", Text(a.fc), "must be positive");
  }
  int64_t size = a.input_size;
  for (size_t l = 0; l < count; ++l) {
    const int64_t after =
        SizeAfter(size, a.kernels[l], a.strides[l], a.paddings[l], a.pools[l]);
    if (after < 1) {
      return FlagError(
          "kernels", Text(a.kernels),
          absl::StrCat("convolution ", l + 1, " (kernel ", a.kernels[l],
                       ", padding ", a.paddings[l],
                       a.pools[l] == Pool::kNone ? "" : ", then 2x2 pooling",
                       ") does not fit its ", size, "x", size, " input"));
    }
    size = after;
  }
  return absl::OkStatus();
}

absl::Status ReadModel(Options& o) {
  const absl::StatusOr<Model> model = ParseModel(absl::GetFlag(FLAGS_model));
  if (!model.ok()) {
    return UsageError(absl::StrCat("--model: ", model.status().message()));
  }
  Architecture& a = o.architecture;
  a.model = *model;
  const absl::StatusOr<Activation> activation =
      ParseActivation(absl::GetFlag(FLAGS_act));
  if (!activation.ok()) {
    return UsageError(absl::StrCat("--act: ", activation.status().message()));
  }
  a.activation = *activation;
  ALTPROP_RETURN_IF_ERROR(a.convolutional() ? ReadConvolutions(o.dataset, a)
                                            : ReadPerceptron(a));
  o.scale = absl::GetFlag(FLAGS_scale);
  if (o.scale.has_value()) {
    ALTPROP_RETURN_IF_ERROR(CheckRange("scale", *o.scale, 0, kInf));
  }
  o.rule.same_update = absl::GetFlag(FLAGS_same_update);
  if (o.rule.same_update && a.model != Model::kVfCnn) {
    return UsageError(absl::StrCat(
        "--same_update: --model=", ModelName(a.model), ", but VFCNN has it"));
  }
  return absl::OkStatus();
}

absl::Status ReadDropout(Options& o) {
  const std::vector<double> keep = absl::GetFlag(FLAGS_dropouts).values;
  if (absl::c_all_of(keep, [](double q) { return q == 0; })) {
    return absl::OkStatus();
  }
  const std::string text = absl::StrJoin(keep, ",");
  if (o.architecture.model != Model::kCnn || o.algorithm == Algorithm::kCep ||
      o.todo == Task::kGradientCheck) {
    return FlagError("dropouts", text,
                     "is for --model=CNN trained by EP or BPTT");
  }
  if (keep.size() != o.architecture.layers() + 1) {
    return FlagError("dropouts", text,
                     absl::StrCat(keep.size(), " values for the input and ",
                                  o.architecture.layers(), " layers"));
  }
  for (const double q : keep) {
    if (!(q > 0 && q <= 1)) {
      return FlagError("dropouts", text,
                       "keep probabilities must be above 0 and at most 1");
    }
  }
  o.dropout = keep;
  return absl::OkStatus();
}

absl::Status ReadComputation(Options& o) {
  ALTPROP_ASSIGN_OR_RETURN(const int semantics,
                           OneOf("semantics", absl::GetFlag(FLAGS_semantics),
                                 {"reference", "corrected"}));
  o.rule.semantics =
      semantics == 0 ? Semantics::kReference : Semantics::kCorrected;
  o.rule.order = absl::GetFlag(FLAGS_contrast_first)
                     ? ContrastOrder::kContrastFirst
                     : ContrastOrder::kSumsFirst;
  o.path = o.run.precision == training::Precision::kBf16 ? Path::kBf16
           : absl::GetFlag(FLAGS_fused)                  ? Path::kFused
                                                         : Path::kPlain;
  o.relax.tolerance = absl::GetFlag(FLAGS_tolerance);
  ALTPROP_RETURN_IF_ERROR(CheckRange("tolerance", o.relax.tolerance, 0, kInf));
  ALTPROP_ASSIGN_OR_RETURN(const int updates,
                           OneOf("updates", absl::GetFlag(FLAGS_updates),
                                 {"synchronous", "alternating"}));
  o.relax.updates =
      updates == 0 ? Updates::kSynchronous : Updates::kAlternating;
  const bool exact = o.relax.tolerance == 0 && updates == 0;
  if (!exact && (!o.architecture.convolutional() || o.path != Path::kFused)) {
    return UsageError(absl::StrCat(
        updates == 0 ? "--tolerance" : "--updates",
        ": is for --model=CNN and VFCNN, with --fused, not in bf16"));
  }
  if (o.relax.updates == Updates::kAlternating && !o.run.device.is_cpu()) {
    return UsageError("--updates: alternating is for --device=cpu");
  }
  return absl::OkStatus();
}

// What the algorithms ask of the rest.
absl::Status ReadAlgorithm(Options& o) {
  o.continual_as_one = absl::GetFlag(FLAGS_cep_debug);
  if (o.continual_as_one && o.algorithm != Algorithm::kCep) {
    return UsageError("--cep_debug: is for --alg=CEP");
  }
  if (o.algorithm == Algorithm::kCep && o.todo == Task::kTrain &&
      (IsVectorField(o.architecture.model) ||
       o.estimator == Estimator::kFivePhase)) {
    return UsageError(
        "--alg=CEP: is for --model=MLP and CNN, without --fivephase");
  }
  o.check_theorem = absl::GetFlag(FLAGS_check_thm);
  if (o.check_theorem && o.algorithm == Algorithm::kBptt) {
    return UsageError("--check_thm: is for --alg=EP and CEP");
  }
  const bool backwards = o.algorithm == Algorithm::kBptt || o.check_theorem ||
                         o.todo == Task::kGradientCheck;
  if (backwards && o.free_steps < o.nudged_steps) {
    return FlagError("T1", absl::StrCat(o.free_steps),
                     absl::StrCat("must be at least T2, ", o.nudged_steps,
                                  ", to go back through"));
  }
  return absl::OkStatus();
}

absl::Status ReadPhases(Options& o) {
  ALTPROP_ASSIGN_OR_RETURN(
      const int algorithm,
      OneOf("alg", absl::GetFlag(FLAGS_alg), {"EP", "BPTT", "CEP"}));
  o.algorithm = static_cast<Algorithm>(algorithm);
  ALTPROP_ASSIGN_OR_RETURN(
      const int loss, OneOf("loss", absl::GetFlag(FLAGS_loss), {"mse", "cel"}));
  o.loss = loss == 0 ? Loss::kMse : Loss::kCel;
  if (o.architecture.softmax && o.loss == Loss::kMse) {
    return UsageError(
        "--softmax: needs --loss=cel, the loss of a softmax readout");
  }
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
  if (o.beta_2 == 0 && o.algorithm != Algorithm::kBptt) {
    return FlagError("betas", text, "the nudged phase's must not be 0");
  }
  const bool symmetric = absl::GetFlag(FLAGS_thirdphase);
  const bool random_sign = absl::GetFlag(FLAGS_random_sign);
  // A third phase is the same for either sign, so it takes precedence.
  o.estimator = symmetric                        ? Estimator::kSymmetric
                : absl::GetFlag(FLAGS_fivephase) ? Estimator::kFivePhase
                : random_sign                    ? Estimator::kRandomSign
                                                 : Estimator::kOneSided;
  if (random_sign && o.beta_1 != 0) {
    return FlagError("betas", text, "--random_sign needs 0 as the first");
  }
  if (o.beta_1 == o.beta_2 && o.algorithm != Algorithm::kBptt) {
    return FlagError("betas", text, "the two must differ");
  }
  if (o.todo == Task::kGradientCheck && symmetric && o.beta_1 == -o.beta_2) {
    return FlagError("betas", text, "with --thirdphase also in size");
  }
  return ReadAlgorithm(o);
}

absl::Status ReadOptimizer(Options& o) {
  const size_t edges = o.architecture.edges();
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
  if (o.algorithm == Algorithm::kCep && !o.continual_as_one) {
    for (size_t l = 0; l < o.learning_rates.size(); ++l) {
      if (o.weight_decays[l] == 0) continue;
      if (o.learning_rates[l] == 0) {
        return FlagError("lrs", "0",
                         "--alg=CEP with --wds needs rates above 0");
      }
      o.weight_decays[l] = ContinualWeightDecay(
          o.weight_decays[l], o.learning_rates[l], o.nudged_steps);
    }
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
    const absl::StatusOr<Model> model = ParseModel(absl::GetFlag(FLAGS_model));
    const bool convolutional = model.ok() && IsConvolutional(*model);
    const size_t edges = convolutional
                             ? absl::GetFlag(FLAGS_channels).values.size() +
                                   absl::GetFlag(FLAGS_fc).values.size()
                             : absl::GetFlag(FLAGS_archi).values.size() - 1;
    absl::SetFlag(&FLAGS_lrs, FloatList{std::vector<double>(edges, 5e-4)});
  }
  return absl::OkStatus();
}

absl::StatusOr<Options> OptionsFromFlags() {
  Options o;
  ALTPROP_ASSIGN_OR_RETURN(const int todo,
                           OneOf("todo", absl::GetFlag(FLAGS_todo),
                                 {"train", "evaluate", "gducheck"}));
  o.todo = static_cast<Task>(todo);
  ALTPROP_ASSIGN_OR_RETURN(o.run, training::RunOptionsFromFlags());
  o.dataset = absl::AsciiStrToLower(absl::GetFlag(FLAGS_task));
  ALTPROP_RETURN_IF_ERROR(
      OneOf("task", o.dataset, {"glyphs", "mnist", "cifar10"}).status());
  ALTPROP_RETURN_IF_ERROR(ReadModel(o));
  ALTPROP_RETURN_IF_ERROR(ReadPhases(o));
  ALTPROP_RETURN_IF_ERROR(ReadDropout(o));
  ALTPROP_RETURN_IF_ERROR(ReadOptimizer(o));
  ALTPROP_RETURN_IF_ERROR(ReadComputation(o));
  if (absl::GetFlag(FLAGS_data_aug) && o.dataset != "cifar10") {
    return UsageError(absl::StrCat("--data_aug: --task=", o.dataset,
                                   " has no augmentation, CIFAR10 has"));
  }
  o.augment_data = absl::GetFlag(FLAGS_data_aug) && o.run.augment;
  o.save = absl::GetFlag(FLAGS_save);
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
