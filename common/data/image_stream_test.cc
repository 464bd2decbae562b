#include "common/data/image_stream.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>  // NOLINT(build/c++17)
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/data/test_images.h"
#include "common/data/test_status.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

namespace fs = std::filesystem;

std::string PathOf(const std::string& root, int i) {
  return absl::StrCat(root, "/train/", i % 3, "/", i / 3 + 100, ".jpg");
}

// `count` JPEGs of differing pictures and sizes, in three classes.
std::string NewImages(int count) {
  const std::string root = testing::NewFolder("stream");
  for (int i = 0; i < count; ++i) {
    fs::create_directories(fs::path(PathOf(root, i)).parent_path());
    testing::WriteFile(PathOf(root, i),
                       JpegBytes(TestPicture(40 + i % 7, 36 + i % 5, i)));
  }
  fs::create_directories(root + "/val/0");
  testing::WriteFile(root + "/val/0/0.png", PngBytes(TestPicture(20, 20)));
  return root;
}

ImageList ListOf(const std::string& root) {
  const auto folder = ReadImageFolder({.name = "folder", .root = root});
  EXPECT_TRUE(folder.ok()) << folder.status();
  return folder.ok() ? folder->train : ImageList();
}

ImageStreamOptions Options(int64_t threads = 2) {
  ImageStreamOptions options;
  options.batch_size = 4;
  options.seed = 7;
  options.transform = TrainTransform(16);
  options.threads = threads;
  return options;
}

Batch Get(ImageStream& stream, int64_t epoch, int64_t index) {
  absl::StatusOr<Batch> batch = stream.Get(epoch, index);
  EXPECT_TRUE(batch.ok()) << batch.status();
  return batch.ok() ? *std::move(batch) : Batch();
}

std::vector<Batch> Epochs(ImageStream& stream, int64_t epochs) {
  std::vector<Batch> batches;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    for (int64_t i = 0; i < stream.batches_per_epoch(); ++i) {
      batches.push_back(Get(stream, epoch, i));
    }
  }
  return batches;
}

void ExpectEqual(const Batch& a, const Batch& b) {
  EXPECT_TRUE(at::equal(a.images, b.images)) << a.epoch << "/" << a.index;
  EXPECT_TRUE(at::equal(a.labels, b.labels));
  EXPECT_TRUE(at::equal(a.sample_ids, b.sample_ids));
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.index, b.index);
}

TEST(ImageStream, GivesEverySampleOnceAnEpoch) {
  const ImageList list = ListOf(NewImages(14));
  ImageStream stream(list, Options());
  EXPECT_EQ(stream.batches_per_epoch(), 4);
  EXPECT_EQ(stream.samples_per_epoch(), 14);
  std::vector<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < 4; ++i) {
      const Batch batch = Get(stream, epoch, i);
      EXPECT_EQ(batch.images.sizes().vec(),
                (std::vector<int64_t>{i == 3 ? 2 : 4, 3, 16, 16}));
      EXPECT_EQ(batch.images.scalar_type(), at::kByte);
      for (int64_t k = 0; k < batch.labels.size(0); ++k) {
        order.push_back(batch.sample_ids[k].item<int64_t>());
        EXPECT_EQ(batch.labels[k].item<int64_t>(), list.label(order.back()));
      }
    }
    EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), 14);
    orders.push_back(order);
  }
  EXPECT_NE(orders[0], orders[1]);
}

// The order is BatchLoader's for the same seed.
TEST(ImageStream, ShufflesAsTheLoaderInMemory) {
  ImageStream stream(ListOf(NewImages(14)), Options());
  const at::Tensor order = Permutation(7, 3, 14);
  EXPECT_TRUE(at::equal(Get(stream, 3, 1).sample_ids, order.narrow(0, 4, 4)));
}

TEST(ImageStream, TakesAnotherOrder) {
  ImageStreamOptions options = Options();
  options.order = [](int64_t epoch) {
    return at::arange(14, at::kLong).roll({5 * epoch}, {0});
  };
  ImageStream stream(ListOf(NewImages(14)), options);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    for (int64_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(at::equal(Get(stream, epoch, i).sample_ids,
                            options.order(epoch).slice(0, 4 * i, 4 * i + 4)));
    }
  }
}

