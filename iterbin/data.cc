#include "iterbin/data.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "ATen/ops/index_select.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/str_cat.h"
#include "common/cli/path.h"
#include "common/data/dataset.h"
#include "common/kernels/augment.h"
#include "common/logging.h"
#include "common/status.h"
#include "common/training/precision.h"
#include "iterbin/text_file.h"

namespace altprop::iterbin {
namespace {

constexpr int64_t kPad = 4;
constexpr int64_t kMnistValidation = 5000;

// Of channels, in units of [0, 1].
struct Normalisation {
  std::vector<double> mean, std;
};

Normalisation NormalisationOf(const std::string& dataset) {
  if (dataset == "cifar10") {
    return {{0.4914, 0.4822, 0.4465}, {0.2023, 0.1994, 0.2010}};
  }
  return {{0.1307}, {0.3081}};
}

data::ImageSet Selected(const data::ImageSet& set,
                        const std::vector<int64_t>& indices) {
  const at::Tensor index = at::tensor(indices, at::kLong);
  return {set.images.index_select(0, index), set.labels.index_select(0, index),
          set.classes};
}

data::ImageSet Narrowed(const data::ImageSet& set, int64_t first,
                        int64_t count) {
  return {set.images.narrow(0, first, count),
          set.labels.narrow(0, first, count), set.classes};
}

void Limit(data::ImageSet& set, int64_t limit) {
  if (limit > 0 && limit < set.size()) set = Narrowed(set, 0, limit);
}

// One list of a split file. `seen`: which images have been named, by which.
absl::Status ReadIndices(const nlohmann::json& root, const char* list,
                         const std::string& file,
                         std::vector<const char*>& seen,
                         std::vector<int64_t>& into) {
  const auto at = root.find(list);
  if (at == root.end() || !at->is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": expected a list \"", list, "\" of images"));
  }
  const auto images = static_cast<int64_t>(seen.size());
  for (const auto& entry : *at) {
    const std::string where =
        absl::StrCat(file, ": ", list, " entry ", into.size() + 1, " is ",
                     Printable(entry.dump(), 40));
    if (!entry.is_number_integer()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ", expected a whole number"));
    }
    const auto image = entry.get<int64_t>();
    if (image < 0 || image >= images) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ", expected an image from 0 to ", images - 1));
    }
    if (seen[image] != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ", which is in ", seen[image],
                       " already; expected each image "
                       "once"));
    }
    seen[image] = list;
    into.push_back(image);
  }
  return absl::OkStatus();
}

// How many of `images` are kept for validation.
int64_t ValidationImages(const std::string& dataset, int64_t images) {
  if (dataset == "mnist" && images > kMnistValidation) return kMnistValidation;
  return images / 12;
}

absl::Status CheckNotEmpty(const data::ImageSet& set, const char* what) {
  if (set.size() > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the ", what, " split has no images"));
}

std::vector<bool> PassesOfEpoch(const Options& o) {
  std::vector<bool> passes = {Shuffles(o, "train"),
                              Shuffles(o, o.evaluated_split())};
  if (o.test_training) passes.push_back(Shuffles(o, "train"));
  return passes;
}

// The passes from the first one to that of MakePass.
std::vector<bool> PassesUpTo(const Options& o, int64_t epoch, int64_t number) {
  std::vector<bool> passes;
  if (o.load_last) passes.push_back(Shuffles(o, "test"));
  if (number < 0) return passes;
  const std::vector<bool> each = PassesOfEpoch(o);
  CHECK_LT(number, static_cast<int64_t>(each.size()));
  for (int64_t e = 0; e < epoch; ++e) {
    passes.insert(passes.end(), each.begin(), each.end());
  }
  passes.insert(passes.end(), each.begin(), each.begin() + number + 1);
  return passes;
}

}  // namespace

const data::ImageSet& Splits::Named(const std::string& split) const {
  return split == "train" ? train : split == "val" ? validation : test;
}

