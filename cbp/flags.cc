#include "cbp/flags.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/cli/lists.h"
#include "common/cli/path.h"
#include "common/status.h"

ABSL_FLAG(std::string, model, "resnet18",
          "alexnet, resnet18, resnet50, googlenet; small: mnist_cnn, resnet20");
ABSL_FLAG(std::string, quant, "bin",
          "levels of the constrained weights: bin, ter, 1bit, 2bit; none: full "
          "precision, no constraint");
ABSL_FLAG(int64_t, width, 0,
          "first channel count; 0: as published (the ImageNet networks 64, "
          "mnist_cnn 32, resnet20 16)");
ABSL_FLAG(double, lr, 0.001,
          "learning rate of the weights; a tenth of it once g is 20");
ABSL_FLAG(double, weight_decay, 1e-4,
          "L2 of convolutions and linear layers, not of the rest");
ABSL_FLAG(double, lr_lambda, 1e-4, "Adam's learning rate of the multipliers");
ABSL_FLAG(int64_t, batch_size, 256, "minibatch size, in samples");
ABSL_FLAG(int64_t, period, 20,
          "most epochs between two updates of multipliers and window");
ABSL_FLAG(int64_t, epochs, 1000, "epochs to train under the constraint");
ABSL_FLAG(std::string, ablation, "cbp",
          "cbp (the method), nowindow (no free zone) or ste (no multipliers: "
          "the straight-through estimator alone)");
ABSL_FLAG(bool, pretrained, true,
          "start from trained weights: --init_from, or --pretrain_epochs; "
          "false: from random ones");
ABSL_FLAG(int64_t, pretrain_epochs, 0,
          "train so many epochs in full precision first, the last quarter of "
          "them at a tenth of --pretrain_lr");
ABSL_FLAG(double, pretrain_lr, 0.1, "learning rate in full precision");

ABSL_FLAG(altprop::cli::IntList, gpu_devices, {},
          "the GPU to train on: one id (as --device; none: --device decides)");
ABSL_FLAG(int64_t, gpu, 0,
          "accepted; the authors' program overwrites it by the process's "
          "number, which is 0");
ABSL_FLAG(int64_t, rank, 0, "accepted, as --gpu");
ABSL_FLAG(int64_t, world_size, 1, "number of nodes: 1");
ABSL_FLAG(bool, distributed, false,
          "accepted; one process needs no wrapper for many");
ABSL_FLAG(std::string, dist_url, "tcp://127.0.0.1:3456",
          "accepted; one process meets no other");
ABSL_FLAG(std::string, dist_backend, "nccl", "accepted, as --dist_url");

ABSL_FLAG(bool, fused, true,
          "the updates as one operator over all layers; false: one ATen call "
          "after the other");
ABSL_FLAG(bool, channels_last, true,
          "images and filters with channels innermost (not in fp64)");

ABSL_FLAG(std::string, dataset, "",
          "glyphs (drawn by the program), mnist, cifar10, cifar100, folder, "
          "tiny_imagenet, imagenet; none: imagenet, and glyphs for the small "
          "models without --data_root");
ABSL_FLAG(int64_t, image_size, 0,
          "side of the square cut out of an image of a folder; 0: 224, "
          "tiny_imagenet 64");
ABSL_FLAG(int64_t, workers, 4, "threads that decode images of folders");
ABSL_FLAG(int64_t, skip_corrupt, 0,
          "images of folders that may fail to decode and are left out");
ABSL_FLAG(int64_t, keep_checkpoints, 0,
          "keep the checkpoints of the last so many epochs, as "
          "MODEL_QUANT_EPOCH.pt");
ABSL_FLAG(std::string, checkpoint, "",
          "file to read; none: model/MODEL_QUANT_prequantized.pth");
ABSL_FLAG(std::string, output, "", "file to write");

ABSL_DECLARE_FLAG(std::string, device);

