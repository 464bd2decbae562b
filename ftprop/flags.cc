#include "ftprop/flags.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>

#include "absl/algorithm/container.h"
#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/cli/lists.h"
#include "common/cli/path.h"
#include "common/logging.h"
#include "common/status.h"
#include "common/training/device.h"

ABSL_DECLARE_FLAG(std::string, run_dir);
ABSL_DECLARE_FLAG(uint64_t, seed);

ABSL_FLAG(std::string, arch, "",
          "network: convnet4, convnet8, resnet18 or alexnet_drf (required)");
ABSL_FLAG(std::vector<std::string>, nonlin, {},
          "hidden non-linearity: step01, step11, staircase, staircase3, relu, "
          "threshrelu, another of nonlinearity.h, staircase:N or "
          "staircase:N:LOW:HIGH; one, or one per layer (required)");
ABSL_FLAG(std::optional<double>, lr, std::nullopt,
          "initial learning rate (required)");
ABSL_FLAG(std::string, loss, "crossent",
          "output loss: crossent, hinge, hingeL2, hingeSM or hingeTrunc");
ABSL_FLAG(bool, use_bn, false, "batch norm; resnet18 and alexnet_drf need it");
ABSL_FLAG(std::vector<std::string>, tp_rule, {"SoftHinge"},
          "target-propagation rule of hard thresholds: SoftHinge, SSTE, STE, "
          "... (README); one, or one per layer");
ABSL_FLAG(bool, no_tp_grad_scale, false,
          "without importance weighting: the hidden loss is not multiplied by "
          "the gradient's magnitude");
ABSL_FLAG(bool, sste_v2_as_coded, false,
          "SSTEv2 as the authors' code computes it: N g |g| on its window, "
          "not g");
ABSL_FLAG(double, dropout, 0.5,
          "probability of dropping a channel, in convnet8");
ABSL_FLAG(std::string, bn_weights, "one",
          "initial weights of batch norm: one, or uniform on [0, 1) as "
          "PyTorch of 2018 drew them");
ABSL_FLAG(altprop::cli::IntList, widths,
          (altprop::cli::IntList{{32, 64, 1024}}),
          "convnet4: channels of its two convolutions, units of its hidden "
          "fully connected layer");
ABSL_FLAG(int64_t, classes, 0,
          "outputs of the network; 0: the classes of the data set");

ABSL_FLAG(int64_t, batch, 64, "training minibatch [samples]");
ABSL_FLAG(int64_t, epochs, 300, "the last epoch's number");
ABSL_FLAG(std::string, opt, "sgd", "sgd, adam or rmsprop");
ABSL_FLAG(double, momentum, 0.9, "of sgd alone");
ABSL_FLAG(double, wtdecay, 0,
          "L2 weight decay, of every parameter and with every optimizer");
ABSL_FLAG(bool, legacy_adam, false,
          "Adam with eps where PyTorch of 2018 had it");
ABSL_FLAG(double, lr_decay, 0.1,
          "factor of the learning rate at each of --lr_decay_epochs");
ABSL_FLAG(altprop::cli::IntList, lr_decay_epochs, {},
          "epochs, from 1, at whose start the learning rate decays (once, if "
          "one is named twice)");
ABSL_FLAG(int64_t, test_batch, 0,
          "validation and test minibatch; 0: as --batch [samples]");

ABSL_FLAG(std::string, ds, "cifar10",
          "data set: mnist, cifar10, cifar100, svhn, imagenet, tiny_imagenet, "
          "folder, glyphs (drawn by the program)");
ABSL_FLAG(bool, no_val, false,
          "train on the whole training set: no validation, no best model");
ABSL_FLAG(bool, no_aug, false, "no augmentation");
ABSL_FLAG(int64_t, dbg_ds_size, 0,
          "use only the first samples of the training part; 0: all [samples]");
ABSL_FLAG(int64_t, nworkers, 2, "threads that decode images of folders");
ABSL_FLAG(int64_t, skip_corrupt, 0,
          "leave out so many images that do not decode, then stop");
ABSL_FLAG(bool, plot_test, false, "evaluate on the test set after each epoch");
ABSL_FLAG(bool, test_final_model, false,
          "at the end evaluate on the test set: the best model on the "
          "validation set, or without one the last");

