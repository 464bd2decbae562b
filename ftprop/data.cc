#include "ftprop/data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>  // NOLINT(build/c++17)
#include <system_error>
#include <utility>

#include "ATen/ops/cat.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/data/dataset.h"
#include "common/data/image_folder.h"
#include "common/data/image_stream.h"
#include "common/data/image_transform.h"
#include "common/data/svhn.h"
#include "common/kernels/augment.h"
#include "common/random.h"
#include "common/status.h"

namespace altprop::ftprop {
namespace {

constexpr int64_t kPad = 4, kNoAugmentation = -1;
constexpr int64_t kSvhnSide = 40;
constexpr int64_t kImageSide = 224, kStoredSide = 256;
constexpr uint64_t kSplitStream = RandomStream("validation split");

const std::vector<DataSpec>& Specs() {
  static const auto* const specs = [] {
    const std::vector<double> digits = {0.1307}, digits_std = {0.3081};
    const std::vector<double> imagenet = {0.485, 0.456, 0.406};
    const std::vector<double> imagenet_std = {0.229, 0.224, 0.225};
    return new std::vector<DataSpec>{
        {"mnist", 1, 28, 10, digits, digits_std, 1.0 / 6, false, false,
         kNoAugmentation},
        {"glyphs", 1, 28, 10, digits, digits_std, 1.0 / 6, false, false,
         kNoAugmentation},
        {"cifar10",
         3,
         32,
         10,
         {0.49139968, 0.48215841, 0.44653091},
         {0.24703223, 0.24348513, 0.26158784},
         0.2,
         false,
         false,
         kPad},
        {"cifar100",
         3,
         32,
         100,
         {129.30416561 / 255, 124.0699627 / 255, 112.43405006 / 255},
         {68.1702429 / 255, 65.39180804 / 255, 70.41837019 / 255},
         0.2,
         false,
         false,
         kPad},
        {"svhn",
         3,
         kSvhnSide,
         10,
         {0.4309, 0.4302, 0.4463},
         {0.1965, 0.1983, 0.1994},
         0.1,
         false,
         true,
         kNoAugmentation},
        {"imagenet", 3, kImageSide, 0, imagenet, imagenet_std, 0.1, true, true,
         kNoAugmentation},
        {"tiny_imagenet", 3, kImageSide, 0, imagenet, imagenet_std, 0.1, true,
         true, kNoAugmentation},
        {"folder", 3, kImageSide, 0, imagenet, imagenet_std, 0.1, true, true,
         kNoAugmentation},
    };
  }();
  return *specs;
}

class MemorySource : public Source {
 public:
  MemorySource(data::ImageSet set, data::BatchOptions options)
      : loader_(std::move(set), options) {}

  int64_t size() const override { return loader_.size(); }
  int64_t batches_per_epoch() const override {
    return loader_.batches_per_epoch();
  }
  absl::StatusOr<data::Batch> Get(int64_t epoch, int64_t index) override {
    return loader_.Get(epoch, index);
  }

 private:
  data::BatchLoader loader_;
};

class FolderSource : public Source {
 public:
  FolderSource(data::ImageList list, data::ImageStreamOptions options)
      : stream_(std::move(list), std::move(options)) {}

  int64_t size() const override { return stream_.size(); }
  int64_t batches_per_epoch() const override {
    return stream_.batches_per_epoch();
  }
  absl::StatusOr<data::Batch> Get(int64_t epoch, int64_t index) override {
    return stream_.Get(epoch, index);
  }

