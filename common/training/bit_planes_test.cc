#include "common/training/bit_planes.h"

#include "ATen/ops/equal.h"
#include "ATen/ops/randint.h"
#include "ATen/ops/tensor.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

at::Tensor Bytes(std::initializer_list<int64_t> values) {
  return at::tensor(at::ArrayRef<int64_t>(values), at::kLong).to(at::kByte);
}

TEST(BitPlanes, LowestBitFirst) {
  // 3 = 11, 1 = 01, 2 = 10 in two planes: low bits 1, 1, 0; high bits 1, 0, 1.
  const at::Tensor planes = PackBitPlanes(Bytes({3, 1, 2}), 2);
  EXPECT_TRUE(at::equal(planes, Bytes({0b011, 0b101}).view({2, 1})));
}

TEST(BitPlanes, NinthEntryBeginsANewByte) {
  const at::Tensor planes =
      PackBitPlanes(Bytes({0, 1, 0, 0, 0, 0, 0, 1, 1}), 1);
  EXPECT_TRUE(at::equal(planes, Bytes({0b10000010, 1}).view({1, 2})));
}

TEST(BitPlanes, UnpackGivesBackWhatWasPacked) {
  for (int64_t bits = 1; bits <= 8; ++bits) {
    const at::Tensor indices =
        at::randint(0, int64_t{1} << bits, {3, 5, 7}, at::kByte);
    const absl::StatusOr<at::Tensor> unpacked =
        UnpackBitPlanes(PackBitPlanes(indices, bits), {3, 5, 7});
    ASSERT_TRUE(unpacked.ok());
    EXPECT_TRUE(at::equal(*unpacked, indices)) << bits << " bits";
  }
}

TEST(BitPlanes, OtherShapesAreRefused) {
  const at::Tensor planes = PackBitPlanes(Bytes({3, 1, 2}), 2);
  EXPECT_TRUE(UnpackBitPlanes(planes, {8}).ok());
  EXPECT_FALSE(UnpackBitPlanes(planes, {9}).ok());
  EXPECT_FALSE(UnpackBitPlanes(planes.to(at::kLong), {3}).ok());
  EXPECT_FALSE(UnpackBitPlanes(planes[0], {3}).ok());
}

}  // namespace
}  // namespace altprop::training
