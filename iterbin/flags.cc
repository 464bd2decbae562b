#include "iterbin/flags.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/cli/lists.h"
#include "common/cli/path.h"
#include "common/status.h"

ABSL_DECLARE_FLAG(uint64_t, seed);

ABSL_FLAG(
    std::string, model, "mlp",
    "network: 300, 784 (perceptrons: mnist), vgg5, vgg9, resnet20 "
    "(cifar10); with _layer its layers become binary one after the other, "
    "with _binary all are from the start");
ABSL_FLAG(int64_t, epochs_per_layer, 150,
          "P: epochs until the next layer becomes binary");
ABSL_FLAG(std::string, layers_indices, "layers.json",
          "order of the layers: a JSON file, or the name of a published one "
          "(vgg5_layers_ascend.json, ascend)");
ABSL_FLAG(bool, reverse_layer_binarization, false,
          "take that order from its end");

ABSL_FLAG(int64_t, batch_size, 100,
          "training batch; also the validation batch of mnist [samples]");
ABSL_FLAG(int64_t, test_batch_size, 1000,
          "test batch; also the validation batch of cifar10 [samples]");
ABSL_FLAG(int64_t, epochs, 10, "epochs; at least one is trained");
ABSL_FLAG(int64_t, patience, 0,
          "stop after so many epochs without a better evaluation, whatever "
          "--epochs says; 0: off");
ABSL_FLAG(double, lr, 0.01, "learning rate");
ABSL_FLAG(double, momentum, 0.9, "of SGD, which resnet20 uses");
ABSL_FLAG(altprop::cli::IntList, scheduler_milestones,
          (altprop::cli::IntList{{150, 250}}),
          "resnet20: 1-based epochs in which the rate falls");
ABSL_FLAG(double, scheduler_gamma, 0.1, "resnet20: factor at each milestone");

ABSL_FLAG(std::string, dataset, "mnist", "mnist, cifar10 or glyphs");
ABSL_FLAG(std::string, dataset_indices, "cifar10_split0613.json",
          "cifar10: file with the training and validation images");
ABSL_FLAG(bool, use_data_augmentation, false,
          "cifar10: crop and flip the training images");
ABSL_FLAG(int64_t, loader_workers, 0,
          "cifar10: workers whose random streams augmentation repeats; 0: 4 on "
          "a GPU, else 2, as the authors' program has");
ABSL_FLAG(bool, test_validation, false,
          "evaluate each epoch on the validation split, not on the test set");
ABSL_FLAG(bool, test_training, false,
          "evaluate each epoch on the training split too");

ABSL_FLAG(bool, fused, true,
          "perceptrons: a step without an autograd graph; convolutions: images "
          "channels last; false: as the authors' program computes");

ABSL_FLAG(int64_t, log_interval, 20,
          "print a line every so many batches [batches]");
ABSL_FLAG(bool, record_histogram, false,
          "histograms of every parameter, its mantissa and exponent");
ABSL_FLAG(bool, save_progress, false,
          "a file at each better accuracy and loss");
ABSL_FLAG(bool, save_last, false, "a file last-EPOCH.tar at the end");
ABSL_FLAG(bool, load_last, false,
          "begin with the weights and the optimizer of --load_last_file");
ABSL_FLAG(std::string, load_last_file, "last.tar",
          "of --load_last: a checkpoint, also one of the authors' program");

ABSL_FLAG(double, binary_p, 0.1, "does nothing");
ABSL_FLAG(int64_t, num_processes, 2, "does nothing");
ABSL_FLAG(bool, verbose, false, "does nothing");

