#ifndef COMMON_TRAINING_OPTIONS_H_
#define COMMON_TRAINING_OPTIONS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "c10/core/Device.h"
#include "common/cli/program.h"
#include "common/training/precision.h"
#include "common/training/report.h"

namespace altprop::training {

// The flags every training program has, read and validated.
struct RunOptions {
  std::string run_dir;    // as typed; RunDirectory makes the default
  std::string resume;     // absolute; a folder becomes its checkpoint.pt
  std::string init_from;  // absolute
  std::string export_to;  // absolute; --export
  c10::Device device = c10::Device(c10::kCPU);
  int threads = 0;  // 0 = all cores
  Precision precision = Precision::kFp32;
  uint64_t seed = 0;
  int64_t log_every = 0;                 // steps; 0 = each epoch
  int64_t checkpoint_every = 0;          // steps; 0 = each epoch
  int64_t max_steps = 0;                 // 0 = no limit
  std::vector<PaperValue> paper_values;  // for the report
  bool check_flags = false;

  std::string data_root;  // absolute
  bool download = false;
  bool shuffle = true;
  bool augment = true;
  int64_t limit_train = 0, limit_test = 0;  // samples; 0 = all
};

// Errors are one-line UsageErrors: "--threads=-5: must be at least 0".
absl::StatusOr<RunOptions> RunOptionsFromFlags();

// --threads and --precision, made true for the process, and memory.h.
void ApplyRunOptions(const RunOptions& options);

// These flags, as --help groups them.
cli::FlagGroup RunFlagGroup();
cli::FlagGroup DataFlagGroup();

// The program's flags (cli::FlagValues) without those that cannot change a
// result: where it is written, how often, how far this execution goes. For the
// checkpoint, whose bytes then do not depend on them.
std::vector<std::pair<std::string, std::string>> ResultFlags(
    const cli::Program& program);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_OPTIONS_H_