 private:
  data::ImageStream stream_;
};

// Which samples train and which validate: ranges of the file order, or of one
// random permutation of it.
struct Parts {
  at::Tensor order;  // undefined: file order
  int64_t train = 0, validation = 0;
};

Parts SplitParts(const DataOptions& o, int64_t size) {
  Parts parts;
  parts.train = size;
  if (o.validation) {
    parts.train = TrainingPart(size, o.spec.validation_share);
    parts.validation = size - parts.train;
    if (o.spec.shuffled_split && o.shuffle) {
      parts.order = data::Permutation(MixSeed(o.seed, kSplitStream), 0, size);
    }
  }
  if (o.first_training > 0) {
    parts.train = std::min(parts.train, o.first_training);
  }
  return parts;
}

absl::Status CheckParts(const DataOptions& o, const Parts& parts) {
  if (parts.train > 0 && (!o.validation || parts.validation > 0)) {
    return absl::OkStatus();
  }
  return UsageError(absl::StrCat("--ds=", o.spec.name, ": ", parts.train,
                                 " samples to train and ", parts.validation,
                                 " to validate; give more, or --no-val"));
}

data::ImageSet Range(const data::ImageSet& set, const at::Tensor& order,
                     int64_t first, int64_t count) {
  data::ImageSet part = set;
  if (order.defined()) {
    const at::Tensor ids = order.narrow(0, first, count);
    part.images = set.images.index_select(0, ids);
    part.labels = set.labels.index_select(0, ids);
  } else {
    part.images = set.images.narrow(0, first, count);
    part.labels = set.labels.narrow(0, first, count);
  }
  return part;
}

data::ImageList Range(const data::ImageList& list, const at::Tensor& order,
                      int64_t first, int64_t count) {
  std::vector<int64_t> positions;
  positions.reserve(count);
  for (int64_t i = first; i < first + count; ++i) {
    positions.push_back(order.defined() ? order.const_data_ptr<int64_t>()[i]
                                        : i);
  }
  return list.Select(positions);
}

// ROOT/NAME where that is there (or is to be made), else ROOT.
std::string RootOf(const DataOptions& o) {
  const std::string own = absl::StrCat(o.root, "/", o.spec.name);
  std::error_code error;
  return std::filesystem::is_directory(own, error) ? own : o.root;
}

absl::StatusOr<data::Dataset> LoadWhole(const DataOptions& o) {
  if (o.spec.name == "svhn") {
    return data::LoadSvhn({.root = RootOf(o),
                           .download = o.download,
                           .limit_train = o.limit_train,
                           .limit_test = o.limit_test});
  }
  data::DatasetOptions which;
  which.name = o.spec.name;
  which.root = RootOf(o);
  which.download = o.download;
  which.limit_train = o.limit_train;
  which.limit_test = o.limit_test;
  return data::LoadDataset(which);
}

absl::StatusOr<Sources> OpenMemory(const DataOptions& o) {
  ALTPROP_ASSIGN_OR_RETURN(const data::Dataset whole, LoadWhole(o));
  const Parts parts = SplitParts(o, whole.train.size());
  ALTPROP_RETURN_IF_ERROR(CheckParts(o, parts));
  const data::ImageSet train = Range(whole.train, parts.order, 0, parts.train);
  const data::BatchOptions in_order{.batch_size = o.test_batch,
                                    .shuffle = false};
  Sources sources;
  sources.classes = whole.train.classes;
  sources.train = std::make_unique<MemorySource>(
      train, data::BatchOptions{
                 .batch_size = o.batch, .shuffle = o.shuffle, .seed = o.seed});
  sources.train_in_order = std::make_unique<MemorySource>(train, in_order);
  if (o.validation) {
    sources.validation = std::make_unique<MemorySource>(
        Range(whole.train, parts.order, whole.train.size() - parts.validation,
              parts.validation),
        in_order);
  }
  sources.test = std::make_unique<MemorySource>(whole.test, in_order);
  return sources;
}

absl::StatusOr<Sources> OpenFolder(const DataOptions& o) {
  ALTPROP_ASSIGN_OR_RETURN(const data::ImageFolder folder,
                           data::ReadImageFolder({.name = o.spec.name,
                                                  .root = o.root,
                                                  .limit_train = o.limit_train,
                                                  .limit_val = o.limit_test}));
  const Parts parts = SplitParts(o, folder.train.size());
  ALTPROP_RETURN_IF_ERROR(CheckParts(o, parts));
  const data::ImageList train =
      Range(folder.train, parts.order, 0, parts.train);
  const auto open = [&](const data::ImageList& list, bool training) {
    data::ImageStreamOptions options;
    options.batch_size = training ? o.batch : o.test_batch;
    options.shuffle = training && o.shuffle;
    options.seed = o.seed;
    options.threads = o.decode_threads;
    options.skip_corrupt = o.skip_corrupt;
    options.transform =
        training && o.augment
            ? data::ResizeRandomCropTransform(kImageSide, kStoredSide)
            : data::EvalTransform(kImageSide, kStoredSide);
    return std::make_unique<FolderSource>(list, std::move(options));
  };
  Sources sources;
  sources.classes = folder.train.classes();
  sources.train = open(train, true);
  sources.train_in_order = open(train, false);
  if (o.validation) {
    sources.validation =
        open(Range(folder.train, parts.order,
                   folder.train.size() - parts.validation, parts.validation),
             false);
  }
  sources.test = open(folder.val, false);
  return sources;
}

}  // namespace

absl::StatusOr<DataSpec> FindDataSpec(absl::string_view name) {
  std::string lower = absl::AsciiStrToLower(name);
  std::replace(lower.begin(), lower.end(), '-', '_');
  for (const DataSpec& spec : Specs()) {
    if (spec.name == lower) return spec;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "expected ",
      absl::StrJoin(Specs(), ", ", [](std::string* out, const DataSpec& spec) {
        absl::StrAppend(out, spec.name);
      })));
}

int64_t TrainingPart(int64_t size, double share) {
  return static_cast<int64_t>(
      std::nearbyint(static_cast<double>(size) * (1 - share)));
}

absl::StatusOr<Sources> OpenData(const DataOptions& options) {
  return options.spec.folder ? OpenFolder(options) : OpenMemory(options);
}

at::Tensor NetworkInput(const DataOptions& options, const data::Batch& batch,
                        bool training, at::ScalarType dtype,
                        at::Device device) {
  const DataSpec& spec = options.spec;
  at::Tensor images = batch.images;
  if (spec.name == "svhn") images = data::ResizeImages(images, kSvhnSide);
  images = images.to(device);
  if (!training || !options.augment || spec.pad < 0) {
    return kernels::Normalize(images, spec.mean, spec.std, dtype);
  }
  const at::Tensor draws = data::AugmentationDraws(options.seed, batch.epoch,
                                                   batch.sample_ids, spec.pad)
                               .to(device);
  return kernels::Augment(images, draws, spec.pad, /*replicate_edge=*/false,
                          spec.mean, spec.std, dtype);
}

}  // namespace altprop::ftprop
