#include "common/data/loader.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace altprop::data {
namespace {

// Image and label i hold i.
ImageSet Numbered(int64_t size) {
  const at::Tensor ids = at::arange(size, at::kLong);
  return {ids.to(at::kByte).view({size, 1, 1, 1}).expand({size, 2, 3, 3}), ids,
          size};
}

std::vector<int64_t> Ids(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.to(at::kLong).contiguous();
  const auto* begin = dense.const_data_ptr<int64_t>();
  return {begin, begin + dense.numel()};
}

std::vector<int64_t> EpochIds(BatchLoader& loader, int64_t epoch) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < loader.batches_per_epoch(); ++i) {
    const std::vector<int64_t> batch = Ids(loader.Get(epoch, i).sample_ids);
    ids.insert(ids.end(), batch.begin(), batch.end());
  }
  return ids;
}

TEST(BatchLoader, GoesThroughEverySampleOnceAnEpoch) {
  BatchLoader loader(Numbered(103), {.batch_size = 10, .seed = 1});
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> ids = EpochIds(loader, epoch);
    EXPECT_FALSE(std::is_sorted(ids.begin(), ids.end()));
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(ids, Ids(at::arange(103, at::kLong)));
  }
}

TEST(BatchLoader, OrderIsAFunctionOfSeedAndEpochAlone) {
  BatchLoader loader(Numbered(103), {.batch_size = 10, .seed = 1});
  const std::vector<int64_t> first = EpochIds(loader, 0);
  const std::vector<int64_t> second = EpochIds(loader, 1);
  EXPECT_NE(first, second);
  EXPECT_EQ(EpochIds(loader, 0), first);
  // Another loader, asked for one batch in the middle, other batch size.
  BatchLoader resumed(Numbered(103), {.batch_size = 20, .seed = 1});
  EXPECT_EQ(Ids(resumed.Get(1, 2).sample_ids),
            std::vector<int64_t>(second.begin() + 40, second.begin() + 60));
  BatchLoader other(Numbered(103), {.batch_size = 10, .seed = 2});
  EXPECT_NE(EpochIds(other, 0), first);
}

TEST(BatchLoader, GivesTheImagesAndLabelsOfItsIds) {
  for (const bool shuffle : {false, true}) {
    BatchLoader loader(Numbered(50),
                       {.batch_size = 8, .shuffle = shuffle, .seed = 3});
    const Batch batch = loader.Get(2, 3);
    EXPECT_EQ(batch.epoch, 2);
    EXPECT_EQ(batch.index, 3);
    EXPECT_EQ(batch.images.sizes(), (std::vector<int64_t>{8, 2, 3, 3}));
    EXPECT_TRUE(at::equal(batch.labels, batch.sample_ids));
    EXPECT_TRUE(at::equal(batch.images.select(1, 1).select(1, 2).select(1, 0),
                          batch.sample_ids.to(at::kByte)));
  }
}

TEST(BatchLoader, KeepsFileOrderWithoutShuffling) {
  BatchLoader loader(Numbered(25), {.batch_size = 10, .shuffle = false});
  EXPECT_EQ(EpochIds(loader, 5), Ids(at::arange(25, at::kLong)));
}

TEST(BatchLoader, KeepsOrDropsAPartialLastBatch) {
  BatchLoader keeps(Numbered(25), {.batch_size = 10});
  EXPECT_EQ(keeps.batches_per_epoch(), 3);
  EXPECT_EQ(keeps.samples_per_epoch(), 25);
  EXPECT_EQ(keeps.Get(0, 2).labels.size(0), 5);
  BatchLoader drops(Numbered(25), {.batch_size = 10, .drop_last = true});
  EXPECT_EQ(drops.batches_per_epoch(), 2);
  EXPECT_EQ(drops.samples_per_epoch(), 20);
  BatchLoader small(Numbered(3), {.batch_size = 10, .drop_last = true});
  EXPECT_EQ(small.batches_per_epoch(), 0);
  BatchLoader none(Numbered(0), {.batch_size = 10});
  EXPECT_EQ(none.batches_per_epoch(), 0);
}

// Each of the 120 orders of 5 with probability 1/120: of 12000, 100 with a
// deviation of 10.
TEST(Permutation, IsUniform) {
  std::array<int, 3125> counts{};
  for (int64_t epoch = 0; epoch < 12000; ++epoch) {
    int code = 0;
    for (const int64_t id : Ids(Permutation(9, epoch, 5))) {
      code = code * 5 + static_cast<int>(id);
    }
    ++counts.at(code);
  }
  int orders = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    ++orders;
    EXPECT_NEAR(count, 100, 60);
  }
  EXPECT_EQ(orders, 120);
}

// Written down once: another order would break every recorded run.
TEST(Permutation, IsTheSameOnEveryMachine) {
  EXPECT_EQ(Ids(Permutation(0, 0, 10)),
            (std::vector<int64_t>{8, 4, 5, 6, 7, 2, 0, 1, 9, 3}));
  EXPECT_EQ(Ids(Permutation(1, 2, 10)),
            (std::vector<int64_t>{3, 0, 7, 5, 6, 2, 9, 1, 4, 8}));
}

TEST(AugmentationDraws, AreAFunctionOfSeedEpochAndSample) {
  const at::Tensor ids = at::arange(100, at::kLong);
  const at::Tensor draws = AugmentationDraws(1, 2, ids, 4);
  EXPECT_EQ(draws.sizes(), (std::vector<int64_t>{100, 3}));
  EXPECT_EQ(draws.scalar_type(), at::kInt);
  const at::Tensor some = ids.flip(0).slice(0, 3, 60, 7);
  EXPECT_TRUE(
      at::equal(AugmentationDraws(1, 2, some, 4), draws.index_select(0, some)));
  EXPECT_FALSE(at::equal(AugmentationDraws(2, 2, ids, 4), draws));
  EXPECT_FALSE(at::equal(AugmentationDraws(1, 3, ids, 4), draws));
  EXPECT_EQ(AugmentationDraws(1, 2, at::empty({0}, at::kLong), 4).size(0), 0);
}

// 9 offsets and 2 flips of 90000: 10000 with a deviation of 94, 45000 of 150.
TEST(AugmentationDraws, AreUniform) {
  const at::Tensor draws =
      AugmentationDraws(1, 0, at::arange(90000, at::kLong), 4);
  for (const int64_t column : {0, 1}) {
    for (int offset = 0; offset <= 8; ++offset) {
      EXPECT_NEAR(draws.select(1, column).eq(offset).sum().item<int64_t>(),
                  10000, 570);
    }
  }
  EXPECT_NEAR(draws.select(1, 2).sum().item<int64_t>(), 45000, 900);
  // Top and left agree as often as two independent draws do.
  EXPECT_NEAR(draws.select(1, 0).eq(draws.select(1, 1)).sum().item<int64_t>(),
              10000, 570);
}

TEST(AugmentationDraws, NeverFlipWhereAskedNotTo) {
  const at::Tensor ids = at::arange(1000, at::kLong);
  const at::Tensor draws = AugmentationDraws(1, 0, ids, 2, /*flips=*/false);
  EXPECT_EQ(draws.select(1, 2).sum().item<int64_t>(), 0);
  EXPECT_TRUE(at::equal(draws.narrow(1, 0, 2),
                        AugmentationDraws(1, 0, ids, 2).narrow(1, 0, 2)));
}

}  // namespace
}  // namespace altprop::data
