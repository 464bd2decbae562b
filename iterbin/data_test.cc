// What the authors' loaders give: recordings of their samples, crops and
// normalised images; splits of the data sets.

#include "iterbin/data.h"

#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/full.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "iterbin/test_util.h"

namespace altprop::iterbin {
namespace {

TEST(Streams, EqualTheAuthorsLoaders) {
  const Golden golden("random_streams.pt");
  std::vector<bool> passes;
  for (int pass = 1; pass <= 3; ++pass) {
    passes.push_back(true);
    const LoaderPass draws = ReplayPasses(316, passes);
    const std::string at = absl::StrCat("seed316/pass", pass, "/");
    EXPECT_EQ(draws.base_seed, golden.Get(at + "base_seed").item<int64_t>());
    EXPECT_EQ(draws.sampler_seed,
              golden.Get(at + "sampler_seed").item<int64_t>());
    for (const int64_t size : {10, 45000, 55000}) {
      const at::Tensor expected = golden.Get(absl::StrCat(at, "perm_n", size));
      EXPECT_TRUE(at::equal(
          PassOrder(draws, size).slice(0, 0, expected.size(0)), expected));
    }
  }
  // After a training pass and one over the test set, which MNIST shuffles.
  int64_t next = 0;
  ReplayPasses(316, {true, true}, &next);
  EXPECT_EQ(
      next,
      golden.Get("seed316/mnist/after_train_test_next_draw").item<int64_t>());
}

// The first four images of the first four batches of 128.
TEST(Streams, CropsEqualTheAuthorsWorkers) {
  const Golden golden("random_streams.pt");
  const LoaderPass pass = ReplayPasses(316, {true});
  for (const int64_t workers : {2, 4}) {
    const std::string at = absl::StrCat("seed316/cifar_workers", workers, "/");
    const CropDraws draws = PassCrops(pass, 45000, 128, workers, 4);
    for (int64_t batch = 0; batch < 4; ++batch) {
      const int64_t first = 128 * batch;
      EXPECT_TRUE(
          at::equal(draws.offsets.slice(0, first, first + 4).to(at::kLong),
                    golden.Get(at + "offsets")[batch].to(at::kLong)));
      EXPECT_LE(Deviation(draws.uniform.slice(0, first, first + 4),
                          golden.Get(at + "uniform")[batch]),
                0);
    }
  }
  // The first image of each of the four batches.
  const std::string at = "seed316/cifar_workers2/";
  const at::Tensor rows = AugmentRows(PassCrops(pass, 45000, 128, 2, 4), 4)
                              .slice(0, 0, 4 * 128, 128)
                              .contiguous();
  const at::Tensor images = Input(
      "cifar10", golden.Get(at + "image_raw_uint8").select(1, 0).contiguous(),
      rows, at::kFloat);
  EXPECT_LE(Deviation(images, golden.Get(at + "augmented_float32_first")),
            2.4e-7);
}

TEST(Normalisation, EqualsTheAuthorsTransforms) {
  const Golden golden("normalization.pt");
  for (const std::string name : {"mnist", "cifar10"}) {
    at::Tensor images = golden.Get(name + "/image_uint8");
    if (images.dim() == 3) images = images.unsqueeze(1);
    EXPECT_LE((Input(name, images, {}, at::kFloat) -
               golden.Get(name + "/normalized_float32"))
                  .abs()
                  .max()
                  .item<float>(),
              2.4e-7F);
    ExpectClose(Input(name, images, {}, at::kDouble),
                golden.Get(name + "/normalized_float64"), 1e-15, name);
  }
}

TEST(SplitFiles, ReadInTheOrderOfUse) {
  const auto split =
      ParseSplit(R"({"train": [3, 0, 4], "validation": [2, 1]})", "s.json", 5);
  ASSERT_TRUE(split.ok()) << split.status();
  EXPECT_EQ(split->train, (std::vector<int64_t>{3, 0, 4}));
  EXPECT_EQ(split->validation, (std::vector<int64_t>{2, 1}));
}

TEST(SplitFiles, RefuseWithTheEntry) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]",
       "s.json: expected a JSON object with \"train\" and \"validation\""},
      {R"({"train": [0]})", "s.json: expected a list \"validation\" of images"},
      {R"({"train": [0, 1.5], "validation": []})",
       "s.json: train entry 2 is 1.5, expected a whole number"},
      {R"({"train": [0, 9], "validation": []})",
       "s.json: train entry 2 is 9, expected an image from 0 to 3"},
      {R"({"train": [0, 1], "validation": [2, 1]})",
       "s.json: validation entry 2 is 1, which is in train already; expected "
       "each image once"},
      {R"({"train": [0, 1], "validation": [2]})",
       "s.json: names 3 of 4 training images; image 3 is missing"},
  };
  for (const auto& [text, message] : cases) {
    const auto split = ParseSplit(text, "s.json", 4);
    ASSERT_FALSE(split.ok());
    EXPECT_EQ(split.status().message(), message);
  }
}