absl::StatusOr<SplitFile> ParseSplit(const std::string& text,
                                     const std::string& file, int64_t images) {
  const auto root = nlohmann::json::parse(text, nullptr,
                                          /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": expected a JSON object with \"train\" and \"validation\""));
  }
  SplitFile split;
  std::vector<const char*> seen(images, nullptr);
  ALTPROP_RETURN_IF_ERROR(ReadIndices(root, "train", file, seen, split.train));
  ALTPROP_RETURN_IF_ERROR(
      ReadIndices(root, "validation", file, seen, split.validation));
  const auto named =
      static_cast<int64_t>(split.train.size() + split.validation.size());
  if (named != images) {
    const auto missing = std::find(seen.begin(), seen.end(), nullptr);
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": names ", named, " of ", images, " training images; image ",
        missing - seen.begin(), " is missing"));
  }
  return split;
}

absl::StatusOr<Splits> LoadSplits(const Options& options) {
  data::DatasetOptions which;
  which.name = options.dataset;
  which.root = options.run.data_root;
  which.download = options.run.download;
  ALTPROP_ASSIGN_OR_RETURN(const data::Dataset data, data::LoadDataset(which));
  Splits splits;
  splits.test = data.test;
  if (options.dataset == "cifar10") {
    ALTPROP_ASSIGN_OR_RETURN(
        const std::string text,
        ReadTextFile(cli::ResolvePath(options.dataset_indices)));
    ALTPROP_ASSIGN_OR_RETURN(
        const SplitFile split,
        ParseSplit(text, options.dataset_indices, data.train.size()));
    splits.train = Selected(data.train, split.train);
    splits.validation = Selected(data.train, split.validation);
  } else {
    const int64_t kept = ValidationImages(options.dataset, data.train.size());
    const int64_t first = data.train.size() - kept;
    splits.train = Narrowed(data.train, 0, first);
    splits.validation = Narrowed(data.train, first, kept);
  }
  Limit(splits.train, options.run.limit_train);
  Limit(splits.validation, options.run.limit_test);
  Limit(splits.test, options.run.limit_test);
  ALTPROP_RETURN_IF_ERROR(CheckNotEmpty(splits.train, "training"));
  if (options.test_validation) {
    ALTPROP_RETURN_IF_ERROR(CheckNotEmpty(splits.validation, "validation"));
  }
  for (data::ImageSet* set :
       {&splits.train, &splits.validation, &splits.test}) {
    set->images = set->images.to(options.run.device);
    set->labels = set->labels.to(options.run.device);
  }
  return splits;
}

bool Shuffles(const Options& options, const std::string& split) {
  return options.run.shuffle &&
         (split == "train" || options.dataset != "cifar10");
}

int64_t BatchSizeOf(const Options& options, const std::string& split) {
  const bool training =
      split == "train" || (split == "val" && options.dataset != "cifar10");
  return training ? options.batch_size : options.test_batch_size;
}

Pass MakePass(const Options& options, const Splits& splits,
              const std::string& split, int64_t epoch, int64_t number) {
  const LoaderPass draws =
      ReplayPasses(options.run.seed, PassesUpTo(options, epoch, number));
  const int64_t size = splits.Named(split).size();
  Pass pass;
  pass.order = PassOrder(draws, size).to(options.run.device);
  if (split == "train" && options.augment) {
    pass.augment = AugmentRows(PassCrops(draws, size, options.batch_size,
                                         options.loader_workers, kPad),
                               kPad)
                       .to(options.run.device);
  }
  return pass;
}

int64_t Batches(const data::ImageSet& set, int64_t batch_size) {
  return (set.size() + batch_size - 1) / batch_size;
}

Minibatch GetBatch(const Options& options, const data::ImageSet& set,
                   const Pass& pass, int64_t batch_size, int64_t index) {
  const int64_t first = index * batch_size;
  const int64_t count = std::min(batch_size, set.size() - first);
  const at::Tensor samples = pass.order.narrow(0, first, count);
  const at::Tensor rows = pass.augment.defined()
                              ? pass.augment.narrow(0, first, count)
                              : at::Tensor();
  return {Input(options.dataset, set.images.index_select(0, samples), rows,
                training::DtypeOf(options.run.precision)),
          set.labels.index_select(0, samples)};
}

at::Tensor Input(const std::string& dataset, const at::Tensor& images,
                 const at::Tensor& augment, c10::ScalarType dtype) {
  const Normalisation norm = NormalisationOf(dataset);
  return augment.defined()
             ? kernels::Augment(images, augment, kPad, /*replicate_edge=*/false,
                                norm.mean, norm.std, dtype)
             : kernels::Normalize(images, norm.mean, norm.std, dtype);
}

}  // namespace altprop::iterbin
