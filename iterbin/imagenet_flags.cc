#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/cli/lists.h"
#include "common/cli/path.h"
#include "common/data/image_folder.h"
#include "common/status.h"
#include "iterbin/imagenet.h"
#include "iterbin/shared_flags.h"

ABSL_FLAG(int64_t, epochs, 90, "run epochs --start_epoch to this, less one");
ABSL_FLAG(int64_t, start_epoch, 0, "first epoch, from 0");
ABSL_FLAG(int64_t, batch_size, 256, "training and validation batch [samples]");
ABSL_FLAG(double, lr, 0.1, "initial learning rate");
ABSL_FLAG(double, momentum, 0.9, "of SGD");
ABSL_FLAG(double, weight_decay, 1e-4, "of all parameters");
ABSL_FLAG(altprop::cli::IntList, lr_milestones, (altprop::cli::IntList{{84}}),
          "epochs, from 0, at whose start the rate falls to a tenth");
ABSL_FLAG(std::string, dataset, "imagenet",
          "imagenet, tiny_imagenet or folder (train/CLASS, val/CLASS)");
ABSL_FLAG(int64_t, image_size, 224, "pixels of the square that is cut out");
ABSL_FLAG(int64_t, workers, 4, "threads that decode images");
ABSL_FLAG(int64_t, skip_corrupt, 0,
          "leave out up to so many images that do not decode [images]");
ABSL_FLAG(int64_t, print_freq, 10, "print a line every so many batches");
ABSL_FLAG(bool, evaluate, false, "one validation pass, no training");
ABSL_FLAG(bool, save_checkpoint, false,
          "the authors' files too: checkpoint.pth.tar, model_best.pth.tar");
ABSL_FLAG(int64_t, checkpoint_interval, 8,
          "with --save_checkpoint, keep a copy every so many epochs; 0: none");
ABSL_FLAG(bool, dry_run, false, "end each pass after three batches");

ABSL_FLAG(int64_t, world_size, -1, "nodes; this program uses one device");
ABSL_FLAG(int64_t, rank, -1, "does nothing");
ABSL_FLAG(std::string, dist_url, "tcp://224.66.41.62:23456", "does nothing");
ABSL_FLAG(std::string, dist_backend, "nccl", "does nothing");
ABSL_FLAG(bool, multiprocessing_distributed, false,
          "an error, as in the authors' program");

ABSL_FLAG(bool, binarize, false,
          "the network whose layers become binary; without it the float one");
ABSL_FLAG(std::string, layers_json, "./models/resnet21_layers_1.json",
          "order of the layers: a JSON file, or the name of a published one");
ABSL_FLAG(bool, reverse_layer_binarization, false,
          "take that order from its end");
ABSL_FLAG(bool, all_binary, false, "all layers are binary from the start");
ABSL_FLAG(int64_t, epochs_per_layer, 20,
          "P: epochs until the next layer becomes binary");