namespace altprop::iterbin {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// Flags of this method that do not decide a run's result (common/training has
// its own). The initial weights are in the checkpoint.
constexpr absl::string_view kPlaces[] = {
    "log_interval",   "record_histogram", "save_progress", "save_last",
    "load_last_file", "binary_p",         "num_processes", "verbose"};

std::vector<std::string> NetworksFor(const std::string& dataset) {
  if (dataset == "cifar10") return {"vgg5", "vgg9", "resnet20"};
  return {"300", "784", "784x100"};
}

absl::Status ReadModel(Options& o) {
  o.model = absl::GetFlag(FLAGS_model);
  absl::string_view name = o.model;
  o.mode = absl::ConsumeSuffix(&name, "_layer")    ? Mode::kLayer
           : absl::ConsumeSuffix(&name, "_binary") ? Mode::kAllBinary
                                                   : Mode::kFloat;
  o.network = std::string(name);
  const auto networks = NetworksFor(o.dataset);
  if (!absl::c_linear_search(networks, o.network)) {
    return FlagError(
        "model", o.model,
        absl::StrCat("expected ", absl::StrJoin(networks, ", "),
                     " for --dataset=", o.dataset,
                     ", with _layer, _binary or nothing after it"));
  }
  o.layers_indices = absl::GetFlag(FLAGS_layers_indices);
  o.reverse = absl::GetFlag(FLAGS_reverse_layer_binarization);
  if (o.reverse && !o.binary_capable()) {
    return UsageError(absl::StrCat("--reverse_layer_binarization: --model=",
                                   o.model, " has no layers to binarize"));
  }
  ALTPROP_ASSIGN_OR_RETURN(
      o.epochs_per_layer,
      AtLeast("epochs_per_layer", absl::GetFlag(FLAGS_epochs_per_layer), 1));
  ALTPROP_ASSIGN_OR_RETURN(o.semantics, SemanticsFromFlag());
  o.fused = absl::GetFlag(FLAGS_fused);
  return absl::OkStatus();
}

absl::Status ReadLearning(Options& o) {
  // Fewer than one epoch still trains one.
  o.epochs = std::max<int64_t>(1, absl::GetFlag(FLAGS_epochs));
  ALTPROP_ASSIGN_OR_RETURN(
      o.patience, AtLeast("patience", absl::GetFlag(FLAGS_patience), 0));
  ALTPROP_ASSIGN_OR_RETURN(
      o.batch_size, AtLeast("batch_size", absl::GetFlag(FLAGS_batch_size), 1));
  ALTPROP_ASSIGN_OR_RETURN(
      o.test_batch_size,
      AtLeast("test_batch_size", absl::GetFlag(FLAGS_test_batch_size), 1));
  o.learning_rate = absl::GetFlag(FLAGS_lr);
  ALTPROP_RETURN_IF_ERROR(CheckRange("lr", o.learning_rate, 0, kInf));
  o.momentum = absl::GetFlag(FLAGS_momentum);
  ALTPROP_RETURN_IF_ERROR(CheckRange("momentum", o.momentum, 0, kInf));
  o.milestones = absl::GetFlag(FLAGS_scheduler_milestones).values;
  ALTPROP_RETURN_IF_ERROR(CheckMilestones("scheduler_milestones", o.milestones,
                                          /*strictly=*/false));
  o.gamma = absl::GetFlag(FLAGS_scheduler_gamma);
  return CheckRange("scheduler_gamma", o.gamma, 0, kInf);
}

absl::Status ReadData(Options& o) {
  o.dataset_indices = absl::GetFlag(FLAGS_dataset_indices);
  o.augment = absl::GetFlag(FLAGS_use_data_augmentation) && o.run.augment &&
              o.dataset == "cifar10";
  ALTPROP_ASSIGN_OR_RETURN(
      o.loader_workers,
      AtLeast("loader_workers", absl::GetFlag(FLAGS_loader_workers), 0));
  if (o.loader_workers == 0) {
    o.loader_workers = o.run.device.is_cuda() ? 4 : 2;
  }
  o.test_validation = absl::GetFlag(FLAGS_test_validation);
  o.test_training = absl::GetFlag(FLAGS_test_training);
  return absl::OkStatus();
}

absl::Status ReadFiles(Options& o) {
  ALTPROP_ASSIGN_OR_RETURN(
      o.log_interval,
      AtLeast("log_interval", absl::GetFlag(FLAGS_log_interval), 1));
  o.record_histogram = absl::GetFlag(FLAGS_record_histogram);
  o.save_progress = absl::GetFlag(FLAGS_save_progress);
  o.save_last = absl::GetFlag(FLAGS_save_last);
  o.load_last = absl::GetFlag(FLAGS_load_last);
  o.load_last_file = cli::ResolvePath(absl::GetFlag(FLAGS_load_last_file));
  if (o.load_last && !o.run.init_from.empty()) {
    return UsageError("--load_last, --init_from: give one of the two");
  }
  return absl::OkStatus();
}

}  // namespace