Options Cifar(int64_t size) {
  Options o;
  o.dataset = "cifar10";
  o.batch_size = 4;
  o.test_batch_size = 5;
  o.loader_workers = 2;
  o.run.seed = 9;
  o.run.precision = training::Precision::kFp64;
  o.run.limit_train = size;
  return o;
}

Splits Blank(int64_t size) {
  data::ImageSet set = {at::full({size, 3, 32, 32}, 7, at::kByte),
                        at::full({size}, 1, at::kLong), 10};
  return {set, set, set};
}

// Passes of an epoch: training, evaluation and, where asked, training again;
// each of them moves the generator for all that follow.
TEST(Passes, FollowTheGenerator) {
  Options o = Cifar(0);
  const Splits splits = Blank(10);
  const at::Tensor second = MakePass(o, splits, "train", 1, 0).order;
  // CIFAR-10's evaluation takes one draw, MNIST's, which is shuffled, two.
  EXPECT_TRUE(
      at::equal(second, PassOrder(ReplayPasses(9, {true, false, true}), 10)));
  o.test_training = true;
  EXPECT_TRUE(
      at::equal(MakePass(o, splits, "train", 1, 0).order,
                PassOrder(ReplayPasses(9, {true, false, true, true}), 10)));
  o.dataset = "mnist";
  EXPECT_TRUE(
      at::equal(MakePass(o, splits, "train", 1, 0).order,
                PassOrder(ReplayPasses(9, {true, true, true, true}), 10)));
  o.run.shuffle = false;
  EXPECT_EQ(MakePass(o, splits, "test", 3, 1).order[4].item<int64_t>(), 4);
}

// Zeros around the bytes, normalised like a black pixel.
TEST(Passes, PadWithBlack) {
  Options o = Cifar(0);
  o.augment = true;
  const Splits splits = Blank(10);
  const Pass pass = MakePass(o, splits, "train", 0, 0);
  ASSERT_TRUE(pass.augment.defined());
  const Minibatch last = GetBatch(o, splits.train, pass, 4, 2);
  EXPECT_EQ(last.x.size(0), 2);  // the last one is smaller
  const at::Tensor bright =
      Input("cifar10", splits.train.images.slice(0, 0, 1), {}, at::kDouble);
  const at::Tensor black =
      Input("cifar10", at::full({1, 3, 1, 1}, 0, at::kByte), {}, at::kDouble);
  bool padded = false;
  for (int64_t i = 0; i < 3; ++i) {
    const Minibatch batch = GetBatch(o, splits.train, pass, 4, i);
    for (int64_t n = 0; n < batch.x.size(0); ++n) {
      const at::Tensor is_bright = batch.x[n].eq(bright[0]);
      const at::Tensor is_black = batch.x[n].eq(black[0]);
      EXPECT_TRUE(is_bright.logical_or(is_black).all().item<bool>());
      padded = padded || is_black.any().item<bool>();
    }
  }
  EXPECT_TRUE(padded);
  EXPECT_FALSE(MakePass(o, splits, "test", 0, 1).augment.defined());
}

}  // namespace
}  // namespace altprop::iterbin
