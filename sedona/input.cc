#include "sedona/input.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "ATen/ops/constant_pad_nd.h"
#include "ATen/ops/index_select.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/str_cat.h"
#include "common/data/dataset.h"
#include "common/data/loader.h"
#include "common/kernels/augment.h"
#include "common/logging.h"
#include "common/random.h"
#include "common/status.h"

namespace altprop::sedona {
namespace {

constexpr uint64_t kValidStream = RandomStream("sedona validation");
constexpr uint64_t kPassStream = RandomStream("sedona pass");

Picture PictureOf(const Options& o) {
  Picture picture;
  if (o.dataset == "cifar10" || o.dataset == "cifar100") {
    picture.mean = {0.4914, 0.4822, 0.4465};
    picture.std = {0.2470, 0.2435, 0.2616};
  } else if (o.dataset == "tiny_imagenet") {
    picture.size = 64;
    picture.mean = {0.4802, 0.4481, 0.3975};
    picture.std = {0.2302, 0.2265, 0.2262};
    picture.train = data::RandomCropTransform(64, /*pad=*/4, /*rotation=*/20);
    picture.eval = data::CenterCropTransform(64);
  } else if (o.dataset == "imagenet" || o.dataset == "folder") {
    picture.size = o.dataset == "imagenet" ? 224 : o.image_size;
    picture.mean = {0.485, 0.456, 0.406};
    picture.std = {0.229, 0.224, 0.225};
    picture.train = data::TrainTransform(picture.size);
    picture.eval =
        data::EvalTransform(picture.size, picture.size + picture.size / 7);
  } else {
    picture.mean = picture.std = {0.5, 0.5, 0.5};
  }
  return picture;
}

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// The authors' programs keep each data set in a folder of its name below the
// root, theirs with '-' for '_'.
std::string RootOf(const Options& o) {
  for (const std::string& name : {o.dataset, std::string("tiny-imagenet")}) {
    if (name == "tiny-imagenet" && o.dataset != "tiny_imagenet") continue;
    const std::string below = absl::StrCat(o.run.data_root, "/", name);
    if (IsFolder(below)) return below;
  }
  return o.run.data_root;
}

// Digits of 28x28 grey pixels in 32x32 of three channels.
data::ImageSet AsPictures(data::ImageSet set) {
  if (set.images.size(1) == 3) return set;
  set.images = at::constant_pad_nd(set.images, {2, 2, 2, 2})
                   .expand({-1, 3, -1, -1})
                   .contiguous();
  return set;
}

data::ImageSet Select(const data::ImageSet& set,
                      const std::vector<int64_t>& ids) {
  const at::Tensor rows = at::tensor(ids, at::kLong);
  data::ImageSet selected;
  selected.images = set.images.index_select(0, rows);
  selected.labels = set.labels.index_select(0, rows);
  selected.classes = set.classes;
  return selected;
}

FeedOptions TrainingOptions(const Options& o, const NumpyRandom& random) {
  FeedOptions feed;
  feed.batch_size = o.batch_size;
  feed.shuffle = o.run.shuffle;
  feed.augment = o.run.augment;
  feed.seed = o.run.seed;
  feed.classes_per_batch = o.classes_per_batch;
  feed.few_until = o.classes_per_batch_until;
  feed.few_always = o.few_classes_always;
  feed.random = random;
  return feed;
}

FeedOptions ScoringOptions(const Options& o, bool shuffle) {
  FeedOptions feed;
  feed.batch_size = o.valid_batch_size;
  feed.shuffle = shuffle && o.run.shuffle;
  feed.seed = MixSeed(o.run.seed, kValidStream);
  return feed;
}

absl::Status NoSamples(const Options& o, absl::string_view which,
                       int64_t training) {
  return FlagError("valid_size", absl::StrCat(o.valid_size),
                   absl::StrCat("leaves none of the ", training,
                                " training samples for ", which));
}

absl::StatusOr<Inputs> LoadStored(const Options& o) {
  data::DatasetOptions which;
  which.name = o.dataset;
  which.root = RootOf(o);
  which.download = o.run.download;
  which.limit_train = o.run.limit_train;
  which.limit_test = o.run.limit_test;
  ALTPROP_ASSIGN_OR_RETURN(data::Dataset data, data::LoadDataset(which));
  data.train = AsPictures(std::move(data.train));
  data.test = AsPictures(std::move(data.test));

  Inputs inputs;
  inputs.classes = data.train.classes;
  inputs.random = NumpyRandom(o.run.seed);
  const int64_t samples = data.train.size();
  const Split split = SplitTrainingSet(samples, o.valid_size, inputs.random);
  if (split.train.empty()) return NoSamples(o, "training", samples);
  if (split.valid.empty()) return NoSamples(o, "validation", samples);
  const data::ImageSet valid = Select(data.train, split.valid);

  const Picture picture = PictureOf(o);
  inputs.size = picture.size;
  const auto feed = [&](const data::ImageSet& set, const FeedOptions& options) {
    return std::make_unique<Feed>(set, picture, options, o.dtype(),
                                  o.run.device);
  };
  inputs.train =
      feed(Select(data.train, split.train), TrainingOptions(o, inputs.random));
  inputs.valid = feed(valid, ScoringOptions(o, false));
  inputs.valid_shuffled = feed(valid, ScoringOptions(o, true));
  inputs.test = feed(data.test, ScoringOptions(o, false));
  return inputs;
}

absl::StatusOr<Inputs> LoadFolder(const Options& o) {
  data::ImageFolderOptions which;
  which.name = o.dataset;
  which.root = o.run.data_root;
  which.limit_train = o.run.limit_train;
  which.limit_val = o.run.limit_test;
  ALTPROP_ASSIGN_OR_RETURN(data::ImageFolder folder,
                           data::ReadImageFolder(which));
  data::ImageList test = folder.val;
  // Tiny-ImageNet's own test images carry no labels; whoever made a labelled
  // test folder has its name there.
  const std::string named = absl::StrCat(RootOf(o), "/test");
  if (o.dataset == "tiny_imagenet" && IsFolder(named)) {
    data::ImageFolderOptions again = which;
    again.val = "test";
    absl::StatusOr<data::ImageFolder> labelled = data::ReadImageFolder(again);
    if (labelled.ok()) test = labelled->val;
  }
  if (o.task == Task::kEvaluate) {
    LOG(WARNING) << "--dataset=" << o.dataset
                 << ": the best checkpoint is chosen on val/"
                 << (test.size() == folder.val.size() ? ", which is also the "
                                                        "test set"
                                                      : "");
  }

  Inputs inputs;
  inputs.classes = folder.train.classes();
  inputs.random = NumpyRandom(o.run.seed);
  const Picture picture = PictureOf(o);
  inputs.size = picture.size;
  const auto feed = [&](const data::ImageList& list,
                        const FeedOptions& options) {
    return std::make_unique<Feed>(list, picture, options, o.dtype(),
                                  o.run.device, o.workers, o.skip_corrupt);
  };
  inputs.train = feed(folder.train, TrainingOptions(o, inputs.random));
  inputs.valid = feed(folder.val, ScoringOptions(o, false));
  inputs.valid_shuffled = feed(folder.val, ScoringOptions(o, true));
  inputs.test = feed(test, ScoringOptions(o, false));
  return inputs;
}

}  // namespace

Feed::Feed(data::ImageSet set, Picture picture, FeedOptions options,
           at::ScalarType dtype, at::Device device)
    : set_(std::move(set)),
      stored_(true),
      picture_(std::move(picture)),
      options_(options),
      dtype_(dtype),
      device_(device) {}

Feed::Feed(data::ImageList list, Picture picture, FeedOptions options,
           at::ScalarType dtype, at::Device device, int64_t workers,
           int64_t skip_corrupt)
    : list_(std::move(list)),
      stored_(false),
      picture_(std::move(picture)),
      options_(options),
      dtype_(dtype),
      device_(device),
      workers_(workers),
      skip_corrupt_(skip_corrupt) {}

int64_t Feed::size() const { return stored_ ? set_.size() : list_.size(); }

int64_t Feed::batches() const {
  return (size() + options_.batch_size - 1) / options_.batch_size;
}

bool Feed::FewClasses(int64_t pass) const {
  if (options_.classes_per_batch == 0) return false;
  return options_.few_always || pass * batches() <= options_.few_until;
}

std::vector<int64_t> Feed::Labels() const {
  std::vector<int64_t> labels(static_cast<size_t>(size()));
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    labels[i] =
        stored_ ? set_.labels.const_data_ptr<int64_t>()[row] : list_.label(row);
  }
  return labels;
}

