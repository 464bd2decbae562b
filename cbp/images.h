// What a run sees of its data: batches of bytes, in memory or decoded from a
// folder, and how they become the network's input.

#ifndef CBP_IMAGES_H_
#define CBP_IMAGES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "cbp/flags.h"
#include "common/data/image_stream.h"
#include "common/data/loader.h"

namespace altprop::cbp {

// One split. Batches come to the run's device.
class Source {
 public:
  Source(data::ImageSet set, const data::BatchOptions& options);
  Source(data::ImageList list, const data::ImageStreamOptions& options);

  int64_t batches() const;
  int64_t size() const;
  absl::StatusOr<data::Batch> Get(int64_t epoch, int64_t index);

 private:
  std::unique_ptr<data::BatchLoader> loader_;
  std::unique_ptr<data::ImageStream> stream_;
};

struct Images {
  int64_t classes = 0, channels = 0, side = 0;
  std::unique_ptr<Source> train;  // full batches only; the rest of an epoch is
                                  // left out
  std::unique_ptr<Source> test;   // every image once
};

// `train` false: leaves that split out. Errors name the flag, folder or file.
absl::StatusOr<Images> LoadImages(const Options& options, bool train);

// [B, C, H, W] of the run's type: bytes / 255, normalised with the data set's
// mean and deviation.
at::Tensor EvaluationInput(const Options& options, const at::Tensor& images);

// The same for a training batch of the epoch; CIFAR after a flip and a crop of
// the image padded by 4 black pixels, draws that are a function of the seed,
// the epoch and the sample.
at::Tensor TrainingInput(const Options& options, const data::Batch& batch);

}  // namespace altprop::cbp

#endif  // CBP_IMAGES_H_
