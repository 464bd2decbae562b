#include "common/data/glyphs.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/argmin.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/stack.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/data/md5.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

TEST(DrawGlyphs, HasTheShapeOfMnistAndEveryDigit) {
  const ImageSet set = DrawGlyphs(0, Split::kTrain, 25);
  EXPECT_EQ(set.images.sizes(), (std::vector<int64_t>{25, 1, 28, 28}));
  EXPECT_EQ(set.images.scalar_type(), at::kByte);
  EXPECT_EQ(set.classes, 10);
  EXPECT_TRUE(at::equal(set.labels, at::arange(25, at::kLong).remainder(10)));
  EXPECT_EQ(DrawGlyphs(0, Split::kTrain, 0).size(), 0);
}

TEST(DrawGlyphs, IsAFunctionOfSeedSplitAndSample) {
  const ImageSet set = DrawGlyphs(3, Split::kTrain, 200);
  const ImageSet fewer = DrawGlyphs(3, Split::kTrain, 77);
  EXPECT_TRUE(at::equal(set.images.narrow(0, 0, 77), fewer.images));
  const ImageSet other_seed = DrawGlyphs(4, Split::kTrain, 200);
  const ImageSet test = DrawGlyphs(3, Split::kTest, 200);
  for (int64_t i = 0; i < 200; ++i) {
    EXPECT_FALSE(at::equal(set.images[i], other_seed.images[i]));
    EXPECT_FALSE(at::equal(set.images[i], test.images[i]));
  }
}

TEST(DrawGlyphs, DoesNotDependOnTheNumberOfThreads) {
  const ImageSet two = DrawGlyphs(0, Split::kTest, 500);
  at::set_num_threads(1);
  EXPECT_TRUE(at::equal(two.images, DrawGlyphs(0, Split::kTest, 500).images));
}

// Written down once: other bytes would change every result on glyphs.
TEST(DrawGlyphs, GivesTheSameBytesOnEveryMachine) {
  const at::Tensor images = DrawGlyphs(0, Split::kTest, kGlyphsTest).images;
  const absl::string_view bytes(
      reinterpret_cast<const char*>(images.const_data_ptr<uint8_t>()),
      static_cast<size_t>(images.numel()));
  EXPECT_EQ(Md5Of(bytes), "4cb8f20a4e387d3c0b5dbbdb904cb811");
}

// Ink enough to be seen and not everywhere; nothing at the border but noise.
TEST(DrawGlyphs, DrawsDigitsInTheMiddle) {
  const at::Tensor images =
      DrawGlyphs(0, Split::kTrain, 500).images.to(at::kFloat);
  const at::Tensor ink = images.gt(110).to(at::kFloat);
  const at::Tensor share = ink.mean({1, 2, 3});
  EXPECT_GT(share.min().item<float>(), 0.01);
  EXPECT_LT(share.max().item<float>(), 0.45);
  const at::Tensor border =
      ink.select(2, 0).mean().add(ink.select(3, 27).mean());
  EXPECT_LT(border.item<float>(), 0.01);
}

// The mean image of each class, as a classifier: far better than chance, so the
// labels are right, and far from perfect, so there is something to learn.
TEST(DrawGlyphs, IsNeitherNoiseNorTrivial) {
  const ImageSet train = DrawGlyphs(0, Split::kTrain, 2000);
  const ImageSet test = DrawGlyphs(0, Split::kTest, 1000);
  std::vector<at::Tensor> means;
  for (int64_t digit = 0; digit < 10; ++digit) {
    means.push_back(train.images.slice(0, digit, 2000, 10)
                        .to(at::kFloat)
                        .mean(0)
                        .flatten());
  }
  const at::Tensor x = test.images.to(at::kFloat).flatten(1);
  const at::Tensor nearest =
      x.unsqueeze(1).sub(at::stack(means)).square().sum(2).argmin(1);
  const double accuracy =
      nearest.eq(test.labels).to(at::kFloat).mean().item<double>();
  EXPECT_GT(accuracy, 0.5);
  EXPECT_LT(accuracy, 0.9);
}

}  // namespace
}  // namespace altprop::data