TEST(ImageStream, DoesNotDependOnThreadsOrQueue) {
  const ImageList list = ListOf(NewImages(14));
  ImageStream one(list, Options(1));
  const std::vector<Batch> expected = Epochs(one, 2);
  for (const int64_t threads : {2, 5}) {
    for (const int64_t ahead : {0, 1, 9}) {
      ImageStreamOptions options = Options(threads);
      options.ahead = ahead;
      ImageStream stream(list, options);
      const std::vector<Batch> batches = Epochs(stream, 2);
      ASSERT_EQ(batches.size(), expected.size());
      for (size_t i = 0; i < batches.size(); ++i) {
        ExpectEqual(batches[i], expected[i]);
      }
    }
  }
}

TEST(ImageStream, DrawsAnewEachEpochAndForEachSeed) {
  const ImageList list = ListOf(NewImages(4));
  ImageStreamOptions options = Options();
  options.shuffle = false;
  ImageStream stream(list, options);
  options.seed = 8;
  ImageStream other(list, options);
  const Batch batch = Get(stream, 0, 0);
  EXPECT_FALSE(at::equal(batch.images, Get(stream, 1, 0).images));
  EXPECT_FALSE(at::equal(batch.images, Get(other, 0, 0).images));
  ExpectEqual(batch, Get(stream, 0, 0));
}

TEST(ImageStream, ResumesInTheMiddleOfAnEpoch) {
  const ImageList list = ListOf(NewImages(14));
  ImageStream whole(list, Options());
  const std::vector<Batch> expected = Epochs(whole, 2);
  ImageStream resumed(list, Options());
  for (int64_t i = 6; i < 8; ++i) {
    ExpectEqual(Get(resumed, 1, i - 4), expected[i]);
  }
  // Back and forth, and the same again.
  for (const int64_t i : {2, 2, 7, 0, 1, 5, 3}) {
    ExpectEqual(Get(resumed, i / 4, i % 4), expected[i]);
  }
}

TEST(ImageStream, EvaluatesInTheListsOrder) {
  const ImageList list = ListOf(NewImages(7));
  ImageStreamOptions options = Options();
  options.shuffle = false;
  options.drop_last = true;
  options.transform = EvalTransform(16, 20);
  ImageStream stream(list, options);
  EXPECT_EQ(stream.batches_per_epoch(), 1);
  EXPECT_EQ(stream.samples_per_epoch(), 4);
  const Batch batch = Get(stream, 0, 0);
  ImageScratch scratch;
  std::vector<uint8_t> expected(3 * 16 * 16);
  for (int64_t i = 0; i < 4; ++i) {
    const std::string path = list.path(i);
    ASSERT_TRUE(MakeInput(testing::ReadFile(path), path, options.transform,
                          {0, 0, 0, 0}, &scratch, expected.data())
                    .ok());
    EXPECT_EQ(batch.sample_ids[i].item<int64_t>(), i);
    const auto* bytes = batch.images[i].const_data_ptr<uint8_t>();
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes)) << i;
  }
}

TEST(ImageStream, StopsAtAFileThatDoesNotDecode) {
  const std::string root = NewImages(6);
  const std::string path = PathOf(root, 4);
  const std::string bytes = testing::ReadFile(path);
  ImageStreamOptions options = Options();
  options.batch_size = 6;
  for (const std::string& damaged :
       {std::string(), std::string("hello"), bytes.substr(0, 700)}) {
    testing::WriteFile(path, damaged);
    ImageStream stream(ListOf(root), options);
    const auto batch = stream.Get(0, 0);
    EXPECT_TRUE(absl::IsDataLoss(batch.status()));
    EXPECT_THAT(batch, FailsNaming(path + ": "));
  }
}

TEST(ImageStream, StopsAtAFileThatIsGone) {
  const std::string root = NewImages(3);
  ImageStreamOptions options = Options();
  options.skip_corrupt = 3;
  ImageStream stream(ListOf(root), options);
  fs::remove(PathOf(root, 1));
  EXPECT_THAT(stream.Get(0, 0),
              FailsWith(PathOf(root, 1) + ": No such file or directory"));
}