namespace altprop::iterbin {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

constexpr absl::string_view kPlaces[] = {"workers",
                                         "print_freq",
                                         "evaluate",
                                         "semantics",
                                         "save_checkpoint",
                                         "checkpoint_interval",
                                         "world_size",
                                         "rank",
                                         "dist_url",
                                         "dist_backend",
                                         "multiprocessing_distributed"};

// Of the layers; a resumed run must share them with its checkpoint.
constexpr absl::string_view kFixed[] = {"binarize", "layers_json",
                                        "reverse_layer_binarization",
                                        "all_binary", "epochs_per_layer"};

absl::Status ReadLearning(ImageNetOptions& o) {
  ALTPROP_ASSIGN_OR_RETURN(o.epochs,
                           AtLeast("epochs", absl::GetFlag(FLAGS_epochs), 0));
  ALTPROP_ASSIGN_OR_RETURN(
      o.start_epoch,
      AtLeast("start_epoch", absl::GetFlag(FLAGS_start_epoch), 0));
  ALTPROP_ASSIGN_OR_RETURN(
      o.batch_size, AtLeast("batch_size", absl::GetFlag(FLAGS_batch_size), 1));
  o.learning_rate = absl::GetFlag(FLAGS_lr);
  ALTPROP_RETURN_IF_ERROR(CheckRange("lr", o.learning_rate, 0, kInf));
  o.momentum = absl::GetFlag(FLAGS_momentum);
  ALTPROP_RETURN_IF_ERROR(CheckRange("momentum", o.momentum, 0, kInf));
  o.weight_decay = absl::GetFlag(FLAGS_weight_decay);
  ALTPROP_RETURN_IF_ERROR(CheckRange("weight_decay", o.weight_decay, 0, kInf));
  o.milestones = absl::GetFlag(FLAGS_lr_milestones).values;
  return CheckMilestones("lr_milestones", o.milestones, /*strictly=*/true);
}

absl::Status ReadData(const cli::ParsedArguments& arguments,
                      ImageNetOptions& o) {
  o.dataset = absl::AsciiStrToLower(absl::GetFlag(FLAGS_dataset));
  if (!data::IsImageFolder(o.dataset)) {
    return FlagError(
        "dataset", o.dataset,
        absl::StrCat("expected ",
                     absl::StrJoin(data::ImageFolderNames(), ", ")));
  }
  if (!arguments.positionals.empty()) {
    o.run.data_root = cli::ResolvePath(arguments.positionals[0]);
  }
  if (arguments.positionals.size() > 1) {
    o.log_folder = arguments.positionals[1];
  }
  ALTPROP_ASSIGN_OR_RETURN(
      o.image_size, AtLeast("image_size", absl::GetFlag(FLAGS_image_size), 32));
  ALTPROP_ASSIGN_OR_RETURN(o.workers,
                           AtLeast("workers", absl::GetFlag(FLAGS_workers), 0));
  ALTPROP_ASSIGN_OR_RETURN(
      o.skip_corrupt,
      AtLeast("skip_corrupt", absl::GetFlag(FLAGS_skip_corrupt), 0));
  ALTPROP_ASSIGN_OR_RETURN(
      o.print_freq, AtLeast("print_freq", absl::GetFlag(FLAGS_print_freq), 1));
  o.evaluate = absl::GetFlag(FLAGS_evaluate);
  o.save_checkpoint = absl::GetFlag(FLAGS_save_checkpoint);
  o.checkpoint_interval = absl::GetFlag(FLAGS_checkpoint_interval);
  o.dry_run = absl::GetFlag(FLAGS_dry_run);
  if (absl::GetFlag(FLAGS_multiprocessing_distributed)) {
    return UsageError(
        "--multiprocessing_distributed: this program uses one device");
  }
  if (absl::GetFlag(FLAGS_world_size) > 1) {
    return FlagError("world_size",
                     absl::StrCat(absl::GetFlag(FLAGS_world_size)),
                     "this program uses one device");
  }
  return absl::OkStatus();
}

absl::Status ReadLayers(ImageNetOptions& o) {
  o.binarize = absl::GetFlag(FLAGS_binarize);
  o.all_binary = absl::GetFlag(FLAGS_all_binary);
  o.reverse = absl::GetFlag(FLAGS_reverse_layer_binarization);
  o.layers_json = absl::GetFlag(FLAGS_layers_json);
  ALTPROP_ASSIGN_OR_RETURN(
      o.epochs_per_layer,
      AtLeast("epochs_per_layer", absl::GetFlag(FLAGS_epochs_per_layer), 1));
  return absl::OkStatus();
}

std::string Shortest(double value) {
  std::array<char, 32> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return std::string(text.data(), end);
}

// Whether the checkpoint's flag, where it has it, is that of the command line.
absl::Status CheckFixed(const cli::ParsedArguments& arguments,
                        const training::Start& start, bool binary) {
  for (const auto& [flag, value] : ImageNetResultFlags(binary)) {
    if (!absl::c_linear_search(kFixed, flag) || !arguments.Given(flag)) {
      continue;
    }
    const auto saved = start.checkpoint.Find("flags")->GetString(flag);
    if (saved.ok() && *saved != value) {
      return FlagError(flag, value,
                       absl::StrCat("expected ", *saved,
                                    ", with which the "
                                    "run in ",
                                    start.file, " began"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

cli::Program ImageNetProgram(bool binary) {
  cli::Program program;
  program.name = binary ? "//iterbin:main_imagenet_binary"
                        : "//iterbin:main_imagenet_float";
  program.summary = binary ? "ResNet-21 on ImageNet, its layers binarized one "
                             "after the other (Lan 2021)."
                           : "ResNet-21 on ImageNet, real-valued (Lan 2021).";
  if (binary) {
    program.groups.push_back(
        {"Layers",
         {"binarize", "layers_json", "reverse_layer_binarization", "all_binary",
          "epochs_per_layer"}});
  }
  program.groups.push_back(
      {"Learning",
       {"epochs", "start_epoch", "batch_size", "lr", "momentum", "weight_decay",
        "lr_milestones", "semantics"}});
  program.groups.push_back({"Evaluation and files",
                            {"evaluate", "print_freq", "save_checkpoint",
                             "checkpoint_interval", "dry_run"}});
  program.groups.push_back({"Distributed (one device only)",
                            {"world_size", "rank", "dist_url", "dist_backend",
                             "multiprocessing_distributed"}});
  cli::FlagGroup data = training::DataFlagGroup();
  // There is nothing to fetch.
  std::erase(data.flags, "download");
  data.flags.insert(data.flags.begin(),
                    {"dataset", "image_size", "workers", "skip_corrupt"});
  program.groups.push_back(std::move(data));
  program.groups.push_back(training::RunFlagGroup());
  program.aliases = {{"learning_rate", "lr"}, {"wd", "weight_decay"},
                     {"gpu", "device"},       {"j", "workers"},
                     {"b", "batch_size"},     {"p", "print_freq"},
                     {"e", "evaluate"}};
  program.positionals = 2;
  program.positional_usage = "DATA LOGDIR";
  return program;
}

absl::StatusOr<ImageNetOptions> ReadImageNetOptions(
    const cli::ParsedArguments& arguments, const training::Start& start,
    bool binary) {
  const bool ours =
      start.resumes() && start.checkpoint.Find("flags") != nullptr;
  if (ours) {
    ALTPROP_RETURN_IF_ERROR(training::RestoreFlags(start, arguments));
    ALTPROP_RETURN_IF_ERROR(CheckFixed(arguments, start, binary));
  }
  SetDefaultSemantics(Semantics::kCorrected);
  ImageNetOptions o;
  ALTPROP_ASSIGN_OR_RETURN(o.run, training::RunOptionsFromFlags());
  ALTPROP_ASSIGN_OR_RETURN(o.semantics, SemanticsFromFlag());
  ALTPROP_RETURN_IF_ERROR(ReadLearning(o));
  ALTPROP_RETURN_IF_ERROR(ReadData(arguments, o));
  if (binary) ALTPROP_RETURN_IF_ERROR(ReadLayers(o));
  return o;
}

std::string ExperimentName(const ImageNetOptions& o) {
  std::string name =
      absl::StrCat("lr", Shortest(o.learning_rate), "-ep", o.epochs);
  if (o.binarize && o.all_binary) {
    absl::StrAppend(&name, "-all_binary");
  } else if (o.binarize) {
    absl::StrAppend(&name, "-epl", o.epochs_per_layer, "-",
                    o.layers_json.substr(o.layers_json.rfind('/') + 1));
  }
  if (o.binarize && o.reverse) absl::StrAppend(&name, "-reversed_layer");
  if (o.dry_run) absl::StrAppend(&name, "-dryrun");
  return name;
}

std::vector<std::pair<std::string, std::string>> ImageNetResultFlags(
    bool binary) {
  auto values = training::ResultFlags(ImageNetProgram(binary));
  std::erase_if(values, [](const auto& flag) {
    return absl::c_linear_search(kPlaces, flag.first);
  });
  return values;
}

}  // namespace altprop::iterbin