ABSL_FLAG(std::string, test_model, "",
          "only evaluate the weights of this checkpoint on the test set");
ABSL_FLAG(std::string, save, "", "folder of the run, as --run_dir");
ABSL_FLAG(bool, no_save, false, "leave no files");
ABSL_FLAG(std::string, log_info, "", "ends the name of the run's folder");
ABSL_FLAG(bool, no_tb_log, false, "no TensorBoard files");
ABSL_FLAG(bool, diagnostics, false,
          "histograms of every hard threshold's input and output");
ABSL_FLAG(double, tb_sample_pct, 0.01,
          "share of a tensor's elements in the histograms, 0 to 1");
ABSL_FLAG(double, tb_drop_pct, 0.95,
          "share of minibatches left out of the histograms, 0 to 1");
ABSL_FLAG(bool, layer_statistics, true,
          "after each epoch, per layer: targets that disagree, outputs that "
          "flipped, units without gradient");
ABSL_FLAG(altprop::cli::IntList, gpus, (altprop::cli::IntList{{0}}),
          "CUDA device, where there is one");
ABSL_FLAG(bool, no_cuda, false, "on the CPU");

namespace altprop::ftprop {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr uint64_t kAuthorsSeed = 468412397;

// Flags of this method that do not decide a run's result (common/training has
// its own).
constexpr absl::string_view kPlaces[] = {
    "test_model",    "save",        "no_save",     "log_info",
    "no_tb_log",     "nworkers",    "gpus",        "no_cuda",
    "tb_sample_pct", "tb_drop_pct", "diagnostics",
};

std::vector<cli::FlagGroup> MethodGroups() {
  return {
      {"Model",
       {"arch", "nonlin", "tp_rule", "no_tp_grad_scale", "use_bn", "loss",
        "dropout", "bn_weights", "widths", "classes", "sste_v2_as_coded"}},
      {"Learning",
       {"lr", "opt", "momentum", "wtdecay", "lr_decay", "lr_decay_epochs",
        "batch", "epochs", "legacy_adam"}},
      {"Evaluation",
       {"no_val", "test_batch", "plot_test", "test_final_model", "test_model"}},
      {"Program",
       {"save", "no_save", "log_info", "no_tb_log", "diagnostics",
        "tb_sample_pct", "tb_drop_pct", "layer_statistics", "gpus", "no_cuda",
        "nworkers"}}};
}

absl::StatusOr<int64_t> AtLeast(absl::string_view flag, int64_t value,
                                int64_t least) {
  if (value >= least) return value;
  return FlagError(flag, absl::StrCat(value),
                   absl::StrCat("must be at least ", least));
}

absl::StatusOr<double> InRange(absl::string_view flag, double value, double low,
                               double high) {
  if (std::isfinite(value) && value >= low && value <= high) return value;
  return FlagError(
      flag, absl::StrCat(value),
      high == kInf ? absl::StrCat("must be a number of at least ", low)
                   : absl::StrCat("must be a number from ", low, " to ", high));
}

absl::StatusOr<size_t> OneOf(absl::string_view flag, const std::string& value,
                             const std::vector<absl::string_view>& names) {
  const auto it = absl::c_find(names, value);
  if (it != names.end()) return it - names.begin();
  return FlagError(flag, value,
                   absl::StrCat("expected ", absl::StrJoin(names, ", ")));
}

// The error of `status` as one about a flag.
absl::Status About(absl::string_view flag, absl::string_view value,
                   const absl::Status& status) {
  return FlagError(flag, value, status.message());
}

// A launcher of parallel training (torchrun) would start the same run several
// times, in one folder.
absl::Status CheckOneProcess() {
  const char* const text = std::getenv("WORLD_SIZE");
  int64_t processes = 0;
  if (text == nullptr || !absl::SimpleAtoi(text, &processes) ||
      processes <= 1) {
    return absl::OkStatus();
  }
  return UsageError(absl::StrCat(
      "WORLD_SIZE=", processes,
      ": this program runs as one process; start it without a launcher"));
}

// What must be given: all that is missing, in one line.
absl::Status CheckRequired(bool training) {
  std::vector<std::string> missing;
  if (absl::GetFlag(FLAGS_arch).empty()) missing.push_back("--arch");
  if (absl::GetFlag(FLAGS_nonlin).empty()) missing.push_back("--nonlin");
  if (training && !absl::GetFlag(FLAGS_lr) &&
      absl::GetFlag(FLAGS_test_model).empty()) {
    missing.push_back("--lr");
  }
  if (missing.empty()) return absl::OkStatus();
  return UsageError(absl::StrCat(absl::StrJoin(missing, ", "),
                                 ": required (--help lists all flags)"));
}

absl::Status ReadSpec(Options& o) {
  const DataSpec& data = o.data.spec;
  const std::string arch = absl::GetFlag(FLAGS_arch);
  NetworkSpec& spec = o.spec;
  ALTPROP_ASSIGN_OR_RETURN(
      const size_t which,
      OneOf("arch", arch, {"convnet4", "convnet8", "alexnet_drf", "resnet18"}));
  spec.architecture = static_cast<Architecture>(which);
  if (spec.architecture == Architecture::kResnet18 && !data.folder) {
    spec.architecture = Architecture::kResnet18Cifar;
  }
  spec.channels = data.channels;
  spec.side = data.side;
  spec.batch_norm = absl::GetFlag(FLAGS_use_bn);
  spec.widths = absl::GetFlag(FLAGS_widths).values;
  const std::string widths = absl::StrJoin(spec.widths, ",");
  if (spec.widths.size() != 3 || *absl::c_min_element(spec.widths) < 1) {
    return FlagError("widths", widths, "expected three numbers of at least 1");
  }
  ALTPROP_ASSIGN_OR_RETURN(spec.classes,
                           AtLeast("classes", absl::GetFlag(FLAGS_classes), 0));
  if (spec.classes == 0) {
    spec.classes = data.classes;
  } else if (spec.classes < data.classes) {
    return FlagError("classes", absl::StrCat(spec.classes),
                     absl::StrCat("--ds=", data.name, " has ", data.classes));
  }
  // The authors' program has these data sets for these networks.
  const bool small = data.name != "svhn" && !data.folder;
  if ((spec.architecture == Architecture::kConvnet4 && !small) ||
      (spec.architecture == Architecture::kResnet18Cifar &&
       data.channels != 3)) {
    return FlagError("ds", data.name,
                     absl::StrCat("is no data set for --arch=", arch));
  }
  const absl::Status fits = CheckSpec(spec);
  if (fits.ok()) return absl::OkStatus();
  return FlagError(
      "arch", arch,
      absl::StrCat(fits.message(),
                   absl::StrContains(fits.message(), "norm")
                       ? " (--use-bn)"
                       : absl::StrCat(", --ds=", data.name, " has others")));
}

// One value per hidden layer, of one or all.
absl::StatusOr<std::vector<std::string>> PerLayer(
    absl::string_view flag, const std::vector<std::string>& values,
    const Options& o) {
  const size_t layers = HiddenLayers(o.spec.architecture);
  if (values.size() == layers) return values;
  if (values.size() == 1) return std::vector<std::string>(layers, values[0]);
  return FlagError(
      flag, absl::StrJoin(values, ","),
      absl::StrCat(values.size(), " values for the ", layers,
                   " hidden layers of ",
                   std::string(ArchitectureName(o.spec.architecture)),
                   "; give one, or one each"));
}

absl::Status ReadHidden(Options& o) {
  ALTPROP_ASSIGN_OR_RETURN(const std::vector<std::string> nonlins,
                           PerLayer("nonlin", absl::GetFlag(FLAGS_nonlin), o));
  ALTPROP_ASSIGN_OR_RETURN(
      const std::vector<std::string> rules,
      PerLayer("tp_rule", absl::GetFlag(FLAGS_tp_rule), o));
  for (size_t l = 0; l < nonlins.size(); ++l) {
    Threshold& threshold = o.hidden.emplace_back();
    const auto nonlinearity = ParseNonlinearity(nonlins[l]);
    if (!nonlinearity.ok()) {
      return About("nonlin", nonlins[l], nonlinearity.status());
    }
    const auto rule = ParseRule(rules[l]);
    if (!rule.ok()) return About("tp_rule", rules[l], rule.status());
    threshold.nonlinearity = *nonlinearity;
    threshold.rule = *rule;
    threshold.scaled = !absl::GetFlag(FLAGS_no_tp_grad_scale);
    threshold.sste_v2_as_coded = absl::GetFlag(FLAGS_sste_v2_as_coded);
    const absl::Status fits = CheckRule(*nonlinearity, *rule, threshold.scaled);
    if (!fits.ok()) return About("tp_rule", rules[l], fits);
  }
  return absl::OkStatus();
}

absl::Status ReadModel(Options& o) {
  ALTPROP_RETURN_IF_ERROR(ReadSpec(o));
  ALTPROP_RETURN_IF_ERROR(ReadHidden(o));
  ALTPROP_ASSIGN_OR_RETURN(
      const size_t weights,
      OneOf("bn_weights", absl::GetFlag(FLAGS_bn_weights), {"one", "uniform"}));
  o.spec.uniform_bn_weights = weights == 1;
  ALTPROP_ASSIGN_OR_RETURN(
      o.dropout, InRange("dropout", absl::GetFlag(FLAGS_dropout), 0, 1));
  const std::string name = absl::GetFlag(FLAGS_loss);
  const auto loss = ParseLoss(name);
  if (!loss.ok()) return About("loss", name, loss.status());
  o.loss = *loss;
  return absl::OkStatus();
}

absl::Status ReadDecay(Options& o) {
  ALTPROP_ASSIGN_OR_RETURN(
      o.decay, InRange("lr_decay", absl::GetFlag(FLAGS_lr_decay), 0, kInf));
  o.decay_epochs = absl::GetFlag(FLAGS_lr_decay_epochs).values;
  std::vector<int64_t>& epochs = o.decay_epochs;
  if (!absl::c_is_sorted(epochs) || (!epochs.empty() && epochs[0] < 1)) {
    return FlagError("lr_decay_epochs", absl::StrJoin(epochs, " "),
                     "must ascend, from 1 on");
  }
  // A set to the authors' program: an epoch named twice decays once.
  epochs.erase(std::unique(epochs.begin(), epochs.end()), epochs.end());
  return absl::OkStatus();
}

absl::Status ReadLearning(Options& o) {
  ALTPROP_ASSIGN_OR_RETURN(
      const size_t optimizer,
      OneOf("opt", absl::GetFlag(FLAGS_opt), {"sgd", "adam", "rmsprop"}));
  o.optimizer = static_cast<OptimizerKind>(optimizer);
  ALTPROP_ASSIGN_OR_RETURN(
      o.learning_rate,
      InRange("lr", absl::GetFlag(FLAGS_lr).value_or(0), 0, kInf));
  ALTPROP_ASSIGN_OR_RETURN(
      o.momentum, InRange("momentum", absl::GetFlag(FLAGS_momentum), 0, 1));
  ALTPROP_ASSIGN_OR_RETURN(
      o.weight_decay,
      InRange("wtdecay", absl::GetFlag(FLAGS_wtdecay), 0, kInf));
  o.legacy_eps = absl::GetFlag(FLAGS_legacy_adam);
  if (o.legacy_eps && o.optimizer != OptimizerKind::kAdam) {
    return UsageError("--legacy_adam: is for --opt=adam");
  }
  ALTPROP_RETURN_IF_ERROR(ReadDecay(o));
  ALTPROP_ASSIGN_OR_RETURN(o.epochs,
                           AtLeast("epochs", absl::GetFlag(FLAGS_epochs), 0));
  return absl::OkStatus();
}

absl::Status ReadData(const cli::ParsedArguments& arguments, Options& o) {
  const std::string name = absl::GetFlag(FLAGS_ds);
  const auto spec = FindDataSpec(name);
  if (!spec.ok()) return About("ds", name, spec.status());
  DataOptions& d = o.data;
  d.spec = *spec;
  if (d.spec.folder && !arguments.Given("data_root") && !o.run.check_flags) {
    return UsageError(
        absl::StrCat("--data-root: --ds=", d.spec.name,
                     " needs it, the folder with train and val in it"));
  }
  if (d.spec.folder && o.run.download) {
    LOG(WARNING) << "--download: --ds=" << d.spec.name
                 << " is not to be had that way; --data_root must hold it";
  }
  d.root = o.run.data_root;
  d.download = o.run.download;
  d.validation = !absl::GetFlag(FLAGS_no_val);
  d.shuffle = o.run.shuffle;
  d.augment = o.run.augment && !absl::GetFlag(FLAGS_no_aug);
  d.seed = o.run.seed;
  d.limit_train = o.run.limit_train;
  d.limit_test = o.run.limit_test;
  ALTPROP_ASSIGN_OR_RETURN(d.batch,
                           AtLeast("batch", absl::GetFlag(FLAGS_batch), 1));
  ALTPROP_ASSIGN_OR_RETURN(
      d.test_batch, AtLeast("test_batch", absl::GetFlag(FLAGS_test_batch), 0));
  if (d.test_batch == 0) d.test_batch = d.batch;
  ALTPROP_ASSIGN_OR_RETURN(
      d.first_training,
      AtLeast("dbg_ds_size", absl::GetFlag(FLAGS_dbg_ds_size), 0));
  ALTPROP_ASSIGN_OR_RETURN(
      d.decode_threads, AtLeast("nworkers", absl::GetFlag(FLAGS_nworkers), 0));
  // 0 workers: none beside the program's own, which here is one.
  d.decode_threads = std::max<int64_t>(d.decode_threads, 1);
  ALTPROP_ASSIGN_OR_RETURN(
      d.skip_corrupt,
      AtLeast("skip_corrupt", absl::GetFlag(FLAGS_skip_corrupt), 0));
  o.plot_test = absl::GetFlag(FLAGS_plot_test);
  o.test_final_model = absl::GetFlag(FLAGS_test_final_model);
  return absl::OkStatus();
}

// --no-cuda and --gpus beside --device.
absl::Status ReadDevice(const cli::ParsedArguments& arguments, Options& o) {
  const std::vector<int64_t> gpus = absl::GetFlag(FLAGS_gpus).values;
  const std::string text = absl::StrJoin(gpus, " ");
  if (gpus.empty() || *absl::c_min_element(gpus) < 0) {
    return FlagError("gpus", text, "expected numbers of CUDA devices");
  }
  if (absl::GetFlag(FLAGS_no_cuda)) {
    if (arguments.Given("device") && !o.run.device.is_cpu()) {
      return UsageError("--no-cuda, --device: contradict each other");
    }
    o.run.device = c10::Device(c10::kCPU);
    return absl::OkStatus();
  }
  const int devices = training::CudaDeviceCount();
  if (devices == 0 || arguments.Given("device")) return absl::OkStatus();
  if (gpus.size() > 1) {
    return FlagError("gpus", text, "this program trains on one device");
  }
  if (gpus[0] >= devices) {
    return FlagError("gpus", text,
                     absl::StrCat("there are ", devices, " CUDA devices"));
  }
  o.run.device =
      c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(gpus[0]));
  return absl::OkStatus();
}