namespace altprop::cbp {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// Flags of this method that do not decide a run's result (common/training has
// its own).
constexpr absl::string_view kPlaces[] = {
    "gpu_devices", "gpu",      "rank",         "world_size", "distributed",
    "workers",     "dist_url", "dist_backend", "pretrained", "keep_checkpoints",
};

const std::vector<absl::string_view>& DatasetFlagNames() {
  static const auto* const names = new std::vector<absl::string_view>{
      "glyphs", "mnist",         "cifar10", "cifar100",
      "folder", "tiny_imagenet", "imagenet"};
  return *names;
}

const std::vector<std::pair<std::string, std::string>>& Aliases() {
  static const auto* const aliases =
      new std::vector<std::pair<std::string, std::string>>{
          {"init", "init_from"},     {"data", "data_root"},
          {"data_dir", "data_root"}, {"out", "run_dir"},
          {"j", "workers"},
      };
  return *aliases;
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

absl::StatusOr<double> NotNegative(absl::string_view flag, double value) {
  if (std::isfinite(value) && value >= 0 && value < kInf) return value;
  return FlagError(flag, absl::StrCat(value), "must be a number of at least 0");
}

absl::Status ReadModel(Options& o) {
  const std::string model = absl::GetFlag(FLAGS_model);
  const absl::StatusOr<Model> parsed = ParseModel(model);
  if (!parsed.ok()) return FlagError("model", model, parsed.status().message());
  o.architecture.model = *parsed;
  ALTPROP_ASSIGN_OR_RETURN(o.architecture.width,
                           AtLeast("width", absl::GetFlag(FLAGS_width), 0));
  if (o.architecture.width == 0) {
    o.architecture.width = DefaultWidth(*parsed);
  }
  if (*parsed == Model::kGoogLeNet && o.architecture.width % 8 != 0) {
    return FlagError("width", absl::StrCat(o.architecture.width),
                     "googlenet needs a multiple of 8");
  }
  const std::string quant = absl::GetFlag(FLAGS_quant);
  if (quant == "none") return absl::OkStatus();
  const absl::StatusOr<Mode> mode = ParseMode(quant);
  if (!mode.ok()) {
    return FlagError("quant", quant,
                     absl::StrCat(mode.status().message(), ", or none"));
  }
  o.mode = *mode;
  return absl::OkStatus();
}

absl::Status ReadLearning(Options& o) {
  ALTPROP_ASSIGN_OR_RETURN(o.learning_rate,
                           NotNegative("lr", absl::GetFlag(FLAGS_lr)));
  ALTPROP_ASSIGN_OR_RETURN(
      o.weight_decay,
      NotNegative("weight_decay", absl::GetFlag(FLAGS_weight_decay)));
  ALTPROP_ASSIGN_OR_RETURN(
      o.lr_lambda, NotNegative("lr_lambda", absl::GetFlag(FLAGS_lr_lambda)));
  ALTPROP_ASSIGN_OR_RETURN(
      o.pretrain_lr,
      NotNegative("pretrain_lr", absl::GetFlag(FLAGS_pretrain_lr)));
  ALTPROP_ASSIGN_OR_RETURN(
      o.batch_size, AtLeast("batch_size", absl::GetFlag(FLAGS_batch_size), 1));
  ALTPROP_ASSIGN_OR_RETURN(o.period,
                           AtLeast("period", absl::GetFlag(FLAGS_period), 1));
  ALTPROP_ASSIGN_OR_RETURN(o.epochs,
                           AtLeast("epochs", absl::GetFlag(FLAGS_epochs), 0));
  ALTPROP_ASSIGN_OR_RETURN(
      o.pretrain_epochs,
      AtLeast("pretrain_epochs", absl::GetFlag(FLAGS_pretrain_epochs), 0));
  ALTPROP_ASSIGN_OR_RETURN(const int ablation,
                           OneOf("ablation", absl::GetFlag(FLAGS_ablation),
                                 {"cbp", "nowindow", "ste"}));
  o.ablation = static_cast<Ablation>(ablation);
  return absl::OkStatus();
}

// What a run starts from.
absl::Status ReadBeginning(Options& o) {
  o.pretrained = absl::GetFlag(FLAGS_pretrained);
  if (!o.mode.has_value()) {
    if (o.pretrain_epochs == 0) return absl::OkStatus();
    return FlagError("pretrain_epochs", absl::StrCat(o.pretrain_epochs),
                     "--quant=none is full precision already: give --epochs");
  }
  const bool file = !o.run.init_from.empty();
  if (!o.pretrained && (file || o.pretrain_epochs > 0)) {
    return UsageError(absl::StrCat("--pretrained=false: not together with ",
                                   file ? "--init_from" : "--pretrain_epochs"));
  }
  if (o.pretrained && !file && o.pretrain_epochs == 0 && o.run.resume.empty()) {
    return UsageError(
        "--pretrained: needs trained weights: --init_from=FILE, or "
        "--pretrain_epochs=N to train them first; --pretrained=false starts "
        "from random ones");
  }
  return absl::OkStatus();
}

// The authors' flags for many processes.
absl::Status ReadProcesses() {
  const std::vector<int64_t> ids = absl::GetFlag(FLAGS_gpu_devices).values;
  const std::string text = absl::StrJoin(ids, ",");
  if (ids.size() > 1) {
    return FlagError("gpu_devices", text,
                     "a run is one process on one device: give one id");
  }
  if (ids.size() == 1) {
    if (ids[0] < 0)
      return FlagError("gpu_devices", text, "must not be below 0");
    if (absl::GetFlag(FLAGS_device) != "auto" &&
        absl::GetFlag(FLAGS_device) != text) {
      return FlagError("gpu_devices", text,
                       absl::StrCat("not together with --device=",
                                    absl::GetFlag(FLAGS_device)));
    }
    absl::SetFlag(&FLAGS_device, text);
  }
  // torchrun sets it in each of its processes.
  const char* const world = std::getenv("WORLD_SIZE");
  int64_t processes = 1;
  if (world != nullptr && absl::SimpleAtoi(world, &processes) &&
      processes > 1) {
    return UsageError(absl::StrCat(
        "WORLD_SIZE=", processes,
        " in the environment: this program runs as one process, and each of "
        "several would do the same: start it without torchrun"));
  }
  if (absl::GetFlag(FLAGS_world_size) != 1) {
    return FlagError("world_size",
                     absl::StrCat(absl::GetFlag(FLAGS_world_size)),
                     "a run is one process: must be 1");
  }
  return absl::OkStatus();
}

absl::Status ReadData(Options& o) {
  o.dataset = absl::AsciiStrToLower(absl::GetFlag(FLAGS_dataset));
  ALTPROP_RETURN_IF_ERROR(
      OneOf("dataset", o.dataset, DatasetFlagNames()).status());
  ALTPROP_ASSIGN_OR_RETURN(
      o.image_size, AtLeast("image_size", absl::GetFlag(FLAGS_image_size), 0));
  if (o.image_size == 0) o.image_size = o.dataset == "tiny_imagenet" ? 64 : 224;
  ALTPROP_ASSIGN_OR_RETURN(o.workers,
                           AtLeast("workers", absl::GetFlag(FLAGS_workers), 1));
  ALTPROP_ASSIGN_OR_RETURN(
      o.skip_corrupt,
      AtLeast("skip_corrupt", absl::GetFlag(FLAGS_skip_corrupt), 0));
  ALTPROP_ASSIGN_OR_RETURN(
      o.keep_checkpoints,
      AtLeast("keep_checkpoints", absl::GetFlag(FLAGS_keep_checkpoints), 0));
  o.fused = absl::GetFlag(FLAGS_fused);
  // The kernels for double know no other layout than the plain one.
  o.channels_last = absl::GetFlag(FLAGS_channels_last) &&
                    o.run.precision != training::Precision::kFp64;
  o.checkpoint = cli::ResolvePath(absl::GetFlag(FLAGS_checkpoint));
  o.output = cli::ResolvePath(absl::GetFlag(FLAGS_output));
  return absl::OkStatus();
}

cli::FlagGroup ModelGroup() { return {"Model", {"model", "quant", "width"}}; }

cli::FlagGroup DataGroup() {
  cli::FlagGroup data = training::DataFlagGroup();
  data.flags.insert(data.flags.begin(), "dataset");
  data.flags.insert(data.flags.end(),
                    {"image_size", "workers", "skip_corrupt"});
  return data;
}

// Programs that read a file and go through no training.
cli::Program FileProgram(const std::string& name, const std::string& summary,
                         bool data, bool output) {
  cli::Program program;
  program.name = name;
  program.summary = summary;
  program.groups = {ModelGroup()};
  std::vector<std::string> file = {"checkpoint"};
  if (output) file.push_back("output");
  program.groups.push_back({"File", file});
  program.aliases = {{"init", "checkpoint"}, {"init_from", "checkpoint"}};
  if (data) {
    program.groups.push_back(
        {"Data",
         {"dataset", "data_root", "download", "limit_test", "batch_size",
          "image_size", "workers", "skip_corrupt"}});
    program.groups.push_back(
        {"Run",
         {"device", "threads", "precision", "channels_last", "check_flags"}});
    program.aliases.emplace_back("data", "data_root");
    program.aliases.emplace_back("data_dir", "data_root");
    program.aliases.emplace_back("j", "workers");
  } else {
    program.groups.push_back({"Run", {"check_flags"}});
  }
  return program;
}

}  // namespace

cli::Program TrainProgram() {
  cli::Program program;
  program.name = "//cbp:train";
  program.summary =
      "Constrained backpropagation: weights on a few levels, by a "
      "pseudo-Lagrange multiplier each (Kim & Jeong, NeurIPS 2021).";
  program.groups = {
      ModelGroup(),
      {"Learning",
       {"lr", "weight_decay", "lr_lambda", "batch_size", "period", "epochs",
        "ablation", "pretrained", "pretrain_epochs", "pretrain_lr"}},
      {"Computation", {"fused", "channels_last"}},
      DataGroup(),
      {"Processes",
       {"gpu_devices", "gpu", "rank", "world_size", "distributed", "dist_url",
        "dist_backend"}}};
  cli::FlagGroup run = training::RunFlagGroup();
  run.flags.push_back("keep_checkpoints");
  program.groups.push_back(std::move(run));
  program.aliases = Aliases();
  return program;
}

cli::Program EvaluateProgram() {
  return FileProgram("//cbp:evaluate",
                     "Accuracy of a network with quantized weights.",
                     /*data=*/true, /*output=*/false);
}

cli::Program ExportProgram() {
  return FileProgram("//cbp:export",
                     "Weights as packed level indices and scales, in a "
                     ".safetensors file.",
                     /*data=*/false, /*output=*/true);
}

cli::Program ConvertProgram() {
  return FileProgram("//cbp:convert",
                     "Weights of torchvision's files and of the authors' "
                     "checkpoints as a start for //cbp:train.",
                     /*data=*/false, /*output=*/true);
}

absl::Status ApplyDataset(const cli::ParsedArguments& arguments) {
  if (!absl::GetFlag(FLAGS_dataset).empty()) return absl::OkStatus();
  const absl::StatusOr<Model> model = ParseModel(absl::GetFlag(FLAGS_model));
  const bool small =
      model.ok() && (*model == Model::kMnistCnn || *model == Model::kResNet20);
  if (small && arguments.Given("data_root")) {
    return UsageError(absl::StrCat(
        "--dataset: say what --data_root holds, --model=", ModelName(*model),
        " has no data set of its own: one of ",
        absl::StrJoin(DatasetFlagNames(), ", ")));
  }
  absl::SetFlag(&FLAGS_dataset, small ? "glyphs" : "imagenet");
  return absl::OkStatus();
}

absl::Status ApplyDefaults(const cli::ParsedArguments& arguments) {
  const char* const decided[] = {"model",     "quant",       "init_from",
                                 "data_root", "gpu_devices", "dataset"};
  if (absl::c_any_of(decided,
                     [&](const char* flag) { return arguments.Given(flag); })) {
    return ApplyDataset(arguments);
  }
  const std::pair<const char*, const char*> defaults[] = {
      {"dataset", "glyphs"}, {"model", "mnist_cnn"}, {"width", "8"},
      {"batch_size", "64"},  {"epochs", "10"},       {"lr", "0.01"},
      {"lr_lambda", "1e-3"}, {"period", "1"},        {"pretrain_lr", "0.05"},
  };
  for (const auto& [flag, value] : defaults) {
    if (!arguments.Given(flag)) {
      ALTPROP_RETURN_IF_ERROR(cli::SetFlagFromText(flag, value));
    }
  }
  if (!arguments.Given("pretrain_epochs") && absl::GetFlag(FLAGS_pretrained)) {
    absl::SetFlag(&FLAGS_pretrain_epochs, 2);
  }
  return absl::OkStatus();
}

absl::StatusOr<Options> OptionsFromFlags(bool training) {
  Options o;
  ALTPROP_RETURN_IF_ERROR(ReadProcesses());
  ALTPROP_ASSIGN_OR_RETURN(o.run, training::RunOptionsFromFlags());
  ALTPROP_RETURN_IF_ERROR(ReadModel(o));
  ALTPROP_RETURN_IF_ERROR(ReadLearning(o));
  ALTPROP_RETURN_IF_ERROR(ReadData(o));
  if (training) ALTPROP_RETURN_IF_ERROR(ReadBeginning(o));
  return o;
}

std::vector<std::pair<std::string, std::string>> ResultFlags() {
  auto values = training::ResultFlags(TrainProgram());
  values.erase(std::remove_if(values.begin(), values.end(),
                              [](const auto& flag) {
                                return absl::c_linear_search(kPlaces,
                                                             flag.first);
                              }),
               values.end());
  return values;
}

std::string QuantName(const Options& options) {
  return options.mode ? std::string(ModeName(*options.mode)) : "none";
}

}  // namespace altprop::cbp
