// The data sets of the paper's experiments: their splits, their batches, and
// what becomes of a batch's bytes before the network.

#ifndef FTPROP_DATA_H_
#define FTPROP_DATA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/data/loader.h"

namespace altprop::ftprop {

struct DataSpec {
  std::string name;        // lower case
  int64_t channels, side;  // of the network's input
  int64_t classes;         // 0: as many as the folder has
  std::vector<double> mean, std;
  double validation_share;  // of the training set
  bool folder;              // images in folders, decoded on the way
  bool shuffled_split;      // with --shuffle; else validation is the tail
  int64_t pad;              // of the augmentation; -1: there is none
};

// mnist, glyphs, cifar10, cifar100, svhn, imagenet, tiny_imagenet, folder, any
// case; InvalidArgument with the names.
absl::StatusOr<DataSpec> FindDataSpec(absl::string_view name);

// How many of `size` samples train when `share` of them validate: size (1 -
// share), a half rounded to even.
int64_t TrainingPart(int64_t size, double share);

struct DataOptions {
  DataSpec spec;
  std::string root;
  bool download = false;
  bool validation = true;
  bool shuffle = true;
  bool augment = true;
  uint64_t seed = 0;
  int64_t batch = 64, test_batch = 64;
  int64_t limit_train = 0, limit_test = 0;  // before the split; 0: all
  int64_t first_training = 0;  // only so many of the training part; 0: all
  int64_t decode_threads = 0, skip_corrupt = 0;
};

// Batches of one part of a data set.
class Source {
 public:
  virtual ~Source() = default;
  virtual int64_t size() const = 0;
  virtual int64_t batches_per_epoch() const = 0;
  // A function of (seed, epoch, index), as data::BatchLoader and ImageStream.
  virtual absl::StatusOr<data::Batch> Get(int64_t epoch, int64_t index) = 0;
};

struct Sources {
  std::unique_ptr<Source> train;
  std::unique_ptr<Source> train_in_order;  // the same, without augmentation
  std::unique_ptr<Source> validation;      // none where not asked for
  std::unique_ptr<Source> test;
  int64_t classes = 0;
};

// Errors name the folder or file, or the flag.
absl::StatusOr<Sources> OpenData(const DataOptions& options);

// A batch's bytes as the network takes them, [B, channels, side, side]:
// resized (SVHN, 32 to 40), augmented where `training` (CIFAR: 4 black pixels
// on each side, a random crop, mirrored half the time), scaled and normalised.
at::Tensor NetworkInput(const DataOptions& options, const data::Batch& batch,
                        bool training, at::ScalarType dtype, at::Device device);

}  // namespace altprop::ftprop

#endif  // FTPROP_DATA_H_
