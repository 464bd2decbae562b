#include "common/kernels/augment.h"

#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <array>
#include <string>
#include <vector>

#include "common/kernels/augment_reference.h"
#include "common/kernels/test_devices.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"

namespace altprop::kernels {
namespace {

constexpr double kMean[] = {0.4914, 0.4822, 0.4465};
constexpr double kStd[] = {3 * 0.2023, 3 * 0.1994, 3 * 0.2010};

at::Tensor RandomImages(at::IntArrayRef sizes) {
  return at::randint(256, sizes, at::kByte);
}

// Uniform over what pad allows.
at::Tensor RandomDraws(int64_t count, int64_t pad) {
  const at::Tensor offsets = at::randint(2 * pad + 1, {count, 2}, at::kInt);
  return at::cat({offsets, at::randint(2, {count, 1}, at::kInt)}, 1);
}

at::ArrayRef<double> First(const double (&values)[3], int64_t channels) {
  return {values, static_cast<size_t>(channels)};
}

class AugmentTest : public testing::TestWithParam<at::DeviceType> {
 protected:
  AugmentTest() { at::manual_seed(1); }

  at::Tensor OnDevice(const at::Tensor& tensor) const {
    return tensor.to(GetParam());
  }

  // Equal bits, shape, type and device; dense.
  void ExpectMatchesReference(const at::Tensor& images, const at::Tensor& draws,
                              int64_t pad, bool replicate_edge,
                              at::ScalarType dtype) const {
    const auto mean = First(kMean, images.size(1));
    const auto std = First(kStd, images.size(1));
    const at::Tensor expected =
        AugmentReference(images, draws, pad, replicate_edge, mean, std, dtype);
    const at::Tensor got =
        Augment(OnDevice(images), draws.defined() ? OnDevice(draws) : draws,
                pad, replicate_edge, mean, std, dtype);
    EXPECT_EQ(got.device().type(), GetParam());
    EXPECT_EQ(got.scalar_type(), dtype);
    EXPECT_TRUE(got.is_contiguous());
    ASSERT_EQ(got.sizes(), images.sizes());
    EXPECT_TRUE(at::equal(got.cpu(), expected))
        << images.sizes() << " pad " << pad << " replicate " << replicate_edge
        << " " << dtype;
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, AugmentTest, testing::ValuesIn(TestDevices()),
                         DeviceName);

// Widths on both sides of a vector, a warp and the 16-bit kernel's chunk.
TEST_P(AugmentTest, EqualsTheReferenceBitForBit) {
  const std::vector<std::array<int64_t, 4>> shapes = {
      {1, 1, 1, 1}, {2, 3, 5, 7},   {3, 1, 28, 28}, {2, 3, 32, 32},
      {5, 2, 3, 1}, {1, 1, 2, 257}, {1, 2, 33, 31}, {64, 3, 32, 32}};
  for (const auto& shape : shapes) {
    for (const int64_t pad : {0, 1, 4}) {
      for (const bool replicate_edge : {false, true}) {
        for (const at::ScalarType dtype :
             {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
          ExpectMatchesReference(RandomImages(shape),
                                 RandomDraws(shape[0], pad), pad,
                                 replicate_edge, dtype);
        }
      }
    }
  }
}

TEST_P(AugmentTest, WithoutDrawsNormalisesTheImagesThemselves) {
  const at::Tensor images = RandomImages({3, 2, 9, 11});
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    ExpectMatchesReference(images, at::Tensor(), 4, true, dtype);
    const auto mean = First(kMean, 2);
    const auto std = First(kStd, 2);
    EXPECT_TRUE(at::equal(
        Normalize(OnDevice(images), mean, std, dtype),
        Augment(OnDevice(images), at::Tensor(), 0, false, mean, std, dtype)));
  }
}

// Every byte, so every quotient: exact in float32 and float64.
TEST_P(AugmentTest, NormalisesEachByteAsTwoDivisions) {
  const at::Tensor images = at::arange(256, at::kByte).view({1, 1, 16, 16});
  const auto got = [&](at::ScalarType dtype) {
    return Normalize(OnDevice(images), First(kMean, 1), First(kStd, 1), dtype)
        .cpu()
        .flatten();
  };
  const at::Tensor single = got(at::kFloat);
  const at::Tensor whole = got(at::kDouble);
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(
        single[byte].item<float>(),
        (static_cast<float>(byte) / 255.0F - float(kMean[0])) / float(kStd[0]));
    EXPECT_EQ(whole[byte].item<double>(), (byte / 255.0 - kMean[0]) / kStd[0]);
  }
}

// 1 2 3  flipped  3 2 1; padded by one with the edge, cropped at (0, 2):
// 4 5 6           6 5 4  row 0 again, and columns 2 1 1.
TEST_P(AugmentTest, FlipsThenPadsThenCrops) {
  const at::Tensor images =
      at::tensor({1, 2, 3, 4, 5, 6}, at::kByte).view({1, 1, 2, 3});
  const at::Tensor draws = at::tensor({0, 2, 1}, at::kInt).view({1, 3});
  const auto bytes = [&](bool replicate_edge) {
    return Augment(OnDevice(images), OnDevice(draws), 1, replicate_edge, {0.0},
                   {1.0}, at::kDouble)
        .cpu()
        .mul(255)
        .round()
        .to(at::kInt)
        .flatten();
  };
  EXPECT_TRUE(at::equal(bytes(true), at::tensor({2, 1, 1, 2, 1, 1}, at::kInt)));
  EXPECT_TRUE(
      at::equal(bytes(false), at::tensor({0, 0, 0, 2, 1, 0}, at::kInt)));
}

TEST_P(AugmentTest, TakesNoImages) {
  ExpectMatchesReference(at::empty({0, 3, 32, 32}, at::kByte),
                         at::empty({0, 3}, at::kInt), 4, true, at::kFloat);
}

TEST_P(AugmentTest, TakesImagesWithoutPixels) {
  ExpectMatchesReference(at::empty({2, 3, 0, 5}, at::kByte), at::Tensor(), 4,
                         true, at::kFloat);
}

TEST_P(AugmentTest, TakesAnyStrides) {
  const at::Tensor channels_last = RandomImages({3, 8, 9, 2});
  const at::Tensor every_second = RandomImages({6, 2, 16, 9});
  const at::Tensor wide_draws =
      at::cat({RandomDraws(3, 2), at::zeros({3, 4}, at::kInt)}, 1);
  for (const at::Tensor& images :
       {channels_last.permute({0, 3, 1, 2}),
        every_second.slice(0, 0, 6, 2).slice(2, 1, 16, 2)}) {
    ASSERT_FALSE(images.is_contiguous());
    ExpectMatchesReference(images, wide_draws.narrow(1, 0, 3), 2, true,
                           at::kFloat);
  }
}

// Nothing is read outside of the image, however far a draw points.
TEST_P(AugmentTest, DrawsBeyondThePaddingGoOnWithIt) {
  const at::Tensor images = RandomImages({2, 1, 4, 5});
  const at::Tensor draws =
      at::tensor({1000000, -1000000, 0, -2147483647, 2147483647, 1}, at::kInt)
          .view({2, 3});
  const auto augment = [&](bool replicate_edge) {
    return Augment(OnDevice(images), OnDevice(draws), 2, replicate_edge, {0.0},
                   {1.0}, at::kDouble)
        .cpu();
  };
  EXPECT_TRUE(at::equal(augment(false), at::zeros({2, 1, 4, 5}, at::kDouble)));
  const at::Tensor edges = augment(true);
  const auto corner = [&](int64_t image, int64_t y, int64_t x) {
    return at::full({1, 4, 5}, images[image][0][y][x].item<double>(),
                    at::kDouble)
        .div(255);
  };
  EXPECT_TRUE(at::equal(edges[0], corner(0, 3, 0)));
  EXPECT_TRUE(at::equal(edges[1], corner(1, 0, 0)));  // flipped: right is left
}

TEST_P(AugmentTest, RefusesWhatItDoesNotTake) {
  const at::Tensor images = OnDevice(RandomImages({2, 3, 4, 4}));
  const at::Tensor draws = OnDevice(RandomDraws(2, 1));
  const auto augment = [&](const at::Tensor& x, const at::Tensor& d,
                           int64_t pad, int64_t means, double std,
                           at::ScalarType dtype) {
    Augment(x, d, pad, true, First(kMean, means), {std, std, std}, dtype);
  };
  EXPECT_NO_THROW(augment(images, draws, 1, 3, 0.5, at::kFloat));
  EXPECT_THROW(augment(images.to(at::kInt), draws, 1, 3, 0.5, at::kFloat),
               c10::Error);
  EXPECT_THROW(augment(images[0], draws, 1, 3, 0.5, at::kFloat), c10::Error);
  EXPECT_THROW(augment(images, draws.to(at::kLong), 1, 3, 0.5, at::kFloat),
               c10::Error);
  EXPECT_THROW(augment(images, draws[0], 1, 3, 0.5, at::kFloat), c10::Error);
  EXPECT_THROW(augment(images, draws, -1, 3, 0.5, at::kFloat), c10::Error);
  EXPECT_THROW(augment(images, draws, 1, 2, 0.5, at::kFloat), c10::Error);
  EXPECT_THROW(augment(images, draws, 1, 3, 0.0, at::kFloat), c10::Error);
  EXPECT_THROW(augment(images, draws, 1, 3, 0.5, at::kInt), c10::Error);
}

// What the authors' transforms made of real images (testdata/README.md). The
// goldens are float64 of PyTorch on another machine: 1e-15; float32: 1e-7.
class GoldenInputsTest : public AugmentTest {
 protected:
  void SetUp() override {
    auto read = training::LoadCheckpoint("common/kernels/testdata/inputs.pt");
    ASSERT_TRUE(read.ok()) << read.status();
    golden_ = *std::move(read);
  }

