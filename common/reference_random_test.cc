#include "common/reference_random.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros.h>

#include <vector>

#include "common/kernels/augment.h"
#include "gtest/gtest.h"

namespace altprop {
namespace {

std::vector<int64_t> FirstSix(const at::Tensor& order) {
  std::vector<int64_t> first;
  for (int i = 0; i < 6; ++i) first.push_back(order[i].item<int64_t>());
  return first;
}

// Recorded from Python, torch.manual_seed(316).
TEST(ReferenceRandom, PassesEqualPythons) {
  const LoaderPass first = ReplayPasses(316, {true});
  EXPECT_EQ(first.base_seed, 6097947828507603774);
  EXPECT_EQ(first.sampler_seed, 4528015758911088224);
  EXPECT_EQ(FirstSix(PassOrder(first, 55000)),
            (std::vector<int64_t>{11311, 16631, 30883, 51312, 15291, 35724}));
  EXPECT_EQ(FirstSix(PassOrder(first, 45000)),
            (std::vector<int64_t>{11311, 8834, 9261, 23810, 33419, 26174}));
  const LoaderPass second = ReplayPasses(316, {true, true});
  EXPECT_EQ(second.base_seed, 3743621145391698628);
  EXPECT_EQ(second.sampler_seed, 1531176937056605944);
  EXPECT_EQ(FirstSix(PassOrder(second, 55000)),
            (std::vector<int64_t>{8942, 15509, 6176, 18559, 47012, 23795}));
}

TEST(ReferenceRandom, CropsEqualPythons) {
  const LoaderPass pass = ReplayPasses(316, {true});
  const CropDraws draws = PassCrops(pass, 1000, 128, 2, 4);
  const int offsets[4][2] = {{7, 2}, {2, 4}, {5, 2}, {0, 6}};
  const double uniform[4] = {0.246851, 0.828095, 0.118581, 0.784497};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(draws.offsets[i][0].item<int>(), offsets[i][0]);
    EXPECT_EQ(draws.offsets[i][1].item<int>(), offsets[i][1]);
    EXPECT_NEAR(draws.uniform[i].item<double>(), uniform[i], 1e-6);
  }
}

// Another number of workers moves the second batch to another stream, and
// leaves the first where it is.
TEST(ReferenceRandom, WorkersOwnTheirStreams) {
  const LoaderPass pass = ReplayPasses(1, {true});
  const CropDraws one = PassCrops(pass, 30, 10, 1, 4);
  const CropDraws two = PassCrops(pass, 30, 10, 2, 4);
  EXPECT_TRUE(
      at::equal(one.uniform.slice(0, 0, 10), two.uniform.slice(0, 0, 10)));
  EXPECT_FALSE(
      at::equal(one.uniform.slice(0, 10, 20), two.uniform.slice(0, 10, 20)));
  // With two workers batch 2 is the first worker's second one.
  EXPECT_TRUE(
      at::equal(one.uniform.slice(0, 10, 20), two.uniform.slice(0, 20, 30)));
}

// A pass that does not shuffle takes one draw less.
TEST(ReferenceRandom, EveryPassCounts) {
  int64_t next = 0;
  ReplayPasses(7, {true, false}, &next);
  const LoaderPass third = ReplayPasses(7, {true, false, true});
  EXPECT_EQ(third.base_seed, next);
  // Draws 1; 2, 3 against 1, 2; 3.
  EXPECT_EQ(ReplayPasses(7, {false, true}).sampler_seed,
            ReplayPasses(7, {true, false}).base_seed);
}

TEST(ReferenceRandom, UnshuffledPassesCount) {
  const at::Tensor order = PassOrder(ReplayPasses(3, {false}), 5);
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(order[i].item<int64_t>(), i);
}

// Augment mirrors before it crops, torchvision after.
TEST(ReferenceRandom, RowsMakeTheCropThatTorchvisionMakes) {
  const int64_t pad = 4, size = 9, count = 64;
  const at::Tensor images =
      at::randint(0, 256, {count, 3, size, size}, at::kByte);
  const CropDraws draws = PassCrops(ReplayPasses(5, {true}), count, 8, 2, pad);
  const at::Tensor ours = kernels::Augment(images, AugmentRows(draws, pad), pad,
                                           /*replicate_edge=*/false, {0, 0, 0},
                                           {1, 1, 1}, at::kDouble);
  int64_t flips = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t top = draws.offsets[i][0].item<int64_t>();
    const int64_t left = draws.offsets[i][1].item<int64_t>();
    at::Tensor crop = at::constant_pad_nd(images[i], {pad, pad, pad, pad})
                          .slice(1, top, top + size)
                          .slice(2, left, left + size);
    if (draws.uniform[i].item<double>() < 0.5) {
      crop = at::flip(crop, {2});
      ++flips;
    }
    EXPECT_TRUE(at::equal(ours[i], crop.to(at::kDouble) / 255)) << i;
  }
  EXPECT_GT(flips, 0);
  EXPECT_LT(flips, count);
}

}  // namespace
}  // namespace altprop
