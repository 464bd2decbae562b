// Batches of an ImageSet, and the random draws that augment them.
//
// Nothing here has a state that matters: which samples form a batch is a
// function of (seed, epoch, index) and how a sample is augmented one of (seed,
// epoch, sample), so a run resumes anywhere, and any number of workers or ranks
// sees the same samples. A position is the pair (epoch, index).
#ifndef COMMON_DATA_LOADER_H_
#define COMMON_DATA_LOADER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "common/data/image_set.h"

namespace altprop::data {

// B samples. B is the batch size, or less at the end of an epoch.
struct Batch {
  at::Tensor images;      // uint8 [B, C, H, W]
  at::Tensor labels;      // int64 [B]
  at::Tensor sample_ids;  // int64 [B]: positions in the ImageSet
  int64_t epoch = 0;      // from 0
  int64_t index = 0;      // batch number within the epoch, from 0
};

struct BatchOptions {
  int64_t batch_size = 1;
  bool shuffle = true;     // false: file order, and batches are views
  uint64_t seed = 0;       // of the shuffling
  bool drop_last = false;  // leave out a last batch with fewer samples
};

class BatchLoader {
 public:
  using Options = BatchOptions;

  // Shares the set's tensors. CHECKs that batch_size is at least 1.
  BatchLoader(ImageSet set, Options options);

  int64_t batches_per_epoch() const;
  int64_t samples_per_epoch() const;
  int64_t size() const { return set_.size(); }
  const ImageSet& set() const { return set_; }

  // CHECKs 0 <= epoch < 2^32 and 0 <= index < batches_per_epoch(). One epoch's
  // order is kept between calls: fast in sequence, and not for two threads.
  Batch Get(int64_t epoch, int64_t index);

 private:
  const at::Tensor& Order(int64_t epoch);

  ImageSet set_;
  Options options_;
  at::Tensor order_;  // int64 [N], of epoch order_epoch_
  int64_t order_epoch_ = -1;
};

// A uniformly random order of 0 .. size - 1 (Fisher-Yates), int64 [size].
at::Tensor Permutation(uint64_t seed, int64_t epoch, int64_t size);

// What kernels::Augment takes: int32 [B, 3], for each sample of `sample_ids`
// (int64 [B], on the CPU) top and left, uniform on 0 .. 2 pad, and flip, 0 or 1
// with probability 1/2. With `flips` false the third column is 0.
at::Tensor AugmentationDraws(uint64_t seed, int64_t epoch,
                             const at::Tensor& sample_ids, int64_t pad,
                             bool flips = true);

}  // namespace altprop::data

#endif  // COMMON_DATA_LOADER_H_
