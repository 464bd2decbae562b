// The ImageNet programs: ResNet-21, float or layer by layer binary.

#ifndef ITERBIN_IMAGENET_H_
#define ITERBIN_IMAGENET_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/training/options.h"
#include "common/training/start.h"
#include "iterbin/binarize.h"

namespace altprop::iterbin {

struct ImageNetOptions {
  // Model; without `binarize` the float one, and the rest has no effect.
  bool binarize = false, all_binary = false, reverse = false;
  std::string layers_json;                      // as typed
  int64_t epochs_per_layer = 0;                 // P
  Semantics semantics = Semantics::kCorrected;  // decides --evaluate only

  int64_t epochs = 0, start_epoch = 0;  // 0-based, start .. epochs - 1
  int64_t batch_size = 0;
  double learning_rate = 0, momentum = 0, weight_decay = 0;
  std::vector<int64_t> milestones;

  std::string dataset;  // imagenet, tiny_imagenet or folder
  int64_t image_size = 0, workers = 0, skip_corrupt = 0;
  std::string log_folder;  // parent of the default run directory
  int64_t print_freq = 0, checkpoint_interval = 0;
  bool evaluate = false, save_checkpoint = false, dry_run = false;
  training::RunOptions run;
};

// `binary`: main_imagenet_binary, which has the flags of the layers too.
cli::Program ImageNetProgram(bool binary);

// The flags and the positional arguments DATA and LOGDIR. With a checkpoint of
// ours its flags, but for those given.
absl::StatusOr<ImageNetOptions> ReadImageNetOptions(
    const cli::ParsedArguments& arguments, const training::Start& start,
    bool binary);

// "lr0.01-ep67-epl2-resnet21_layers_ascend.json": of the run directory.
std::string ExperimentName(const ImageNetOptions& options);

// The flags that decide a run's result, for its checkpoint.
std::vector<std::pair<std::string, std::string>> ImageNetResultFlags(
    bool binary);

// The program.
absl::Status ImageNetMain(const cli::ParsedArguments& arguments, bool binary);

}  // namespace altprop::iterbin

#endif  // ITERBIN_IMAGENET_H_