const std::vector<int64_t>& Feed::Order(int64_t pass) {
  if (order_pass_ == pass) return order_;
  order_pass_ = pass;
  order_.resize(static_cast<size_t>(size()));
  for (size_t i = 0; i < order_.size(); ++i) {
    order_[i] = static_cast<int64_t>(i);
  }
  if (FewClasses(pass)) {
    // The generator goes on from pass to pass, so the earlier ones are redrawn.
    NumpyRandom random = options_.random;
    for (int64_t p = 0; options_.shuffle && p <= pass; ++p) {
      order_ = random.Permutation(size());
    }
    order_ = FewClassesOrder(order_, Labels(), options_.classes_per_batch,
                             options_.batch_size);
  } else if (options_.shuffle) {
    const at::Tensor shuffled = data::Permutation(options_.seed, pass, size());
    order_.assign(shuffled.const_data_ptr<int64_t>(),
                  shuffled.const_data_ptr<int64_t>() + size());
  }
  return order_;
}

absl::StatusOr<data::Batch> Feed::Stored(int64_t pass, int64_t index) {
  const std::vector<int64_t>& order = Order(pass);
  const int64_t first = index * options_.batch_size;
  const int64_t last = std::min(first + options_.batch_size, size());
  data::Batch batch;
  batch.sample_ids = at::tensor(
      std::vector<int64_t>(order.begin() + first, order.begin() + last),
      at::kLong);
  batch.images = set_.images.index_select(0, batch.sample_ids);
  batch.labels = set_.labels.index_select(0, batch.sample_ids);
  return batch;
}