cli::Program MainProgram() {
  cli::Program program;
  program.name = "//iterbin:main";
  program.summary =
      "Iterative layer binarization on MNIST and CIFAR-10 (Lan 2021, "
      "arXiv:2111.07046).";
  program.groups = {
      {"Model",
       {"model", "epochs_per_layer", "layers_indices",
        "reverse_layer_binarization", "semantics", "fused"}},
      {"Learning",
       {"batch_size", "test_batch_size", "epochs", "patience", "lr", "momentum",
        "scheduler_milestones", "scheduler_gamma"}},
      {"Evaluation and files",
       {"test_validation", "test_training", "log_interval", "record_histogram",
        "save_progress", "save_last", "load_last", "load_last_file"}},
      {"Accepted, without effect", {"binary_p", "num_processes", "verbose"}}};
  cli::FlagGroup data = training::DataFlagGroup();
  data.flags.insert(data.flags.begin(),
                    {"dataset", "dataset_indices", "use_data_augmentation",
                     "loader_workers"});
  program.groups.push_back(std::move(data));
  program.groups.push_back(training::RunFlagGroup());
  program.aliases = {{"dataset_folder", "data_root"},
                     {"logdir", "run_dir"},
                     {"gpu", "device"}};
  return program;
}

absl::Status ApplyDefaults(const cli::ParsedArguments& arguments,
                           bool resumes) {
  if (!arguments.Given("seed")) absl::SetFlag(&FLAGS_seed, 316);
  SetDefaultSemantics(Semantics::kReference);
  if (resumes || arguments.Given("dataset") || arguments.Given("model")) {
    return absl::OkStatus();
  }
  const std::pair<const char*, const char*> demonstration[] = {
      {"dataset", "glyphs"},     {"model", "300_layer"},        {"epochs", "6"},
      {"epochs_per_layer", "2"}, {"layers_indices", "forward"},
  };
  for (const auto& [flag, value] : demonstration) {
    if (!arguments.Given(flag)) {
      ALTPROP_RETURN_IF_ERROR(cli::SetFlagFromText(flag, value));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Options> OptionsFromFlags() {
  Options o;
  ALTPROP_ASSIGN_OR_RETURN(o.run, training::RunOptionsFromFlags());
  o.dataset = absl::AsciiStrToLower(absl::GetFlag(FLAGS_dataset));
  if (o.dataset != "mnist" && o.dataset != "cifar10" && o.dataset != "glyphs") {
    return FlagError("dataset", o.dataset, "expected mnist, cifar10 or glyphs");
  }
  ALTPROP_RETURN_IF_ERROR(ReadModel(o));
  ALTPROP_RETURN_IF_ERROR(ReadLearning(o));
  ALTPROP_RETURN_IF_ERROR(ReadData(o));
  ALTPROP_RETURN_IF_ERROR(ReadFiles(o));
  return o;
}

std::vector<std::string> Notices(const cli::ParsedArguments& arguments,
                                 const Options& options) {
  std::vector<std::string> notices;
  for (const char* flag : {"binary_p", "num_processes", "verbose"}) {
    if (arguments.Given(flag)) {
      notices.push_back(absl::StrCat(
          "--", flag, " does nothing, as in the authors' program"));
    }
  }
  if (!options.uses_sgd()) {
    for (const char* flag :
         {"momentum", "scheduler_milestones", "scheduler_gamma"}) {
      if (arguments.Given(flag)) {
        notices.push_back(absl::StrCat(
            "--", flag, " does nothing with --model=", options.model,
            ", which Adam trains at one rate"));
      }
    }
  }
  if (arguments.Given("use_data_augmentation") &&
      options.dataset != "cifar10") {
    notices.push_back(
        absl::StrCat("--use_data_augmentation does nothing with "
                     "--dataset=",
                     options.dataset));
  }
  return notices;
}

std::vector<std::pair<std::string, std::string>> ResultFlags() {
  auto values = training::ResultFlags(MainProgram());
  std::erase_if(values, [](const auto& flag) {
    return absl::c_linear_search(kPlaces, flag.first);
  });
  return values;
}

const std::vector<std::string>& FixedFlags() {
  static const auto* flags = new std::vector<std::string>{
      "model", "dataset", "semantics", "epochs_per_layer",
      "reverse_layer_binarization"};
  return *flags;
}

}  // namespace altprop::iterbin
