// Splits of the data sets, and what the authors' loaders make of them: which
// samples come when, and how they are changed, as in their program's runs of
// the same seed.

#ifndef ITERBIN_DATA_H_
#define ITERBIN_DATA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "c10/core/ScalarType.h"
#include "common/data/image_set.h"
#include "common/reference_random.h"
#include "iterbin/flags.h"

namespace altprop::iterbin {

struct Splits {
  data::ImageSet train, validation, test;

  // "train", "val" or "test".
  const data::ImageSet& Named(const std::string& split) const;
};

// cifar10: the images of the split file, in its order. mnist: the last 5,000
// training images are the validation split (of a file with no more than that,
// and of glyphs, the last twelfth). On the run's device; after --limit_train
// and --limit_test, which cuts the validation split too.
absl::StatusOr<Splits> LoadSplits(const Options& options);

// Indices into the training images, in the order in which they are used.
struct SplitFile {
  std::vector<int64_t> train, validation;
};

// Reads {"train": [...], "validation": [...]}, which name each of `images`
// images once. Errors begin with `file`, and name the list and the entry.
absl::StatusOr<SplitFile> ParseSplit(const std::string& text,
                                     const std::string& file, int64_t images);

// Whether the authors' loader of a split shuffles it.
bool Shuffles(const Options& options, const std::string& split);

int64_t BatchSizeOf(const Options& options, const std::string& split);

// A pass over a split: its random numbers, and the samples' order.
struct Pass {
  at::Tensor order;    // int64 [N], on the images' device
  at::Tensor augment;  // int32 [N, 3] by position; undefined: as they are
};

// Pass `number` (0: training, 1: the evaluation, 2: the training split again)
// of a 0-based epoch. number -1, epoch 0: the test set before any training,
// with
// --load_last.
Pass MakePass(const Options& options, const Splits& splits,
              const std::string& split, int64_t epoch, int64_t number);

struct Minibatch {
  at::Tensor x;       // normalised, [B, C, H, W]
  at::Tensor labels;  // int64 [B]
};

int64_t Batches(const data::ImageSet& set, int64_t batch_size);

// Batch `index` of a pass over `set`; the last one may be smaller.
Minibatch GetBatch(const Options& options, const data::ImageSet& set,
                   const Pass& pass, int64_t batch_size, int64_t index);

// The normalised images of a data set of that name, of type `dtype`. `augment`:
// rows of AugmentRows, or undefined.
at::Tensor Input(const std::string& dataset, const at::Tensor& images,
                 const at::Tensor& augment, c10::ScalarType dtype);

}  // namespace altprop::iterbin

#endif  // ITERBIN_DATA_H_