absl::StatusOr<data::Batch> Feed::Streamed(int64_t pass, int64_t index) {
  // An order of our own, in a stream of one pass.
  if (stream_pass_ != pass) {
    data::ImageStreamOptions options;
    options.batch_size = options_.batch_size;
    options.shuffle = false;
    options.seed =
        MixSeed(options_.seed, kPassStream + static_cast<uint64_t>(pass));
    options.transform = options_.augment ? picture_.train : picture_.eval;
    options.threads = workers_;
    options.pinned = device_.is_cuda();
    options.skip_corrupt = skip_corrupt_;
    const bool in_order = !options_.shuffle && !FewClasses(pass);
    stream_ = std::make_unique<data::ImageStream>(
        in_order ? list_ : list_.Select(Order(pass)), options);
    stream_pass_ = pass;
  }
  return stream_->Get(0, index);
}

absl::StatusOr<Minibatch> Feed::Get(int64_t pass, int64_t index) {
  CHECK_GE(index, 0);
  CHECK_LT(index, batches());
  ALTPROP_ASSIGN_OR_RETURN(
      const data::Batch batch,
      stored_ ? Stored(pass, index) : Streamed(pass, index));
  Minibatch minibatch;
  minibatch.labels = batch.labels.to(device_);
  const at::Tensor images = batch.images.to(device_);
  if (stored_ && options_.augment) {
    const at::Tensor draws = data::AugmentationDraws(
        options_.seed, pass, batch.sample_ids, picture_.pad);
    minibatch.x = kernels::Augment(images, draws.to(device_), picture_.pad,
                                   /*replicate_edge=*/false, picture_.mean,
                                   picture_.std, dtype_);
  } else {
    minibatch.x =
        kernels::Normalize(images, picture_.mean, picture_.std, dtype_);
  }
  return minibatch;
}

absl::StatusOr<Inputs> LoadInputs(const Options& options) {
  return data::IsImageFolder(options.dataset) ? LoadFolder(options)
                                              : LoadStored(options);
}

}  // namespace altprop::sedona