  at::Tensor Golden(const std::string& key) const {
    const auto tensor = golden_.GetTensor(key);
    EXPECT_TRUE(tensor.ok()) << tensor.status();
    return tensor.ok() ? *tensor : at::zeros({1});
  }

  void ExpectRows(const at::Tensor& got, const std::string& name,
                  const std::string& key, double tolerance) const {
    const at::Tensor rows = got.cpu().index_select(-2, Golden(name + ".rows"));
    const at::Tensor expected = Golden(key);
    ASSERT_EQ(rows.scalar_type(), expected.scalar_type());
    ASSERT_EQ(rows.sizes(), expected.sizes());
    EXPECT_LE(rows.sub(expected).abs().max().item<double>(), tolerance) << key;
  }

 private:
  training::Value golden_;
};

INSTANTIATE_TEST_SUITE_P(Devices, GoldenInputsTest,
                         testing::ValuesIn(TestDevices()), DeviceName);

TEST_P(GoldenInputsTest, NormaliseAsTheAuthorsProgramDoes) {
  const at::Tensor mnist = OnDevice(Golden("mnist.uint8").unsqueeze(1));
  const at::Tensor cifar = OnDevice(Golden("cifar.uint8"));
  ExpectRows(Normalize(mnist, {0.0}, {1.0}, at::kFloat), "mnist",
             "mnist.float32", 1e-7);
  ExpectRows(Normalize(mnist, {0.0}, {1.0}, at::kDouble), "mnist",
             "mnist.float64", 1e-15);
  ExpectRows(Normalize(cifar, kMean, kStd, at::kFloat), "cifar",
             "cifar.float32", 1e-7);
  ExpectRows(Normalize(cifar, kMean, kStd, at::kDouble), "cifar",
             "cifar.float64", 1e-15);
}

TEST_P(GoldenInputsTest, AugmentAsTheAuthorsProgramDoes) {
  const at::Tensor cifar = OnDevice(Golden("cifar.uint8"));
  const std::vector<std::array<int, 3>> all_draws = {
      {0, 0, 0}, {4, 4, 1}, {8, 1, 1}, {3, 7, 0}};
  for (const auto& [top, left, flip] : all_draws) {
    const at::Tensor draws =
        at::tensor({top, left, flip}, at::kInt).view({1, 3});
    ExpectRows(
        Augment(cifar, OnDevice(draws), 4, true, kMean, kStd, at::kDouble)[0],
        "cifar",
        "cifar.aug.flip" + std::to_string(flip) + ".top" + std::to_string(top) +
            ".left" + std::to_string(left),
        1e-15);
  }
}

}  // namespace
}  // namespace altprop::kernels
