#include "common/data/loader.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "common/logging.h"
#include "common/random.h"

namespace altprop::data {
namespace {

constexpr uint64_t kShuffleStream = RandomStream("shuffle");
constexpr uint64_t kAugmentationStream = RandomStream("augmentation");
constexpr int64_t kMostEpochs = std::numeric_limits<uint32_t>::max();

uint32_t EpochWord(int64_t epoch) {
  CHECK_GE(epoch, 0);
  CHECK_LE(epoch, kMostEpochs);
  return static_cast<uint32_t>(epoch);
}

}  // namespace

at::Tensor Permutation(uint64_t seed, int64_t epoch, int64_t size) {
  CHECK_LE(size, std::numeric_limits<uint32_t>::max());
  at::Tensor order = at::arange(size, at::kLong);
  auto* ids = order.mutable_data_ptr<int64_t>();
  CounterRandom random(seed, kShuffleStream, EpochWord(epoch), 0);
  for (int64_t left = size; left > 1; --left) {
    std::swap(ids[left - 1], ids[random.Below(static_cast<uint32_t>(left))]);
  }
  return order;
}

at::Tensor AugmentationDraws(uint64_t seed, int64_t epoch,
                             const at::Tensor& sample_ids, int64_t pad,
                             bool flips) {
  CHECK_GE(pad, 0);
  CHECK_LE(pad, std::numeric_limits<int16_t>::max());
  const at::Tensor ids = sample_ids.contiguous();
  const int64_t count = ids.numel();
  at::Tensor draws = at::empty({count, 3}, at::kInt);
  const auto* id = ids.const_data_ptr<int64_t>();
  auto* row = draws.mutable_data_ptr<int32_t>();
  const auto offsets = static_cast<uint32_t>(2 * pad + 1);
  for (int64_t i = 0; i < count; ++i, row += 3) {
    CounterRandom random(seed, kAugmentationStream, EpochWord(epoch),
                         static_cast<uint64_t>(id[i]));
    const uint32_t flip = random.Below(2);
    row[0] = static_cast<int32_t>(random.Below(offsets));
    row[1] = static_cast<int32_t>(random.Below(offsets));
    row[2] = flips ? static_cast<int32_t>(flip) : 0;
  }
  return draws;
}

BatchLoader::BatchLoader(ImageSet set, Options options)
    : set_(std::move(set)), options_(options) {
  CHECK_GE(options_.batch_size, 1);
  CHECK_EQ(set_.images.size(0), set_.labels.size(0));
}

int64_t BatchLoader::batches_per_epoch() const {
  const int64_t full = size() / options_.batch_size;
  const bool partial = size() % options_.batch_size != 0;
  return full + (partial && !options_.drop_last ? 1 : 0);
}

int64_t BatchLoader::samples_per_epoch() const {
  return std::min(size(), batches_per_epoch() * options_.batch_size);
}

const at::Tensor& BatchLoader::Order(int64_t epoch) {
  if (order_epoch_ != epoch) {
    order_ = options_.shuffle ? Permutation(options_.seed, epoch, size())
                              : at::arange(size(), at::kLong);
    order_epoch_ = epoch;
  }
  return order_;
}

Batch BatchLoader::Get(int64_t epoch, int64_t index) {
  CHECK_GE(index, 0);
  CHECK_LT(index, batches_per_epoch());
  const int64_t start = index * options_.batch_size;
  const int64_t count = std::min(options_.batch_size, size() - start);
  Batch batch;
  batch.epoch = epoch;
  batch.index = index;
  batch.sample_ids = Order(epoch).narrow(0, start, count);
  if (options_.shuffle) {
    batch.images = set_.images.index_select(0, batch.sample_ids);
    batch.labels = set_.labels.index_select(0, batch.sample_ids);
  } else {
    batch.images = set_.images.narrow(0, start, count);
    batch.labels = set_.labels.narrow(0, start, count);
  }
  return batch;
}

}  // namespace altprop::data