TEST(ImageStream, LeavesOutAsManyCorruptFilesAsAllowed) {
  const std::string root = NewImages(12);
  for (const int i : {2, 7}) testing::WriteFile(PathOf(root, i), "no image");
  ImageStreamOptions options = Options();
  options.skip_corrupt = 2;
  for (const int64_t threads : {1, 4}) {
    options.threads = threads;
    ImageStream stream(ListOf(root), options);
    std::multiset<int64_t> ids;
    // The same two files again in the second epoch count once.
    for (const Batch& batch : Epochs(stream, 2)) {
      EXPECT_EQ(batch.images.size(0), batch.labels.size(0));
      for (int64_t k = 0; k < batch.labels.size(0); ++k) {
        const int64_t id = batch.sample_ids[k].item<int64_t>();
        EXPECT_EQ(batch.labels[k].item<int64_t>(), stream.list().label(id));
        ids.insert(id);
      }
    }
    EXPECT_EQ(ids.size(), 20);
    EXPECT_EQ(stream.skipped(), 2);
  }
  // In the list's order the first is left out and the second stops the run.
  options.skip_corrupt = 1;
  options.shuffle = false;
  options.batch_size = 12;
  ImageStream stream(ListOf(root), options);
  EXPECT_THAT(stream.Get(0, 0),
              FailsWith(PathOf(root, 2) +
                        ": neither JPEG nor PNG: begins with the bytes "
                        "6e6f2069 (1 files left out before it: "
                        "--skip_corrupt)"));
}

TEST(ImageStream, RefusesABatchOfNothing) {
  const std::string root = NewImages(3);
  for (int i = 0; i < 3; ++i) testing::WriteFile(PathOf(root, i), "");
  ImageStreamOptions options = Options();
  options.skip_corrupt = 3;
  options.shuffle = false;
  ImageStream stream(ListOf(root), options);
  EXPECT_THAT(stream.Get(0, 0),
              FailsWith("none of the 3 images of batch 0 of epoch 0 decodes, "
                        "the first: " +
                        PathOf(root, 0) + ": the file is empty"));
}

TEST(ImageStream, RefusesAnImageSmallerThanItsCrop) {
  const std::string root = NewImages(3);
  ImageStreamOptions options = Options();
  options.transform = RandomCropTransform(64);
  options.skip_corrupt = 3;  // it is not corrupt
  options.shuffle = false;
  ImageStream stream(ListOf(root), options);
  EXPECT_THAT(
      stream.Get(0, 0),
      FailsWith(PathOf(root, 0) + ": 40x36 pixels, expected at least 64x64"));
}

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0;
  file >> pages >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

// 300 batches of 0.8 MB of which nobody keeps any, and a long rest.
TEST(ImageStream, HoldsNoMoreThanItsQueue) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer holds on to freed memory";
#endif
  ImageStreamOptions options = Options();
  options.transform = TrainTransform(256);
  options.ahead = 4;
  ImageStream stream(ListOf(NewImages(40)), options);
  Get(stream, 0, 0);
  const int64_t before = ResidentBytes();
  for (int64_t i = 1; i < 300; ++i) Get(stream, i / 10, i % 10);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  // The queue's 4 MB, the threads' images, and what malloc keeps.
  EXPECT_LT(ResidentBytes() - before, 40 << 20);
}

TEST(ImageStream, EndsWhileItsThreadsWork) {
  const ImageList list = ListOf(NewImages(14));
  for (int i = 0; i < 20; ++i) {
    ImageStream stream(list, Options(3));
    if (i % 2 == 1) Get(stream, 0, i % 4);
  }
}

TEST(ReadImages, GivesTheWholeListInItsOrder) {
  const std::string root = NewImages(10);
  testing::WriteFile(PathOf(root, 3), "no image");
  ImageStreamOptions options = Options();
  options.transform = EvalTransform(16, 16);
  options.skip_corrupt = 1;
  const ImageList list = ListOf(root);
  const auto set = ReadImages(list, options);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->size(), 9);
  EXPECT_EQ(set->classes, 3);
  // Labels 0 0 0 0 1 1 1 2 2 2, of which file 3 was the second.
  EXPECT_EQ(set->labels.sum().item<int64_t>(), 9);
  ImageStream stream(list, {.batch_size = 10,
                            .shuffle = false,
                            .transform = options.transform,
                            .skip_corrupt = 1});
  EXPECT_TRUE(at::equal(Get(stream, 0, 0).images, set->images));
}

}  // namespace
}  // namespace altprop::data
