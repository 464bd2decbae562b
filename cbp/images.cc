#include "cbp/images.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/data/dataset.h"
#include "common/data/image_folder.h"
#include "common/kernels/augment.h"
#include "common/status.h"
#include "common/training/precision.h"

namespace altprop::cbp {
namespace {

constexpr int64_t kPad = 4;

struct Normalisation {
  std::vector<double> mean, std;
};

Normalisation NormalisationOf(const std::string& dataset) {
  if (dataset == "mnist" || dataset == "glyphs") return {{0.1307}, {0.3081}};
  if (dataset == "cifar10") {
    return {{0.4914, 0.4822, 0.4465}, {0.2470, 0.2435, 0.2616}};
  }
  if (dataset == "cifar100") {
    return {{0.5071, 0.4865, 0.4409}, {0.2673, 0.2564, 0.2762}};
  }
  return {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
}

bool IsCifar(const Options& options) {
  return absl::StartsWith(options.dataset, "cifar");
}

absl::Status CheckFits(const Options& options, const Images& images) {
  const Model model = options.architecture.model;
  const bool exact = model == Model::kMnistCnn;
  const int64_t least = SmallestImage(model);
  if (exact ? images.side == least : images.side >= least) {
    return absl::OkStatus();
  }
  return FlagError(
      "model", ModelName(model),
      absl::StrCat("takes images of ", exact ? "" : "at least ", least, "x",
                   least, ", those of --dataset=", options.dataset, " are ",
                   images.side, "x", images.side));
}

absl::Status CheckFull(const Options& options, const Images& images) {
  if (images.train == nullptr || images.train->batches() > 0) {
    return absl::OkStatus();
  }
  return FlagError("batch_size", absl::StrCat(options.batch_size),
                   absl::StrCat("more than the ", images.train->size(),
                                " training images: an epoch has no full "
                                "minibatch"));
}

absl::StatusOr<Images> LoadFolder(const Options& options, bool train) {
  data::ImageFolderOptions where;
  where.name = options.dataset;
  where.root = options.run.data_root;
  where.limit_train = options.run.limit_train;
  where.limit_val = options.run.limit_test;
  ALTPROP_ASSIGN_OR_RETURN(data::ImageFolder folder,
                           data::ReadImageFolder(where));
  Images images;
  images.classes = folder.train.classes();
  images.channels = 3;
  images.side = options.image_size;
  data::ImageStreamOptions stream;
  stream.batch_size = options.batch_size;
  stream.threads = options.workers;
  stream.skip_corrupt = options.skip_corrupt;
  stream.pinned = options.run.device.is_cuda();
  stream.shuffle = false;
  // The authors' ratio of 256 to 224.
  stream.transform = data::DaliEvalTransform(
      options.image_size, (options.image_size * 256 + 112) / 224);
  images.test = std::make_unique<Source>(std::move(folder.val), stream);
  if (train) {
    stream.shuffle = options.run.shuffle;
    stream.seed = options.run.seed;
    stream.drop_last = true;
    if (options.run.augment) {
      stream.transform = data::DaliTrainTransform(options.image_size);
    }
    images.train = std::make_unique<Source>(std::move(folder.train), stream);
  }
  return images;
}

absl::StatusOr<Images> LoadMemory(const Options& options, bool train) {
  data::DatasetOptions which;
  which.name = options.dataset;
  which.root = options.run.data_root;
  which.download = options.run.download;
  which.limit_train = options.run.limit_train;
  which.limit_test = options.run.limit_test;
  ALTPROP_ASSIGN_OR_RETURN(data::Dataset data, data::LoadDataset(which));
  for (data::ImageSet* set : {&data.train, &data.test}) {
    set->images = set->images.to(options.run.device);
    set->labels = set->labels.to(options.run.device);
  }
  Images images;
  images.classes = data.train.classes;
  images.channels = data.train.images.size(1);
  images.side = data.train.images.size(2);
  images.test = std::make_unique<Source>(
      std::move(data.test),
      data::BatchOptions{.batch_size = options.batch_size, .shuffle = false});
  if (train) {
    images.train = std::make_unique<Source>(
        std::move(data.train),
        data::BatchOptions{.batch_size = options.batch_size,
                           .shuffle = options.run.shuffle,
                           .seed = options.run.seed,
                           .drop_last = true});
  }
  return images;
}

}  // namespace

Source::Source(data::ImageSet set, const data::BatchOptions& options)
    : loader_(std::make_unique<data::BatchLoader>(std::move(set), options)) {}

Source::Source(data::ImageList list, const data::ImageStreamOptions& options)
    : stream_(std::make_unique<data::ImageStream>(std::move(list), options)) {}

int64_t Source::batches() const {
  return loader_ ? loader_->batches_per_epoch() : stream_->batches_per_epoch();
}

int64_t Source::size() const {
  return loader_ ? loader_->size() : stream_->size();
}

absl::StatusOr<data::Batch> Source::Get(int64_t epoch, int64_t index) {
  if (loader_) return loader_->Get(epoch, index);
  return stream_->Get(epoch, index);
}

absl::StatusOr<Images> LoadImages(const Options& options, bool train) {
  absl::StatusOr<Images> images = data::IsImageFolder(options.dataset)
                                      ? LoadFolder(options, train)
                                      : LoadMemory(options, train);
  if (!images.ok()) return images.status();
  ALTPROP_RETURN_IF_ERROR(CheckFits(options, *images));
  ALTPROP_RETURN_IF_ERROR(CheckFull(options, *images));
  return images;
}

at::Tensor EvaluationInput(const Options& options, const at::Tensor& images) {
  const Normalisation norm = NormalisationOf(options.dataset);
  return kernels::Normalize(images.to(options.run.device), norm.mean, norm.std,
                            training::DtypeOf(options.run.precision));
}

at::Tensor TrainingInput(const Options& options, const data::Batch& batch) {
  if (!IsCifar(options) || !options.run.augment) {
    return EvaluationInput(options, batch.images);
  }
  const Normalisation norm = NormalisationOf(options.dataset);
  const at::Tensor draws =
      data::AugmentationDraws(options.run.seed, batch.epoch,
                              batch.sample_ids.cpu(), kPad)
          .to(batch.images.device());
  return kernels::Augment(batch.images, draws, kPad, /*replicate_edge=*/false,
                          norm.mean, norm.std,
                          training::DtypeOf(options.run.precision));
}

}  // namespace altprop::cbp
