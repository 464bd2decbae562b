// Batches of an ImageList, decoded ahead by threads of its own.
//
// As in loader.h nothing has a state that matters: batch (epoch, index) is a
// function of (seed, epoch, index), and the crop of a sample one of (seed,
// epoch, sample), whatever the number of threads and whatever was asked before.
// So a run resumes anywhere by asking for the batch it stopped at.
//
//   ImageStream train(folder->train, {.batch_size = 256, .seed = seed,
//                                     .transform = TrainTransform(224)});
//   for (int64_t i = 0; i < train.batches_per_epoch(); ++i) {
//     ALTPROP_ASSIGN_OR_RETURN(const Batch batch, train.Get(epoch, i));
//     ... kernels::Normalize(batch.images.to(device), mean, std, dtype) ...
#ifndef COMMON_DATA_IMAGE_STREAM_H_
#define COMMON_DATA_IMAGE_STREAM_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "common/data/image_folder.h"
#include "common/data/image_set.h"
#include "common/data/image_transform.h"
#include "common/data/loader.h"

namespace altprop::data {

struct ImageStreamOptions {
  int64_t batch_size = 1;
  bool shuffle = true;  // false: the list's order
  uint64_t seed = 0;    // of the order and of the crops
  // Another order than Permutation()'s: the list's positions as they come in
  // this epoch, int64 [size of the list], a function of the epoch alone.
  std::function<at::Tensor(int64_t epoch)> order;
  bool drop_last = false;  // leave out a last batch with fewer samples
  ImageTransform transform;
  int64_t threads = 0;  // that decode; 0: one per core
  int64_t ahead = 3;    // batches decoded before they are asked for, at most
  bool pinned = false;  // batches in page-locked memory (needs CUDA)
  // So many different files may fail to decode: each is told in a warning and
  // left out of its batch. One more ends the run.
  int64_t skip_corrupt = 0;
};

class ImageStream {
 public:
  using Options = ImageStreamOptions;

  // CHECKs that batch_size is at least 1, that threads and ahead are not
  // negative. Starts no thread before the first Get.
  ImageStream(ImageList list, Options options);
  ~ImageStream();
  ImageStream(const ImageStream&) = delete;
  ImageStream& operator=(const ImageStream&) = delete;

  int64_t batches_per_epoch() const;
  int64_t samples_per_epoch() const;
  int64_t size() const;
  const ImageList& list() const;

  // Images uint8 [B, 3, size, size], contiguous, and the caller's to keep.
  // Fastest when asked in sequence (the next epoch's first batches are decoded
  // too, where batches are shuffled); any other batch starts the queue anew.
  // CHECKs 0 <= epoch < 2^32 and 0 <= index < batches_per_epoch(). Errors, one
  // line with the file: unreadable; does not decode, beyond skip_corrupt; a
  // batch of which nothing is left. For one thread at a time.
  absl::StatusOr<Batch> Get(int64_t epoch, int64_t index);

  // Different files left out so far.
  int64_t skipped() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The whole list in memory, in its order: for sets that fit, and programs that
// want them whole. `options.shuffle`, `order` and `drop_last` are ignored;
// files left out (skip_corrupt) are missing.
absl::StatusOr<ImageSet> ReadImages(const ImageList& list,
                                    ImageStreamOptions options);

}  // namespace altprop::data

#endif  // COMMON_DATA_IMAGE_STREAM_H_
