#include "common/training/options.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "common/cli/parse.h"
#include "common/cli/path.h"
#include "common/status.h"
#include "common/training/device.h"
#include "common/training/memory.h"
#include "common/training/threads.h"

ABSL_FLAG(std::string, run_dir, "",
          "folder of the run; none: runs/METHOD/NAME/TIME");
ABSL_FLAG(std::string, resume, "",
          "checkpoint to continue, or the folder of its run");
ABSL_FLAG(std::string, init_from, "",
          "file with the initial parameters: a dictionary with \"model\"");
ABSL_FLAG(std::string, export, "",
          "write the final weights to this .safetensors file");
ABSL_FLAG(std::string, device, "auto",
          "auto, cpu, cuda, cuda:N, or N (CUDA device N, else the CPU)");
ABSL_FLAG(int, threads, 0, "CPU threads; 0: one per core");
ABSL_FLAG(std::string, precision, "fp32",
          "fp64, fp32, tf32 (products in TF32) or bf16 (products in bfloat16)");
ABSL_FLAG(uint64_t, seed, 0,
          "of the initial weights, the order of samples and augmentation");
ABSL_FLAG(int64_t, log_every, 0,
          "metrics every so many steps too; 0: each epoch [steps]");
ABSL_FLAG(int64_t, checkpoint_every, 0,
          "checkpoint every so many steps too; 0: each epoch [steps]");
ABSL_FLAG(int64_t, max_steps, 0, "stop after so many; 0: no limit [steps]");
ABSL_FLAG(std::optional<double>, paper_accuracy, std::nullopt,
          "test accuracy to compare with in the report, a fraction");
ABSL_FLAG(std::string, paper_source, "", "where --paper_accuracy comes from");
ABSL_FLAG(bool, check_flags, false, "read and validate the flags, then exit");

ABSL_FLAG(std::string, data_root, "data",
          "folder with the data set's files, or one above it");
ABSL_FLAG(bool, download, false, "fetch the data set where it is missing");
ABSL_FLAG(bool, shuffle, true, "a new order of samples in each epoch");
ABSL_FLAG(bool, augment, true, "augmentation, where the method asks for some");
ABSL_FLAG(int64_t, limit_train, 0,
          "use only the first training samples; 0: all [samples]");
ABSL_FLAG(int64_t, limit_test, 0,
          "use only the first test samples; 0: all [samples]");

namespace altprop::training {
namespace {

// Flags that say where, how often and how far, or only whether a file is there.
// The initial weights are in the checkpoint, and a run may go on on another
// device; threads and precision do change a result's bytes.
constexpr absl::string_view kNotOfTheResult[] = {
    "run_dir",      "resume",    "init_from",        "export",
    "device",       "log_every", "max_steps",        "check_flags",
    "data_root",    "download",  "checkpoint_every", "paper_accuracy",
    "paper_source",
};

absl::StatusOr<int64_t> NotNegative(absl::string_view flag, int64_t value) {
  if (value >= 0) return value;
  return FlagError(flag, absl::StrCat(value), "must be at least 0");
}

absl::Status ReadCounts(RunOptions& o) {
  ALTPROP_ASSIGN_OR_RETURN(
      o.log_every, NotNegative("log_every", absl::GetFlag(FLAGS_log_every)));
  ALTPROP_ASSIGN_OR_RETURN(
      o.checkpoint_every,
      NotNegative("checkpoint_every", absl::GetFlag(FLAGS_checkpoint_every)));
  ALTPROP_ASSIGN_OR_RETURN(
      o.max_steps, NotNegative("max_steps", absl::GetFlag(FLAGS_max_steps)));
  ALTPROP_ASSIGN_OR_RETURN(
      o.limit_train,
      NotNegative("limit_train", absl::GetFlag(FLAGS_limit_train)));
  ALTPROP_ASSIGN_OR_RETURN(
      o.limit_test, NotNegative("limit_test", absl::GetFlag(FLAGS_limit_test)));
  return absl::OkStatus();
}

// --resume, with a folder standing for the last state in it.
std::string CheckpointPath(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return path;
  return (std::filesystem::path(path) / "checkpoint.pt").string();
}

absl::Status ReadPaths(RunOptions& o) {
  o.run_dir = absl::GetFlag(FLAGS_run_dir);
  o.resume = CheckpointPath(cli::ResolvePath(absl::GetFlag(FLAGS_resume)));
  o.init_from = cli::ResolvePath(absl::GetFlag(FLAGS_init_from));
  o.export_to = cli::ResolvePath(absl::GetFlag(FLAGS_export));
  o.data_root = cli::ResolvePath(absl::GetFlag(FLAGS_data_root));
  if (!o.resume.empty() && !o.init_from.empty()) {
    return FlagError("init_from", absl::GetFlag(FLAGS_init_from),
                     "not together with --resume, which has the parameters");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunOptions> RunOptionsFromFlags() {
  RunOptions o;
  ALTPROP_RETURN_IF_ERROR(ReadPaths(o));
  ALTPROP_RETURN_IF_ERROR(ReadCounts(o));
  ALTPROP_ASSIGN_OR_RETURN(o.device, ParseDevice(absl::GetFlag(FLAGS_device)));
  ALTPROP_ASSIGN_OR_RETURN(o.precision,
                           ParsePrecision(absl::GetFlag(FLAGS_precision)));
  o.threads = absl::GetFlag(FLAGS_threads);
  ALTPROP_RETURN_IF_ERROR(CheckThreads(o.threads));
  o.seed = absl::GetFlag(FLAGS_seed);
  if (const auto paper = absl::GetFlag(FLAGS_paper_accuracy)) {
    if (!(*paper >= 0 && *paper <= 1)) {
      return FlagError("paper_accuracy", absl::StrCat(*paper),
                       "must be a fraction, from 0 to 1");
    }
    o.paper_values.push_back(
        {"test", "accuracy", *paper, absl::GetFlag(FLAGS_paper_source)});
  }
  o.check_flags = absl::GetFlag(FLAGS_check_flags);
  o.download = absl::GetFlag(FLAGS_download);
  o.shuffle = absl::GetFlag(FLAGS_shuffle);
  o.augment = absl::GetFlag(FLAGS_augment);
  return o;
}

void ApplyRunOptions(const RunOptions& options) {
  KeepFreedMemory();
  ApplyThreads(options.threads);
  ApplyPrecision(options.precision);
}

cli::FlagGroup RunFlagGroup() {
  return {"Run",
          {"run_dir", "resume", "init_from", "export", "device", "threads",
           "precision", "seed", "log_every", "checkpoint_every", "max_steps",
           "paper_accuracy", "paper_source", "check_flags"}};
}

cli::FlagGroup DataFlagGroup() {
  return {"Data",
          {"data_root", "download", "shuffle", "augment", "limit_train",
           "limit_test"}};
}

std::vector<std::pair<std::string, std::string>> ResultFlags(
    const cli::Program& program) {
  auto flags = cli::FlagValues(program);
  const auto dropped = [](const std::pair<std::string, std::string>& flag) {
    return std::find(std::begin(kNotOfTheResult), std::end(kNotOfTheResult),
                     flag.first) != std::end(kNotOfTheResult);
  };
  flags.erase(std::remove_if(flags.begin(), flags.end(), dropped), flags.end());
  return flags;
}

}  // namespace altprop::training