// "adam_lr0.00025_mu0.9_wd0.0005noval.step11-SoftHinge-ngs", as the authors
// name their folders.
std::string RunName(const Options& o) {
  const std::string nonlin = absl::StrJoin(absl::GetFlag(FLAGS_nonlin), "+");
  std::string name = absl::StrCat(
      o.data.spec.name, "-", absl::GetFlag(FLAGS_arch),
      o.spec.batch_norm ? "BN" : "", ".", std::string(LossName(o.loss)), ".",
      absl::GetFlag(FLAGS_opt), "_lr", o.learning_rate, "_mu", o.momentum,
      "_wd", o.weight_decay, o.data.validation ? "" : "noval", ".", nonlin);
  const bool hard = absl::c_any_of(o.hidden, [](const Threshold& threshold) {
    return threshold.nonlinearity.hard();
  });
  if (hard) {
    absl::StrAppend(&name, "-",
                    absl::StrJoin(absl::GetFlag(FLAGS_tp_rule), "+"));
  }
  if (absl::GetFlag(FLAGS_no_tp_grad_scale)) absl::StrAppend(&name, "-ngs");
  return name;
}

absl::Status ReadProgram(Options& o) {
  o.test_model = TestModelFromFlags();
  o.save = !absl::GetFlag(FLAGS_no_save);
  o.tensorboard = !absl::GetFlag(FLAGS_no_tb_log);
  o.diagnostics = absl::GetFlag(FLAGS_diagnostics);
  o.layer_statistics = absl::GetFlag(FLAGS_layer_statistics);
  ALTPROP_ASSIGN_OR_RETURN(
      o.sample_share,
      InRange("tb_sample_pct", absl::GetFlag(FLAGS_tb_sample_pct), 0, 1));
  ALTPROP_ASSIGN_OR_RETURN(
      o.drop_share,
      InRange("tb_drop_pct", absl::GetFlag(FLAGS_tb_drop_pct), 0, 1));
  const std::string save = absl::GetFlag(FLAGS_save);
  if (!save.empty() && !o.run.run_dir.empty()) {
    return UsageError("--save, --run_dir: give one of the two");
  }
  if (!o.save && (!save.empty() || !o.run.run_dir.empty())) {
    return UsageError(absl::StrCat("--no-save: contradicts --",
                                   save.empty() ? "run_dir" : "save"));
  }
  if (!save.empty()) o.run.run_dir = save;
  const std::string info = absl::GetFlag(FLAGS_log_info);
  const std::string suffix = info.empty() ? "" : absl::StrCat(".", info);
  if (!o.run.run_dir.empty()) o.run.run_dir += suffix;
  o.run_name = RunName(o) + suffix;
  return absl::OkStatus();
}

}  // namespace

