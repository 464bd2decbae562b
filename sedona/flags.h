// The command lines of the SEDONA programs: names, defaults and meanings of the
// authors' program where it has the flag. `Options` is what everything below
// flags.cc sees.
#ifndef SEDONA_FLAGS_H_
#define SEDONA_FLAGS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/training/options.h"
#include "sedona/memory.h"
#include "sedona/meta.h"
#include "sedona/network.h"

namespace altprop::sedona {

// Which of the programs: what the authors call init_memory, search, evaluate.
enum class Task { kPretrain, kSearch, kEvaluate, kDecode };

enum class OptimizerKind { kMomentum, kSgd, kAdam };
enum class ScheduleKind { kCosine, kMultiStep };
enum class Pipeline { kSequential, kThreads };

struct Options {
  Task task = Task::kEvaluate;
  std::string name;  // --name; the part before the first '-' is the network
  Architecture architecture;  // but for input size and classes: from the data
  double dropout = 0.5;
  // Data.
  std::string dataset;  // lower case, '_' for '-'
  int64_t image_size = 0;
  double valid_size = 0.1;
  int64_t classes_per_batch = 0, classes_per_batch_until = 0;
  bool few_classes_always = true;  // pretraining and search do not switch
  int64_t workers = 8;
  int64_t skip_corrupt = 0;
  int64_t batch_size = 128, valid_batch_size = 1024;
  // Learning.
  int64_t train_iters = 64000;
  double lr = 0.1, lr_min = 1e-3;
  ScheduleKind schedule = ScheduleKind::kCosine;
  std::vector<int64_t> milestones;
  OptimizerKind optimizer = OptimizerKind::kMomentum;
  double momentum = 0.9, weight_decay = 1e-4, smoothing = 0.1;
  AuxKind baseline = AuxKind::kMlpSr;
  bool no_beta = false;
  // Greedy training.
  std::string base_dir;  // --eval_base_dir as the user means it; "": none
  int64_t blocks = 1;    // K; 0: every K
  int64_t valid_freq = 100, ensemble = 1, queue_size = 50;
  bool relaxed = false;  // --eval_continuous
  bool test_only = false, fp16 = false;
  Pipeline pipeline = Pipeline::kSequential;
  std::string ckpt_dir, result_dir;
  // Pretraining and search.
  int64_t memory_size = 50, meta_iters = 2000, inner_steps = 5;
  int64_t monitor_freq = 10, state_every = 0;
  double meta_lr = 1e-2, meta_decay = 1e-6;
  OptimizerKind meta_optimizer = OptimizerKind::kAdam;
  bool use_memory = true;
  MetaObjective objective = MetaObjective::kValid;
  Eviction eviction = Eviction::kOldest;
  std::string out_dir, mem_dir;

  training::RunOptions run;

  at::ScalarType dtype() const { return training::DtypeOf(run.precision); }
};

// The program's flags, grouped for --help, with the authors' other spellings.
cli::Program SedonaProgram(Task task);

// Defaults that differ from those of the other methods: --seed=2021.
absl::Status ApplyDefaults(const cli::ParsedArguments& arguments, Task task);

// Reads and validates the flags. The error names the flag, its value and what
// was expected; it is a usage error (exit code 2).
absl::StatusOr<Options> OptionsFromFlags(Task task);

// A usage error for --fp16 on a device without it. Apart from the above, so
// that flags can be checked where the device is not.
absl::Status CheckHalfPrecision(const Options& options);

// The flags that decide the result of a run, as a checkpoint keeps them.
std::vector<std::pair<std::string, std::string>> ResultFlags(Task task);

}  // namespace altprop::sedona

#endif  // SEDONA_FLAGS_H_
