// The batches of a run: training, validation and test, from memory or from a
// folder of images.
#ifndef SEDONA_INPUT_H_
#define SEDONA_INPUT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "common/data/image_folder.h"
#include "common/data/image_set.h"
#include "common/data/image_stream.h"
#include "sedona/flags.h"
#include "sedona/minibatch.h"
#include "sedona/numpy_random.h"

namespace altprop::sedona {

// How a feed hands out its samples.
struct FeedOptions {
  int64_t batch_size = 1;
  bool shuffle = false;
  bool augment = false;
  uint64_t seed = 0;
  // Batches of few classes (numpy_random.h) in the passes that begin no later
  // than iteration `few_until`; 0: never, `few_always`: in every pass. `random`
  // shuffles these passes.
  int64_t classes_per_batch = 0, few_until = 0;
  bool few_always = false;
  NumpyRandom random = NumpyRandom(0);
};

// What the bytes of a data set become.
struct Picture {
  int64_t size = 32;
  std::vector<double> mean, std;
  int64_t pad = 2;  // of the random crop, black; in-memory sets
  data::ImageTransform train, eval;  // of a folder
};

// Which samples form a batch is a function of (pass, index), and so is their
// augmentation: a run resumes anywhere.
class Feed {
 public:
  Feed(data::ImageSet set, Picture picture, FeedOptions options,
       at::ScalarType dtype, at::Device device);
  Feed(data::ImageList list, Picture picture, FeedOptions options,
       at::ScalarType dtype, at::Device device, int64_t workers,
       int64_t skip_corrupt);

  int64_t size() const;
  int64_t batches() const;

  // CHECKs 0 <= index < batches(). Errors: an image of a folder.
  absl::StatusOr<Minibatch> Get(int64_t pass, int64_t index);

 private:
  bool FewClasses(int64_t pass) const;
  std::vector<int64_t> Labels() const;
  // The samples' order in a pass.
  const std::vector<int64_t>& Order(int64_t pass);
  absl::StatusOr<data::Batch> Stored(int64_t pass, int64_t index);
  absl::StatusOr<data::Batch> Streamed(int64_t pass, int64_t index);

  data::ImageSet set_;
  data::ImageList list_;
  bool stored_;
  Picture picture_;
  FeedOptions options_;
  at::ScalarType dtype_;
  at::Device device_;
  int64_t workers_ = 0, skip_corrupt_ = 0;
  std::vector<int64_t> order_;
  int64_t order_pass_ = -1;
  std::unique_ptr<data::ImageStream> stream_;  // of stream_pass_
  int64_t stream_pass_ = -1;
};

struct Inputs {
  int64_t classes = 0, size = 0;  // of labels; side of the images
  std::unique_ptr<Feed> train;
  std::unique_ptr<Feed> valid;           // in fixed order
  std::unique_ptr<Feed> valid_shuffled;  // a search's outer loss
  std::unique_ptr<Feed> test;
  NumpyRandom random = NumpyRandom(0);  // after the split
};

// Reads the data and splits it. Errors name the file or the flag: a data set
// that is missing or damaged, a validation set without a sample.
absl::StatusOr<Inputs> LoadInputs(const Options& options);

}  // namespace altprop::sedona

#endif  // SEDONA_INPUT_H_