cli::Program FtpropProgram(const std::string& target) {
  cli::Program program;
  program.name = target;
  program.summary =
      "Feasible target propagation (Friesen & Domingos 2018, Deep Learning as "
      "a Mixed Convex-Combinatorial Optimization Problem).";
  program.groups = MethodGroups();
  cli::FlagGroup data = training::DataFlagGroup();
  const std::vector<std::string> own = {"ds", "no_aug", "dbg_ds_size",
                                        "skip_corrupt"};
  data.flags.insert(data.flags.begin(), own.begin(), own.end());
  program.groups.push_back(std::move(data));
  program.groups.push_back(training::RunFlagGroup());
  return program;
}

absl::Status ApplyDefaults(const cli::ParsedArguments& arguments) {
  if (!arguments.Given("seed")) absl::SetFlag(&FLAGS_seed, kAuthorsSeed);
  const bool nothing_said =
      !arguments.Given("ds") && !arguments.Given("arch") &&
      !arguments.Given("nonlin") && !arguments.Given("lr");
  const auto spec = FindDataSpec(absl::GetFlag(FLAGS_ds));
  const bool glyphs =
      arguments.Given("ds") && spec.ok() && spec->name == "glyphs";
  if (!absl::GetFlag(FLAGS_test_model).empty() || (!nothing_said && !glyphs)) {
    return absl::OkStatus();
  }
  const std::pair<const char*, const char*> defaults[] = {
      {"ds", "glyphs"}, {"arch", "convnet4"},  {"nonlin", "step11"},
      {"lr", "2.5e-4"}, {"opt", "adam"},       {"wtdecay", "5e-4"},
      {"epochs", "3"},  {"plot_test", "true"}, {"no_val", "true"},
  };
  for (const auto& [flag, value] : defaults) {
    if (arguments.Given(flag)) continue;
    ALTPROP_RETURN_IF_ERROR(cli::SetFlagFromText(flag, value));
  }
  return absl::OkStatus();
}

absl::StatusOr<Options> OptionsFromFlags(const cli::ParsedArguments& arguments,
                                         bool training) {
  ALTPROP_RETURN_IF_ERROR(CheckOneProcess());
  ALTPROP_RETURN_IF_ERROR(CheckRequired(training));
  Options o;
  ALTPROP_ASSIGN_OR_RETURN(o.run, training::RunOptionsFromFlags());
  ALTPROP_RETURN_IF_ERROR(ReadDevice(arguments, o));
  ALTPROP_RETURN_IF_ERROR(ReadData(arguments, o));
  ALTPROP_RETURN_IF_ERROR(ReadModel(o));
  ALTPROP_RETURN_IF_ERROR(ReadLearning(o));
  ALTPROP_RETURN_IF_ERROR(ReadProgram(o));
  return o;
}

std::vector<std::pair<std::string, std::string>> ResultFlags() {
  auto values = training::ResultFlags(FtpropProgram(""));
  values.erase(std::remove_if(values.begin(), values.end(),
                              [](const auto& flag) {
                                return absl::c_linear_search(kPlaces,
                                                             flag.first);
                              }),
               values.end());
  return values;
}

std::string TestModelFromFlags() {
  return cli::ResolvePath(absl::GetFlag(FLAGS_test_model));
}

}  // namespace altprop::ftprop
