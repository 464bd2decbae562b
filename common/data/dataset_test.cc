#include "common/data/dataset.h"

#include <sys/stat.h>

#include <cstdio>
#include <filesystem>  // NOLINT(build/c++17)
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/data/test_bytes.h"
#include "common/data/test_status.h"
#include "common/status.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

using testing::NewFolder;
using testing::WriteFile;

DatasetOptions From(const std::string& name, const std::string& root) {
  DatasetOptions options;
  options.name = name;
  options.root = root;
  return options;
}

// Packs what is there.
void GzipFolder(const std::string& folder) {
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    const std::string path = file.path();
    WriteFile(path + ".gz", Gzip(testing::ReadFile(path)));
    std::filesystem::remove(path);
  }
}

TEST(LoadDataset, DrawsGlyphsWithoutAnyFile) {
  DatasetOptions options = From("Glyphs", "");
  options.limit_train = 30;
  options.limit_test = 5;
  auto dataset = LoadDataset(options);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(dataset->name, "glyphs");
  EXPECT_EQ(dataset->train.size(), 30);
  EXPECT_EQ(dataset->test.size(), 5);
  options.limit_train = 1000000;
  dataset = LoadDataset(options);
  EXPECT_EQ(dataset->train.size(), 12000);
}

TEST(LoadDataset, FindsMnistInTheRootAndBelowIt) {
  for (const std::string below : {"", "/MNIST/raw", "/raw", "/MNIST"}) {
    for (const bool packed : {false, true}) {
      const std::string root = NewFolder("mnist");
      std::filesystem::create_directories(root + below);
      testing::WriteMnist(root + below, 20, 10);
      if (packed) GzipFolder(root + below);
      const auto dataset = LoadDataset(From("MNIST", root));
      ASSERT_TRUE(dataset.ok()) << dataset.status();
      EXPECT_EQ(dataset->name, "mnist");
      EXPECT_EQ(dataset->train.size(), 20);
      EXPECT_EQ(dataset->test.size(), 10);
      EXPECT_EQ(dataset->train.labels[13].item<int64_t>(), 3);
    }
  }
}

TEST(LoadDataset, TakesTheFirstRecordsOfALimit) {
  const std::string root = NewFolder("mnist");
  testing::WriteMnist(root, 20, 10);
  DatasetOptions options = From("mnist", root);
  options.limit_train = 7;
  options.limit_test = 100;
  const auto dataset = LoadDataset(options);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(dataset->train.size(), 7);
  EXPECT_EQ(dataset->train.labels[6].item<int64_t>(), 6);
  EXPECT_EQ(dataset->test.size(), 10);
}

TEST(LoadDataset, FindsCifarAsFolderAndAsArchive) {
  const std::string root = NewFolder("cifar");
  const std::string folder = root + "/cifar-100-binary";
  std::filesystem::create_directories(folder);
  WriteFile(folder + "/train.bin", CifarRecords(3, true));
  WriteFile(folder + "/test.bin", CifarRecords(2, true));
  for (const std::string& at : {root, folder}) {
    const auto dataset = LoadDataset(From("CIFAR100", at));
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ(dataset->train.size(), 3);
  }
  const std::string other = NewFolder("cifar-archive");
  WriteFile(other + "/cifar-100-binary.tar.gz",
            Gzip(Tar({{"cifar-100-binary/train.bin", CifarRecords(4, true)},
                      {"cifar-100-binary/test.bin", CifarRecords(2, true)}})));
  const auto dataset = LoadDataset(From("cifar100", other));
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(dataset->train.size(), 4);
  EXPECT_EQ(dataset->test.size(), 2);
}

TEST(LoadDataset, SaysWhatIsMissingAndHowToGetIt) {
  const std::string root = NewFolder("empty");
  EXPECT_THAT(
      LoadDataset(From("mnist", root)),
      FailsWith(root + ": no train-images-idx3-ubyte (mnist) here or in "
                       "MNIST/raw, raw, MNIST, mnist; --download fetches it"));
  EXPECT_THAT(LoadDataset(From("cifar10", root)),
              FailsWith(root + ": no test_batch.bin or cifar-10-binary.tar.gz "
                               "(cifar10) here or in cifar-10-batches-bin; "
                               "--download fetches it"));
  EXPECT_THAT(LoadDataset(From("mnist", root + "/none")),
              FailsNaming(root + "/none: no train-images-idx3-ubyte"));
  testing::WriteMnist(root, 20, 10);
  ASSERT_EQ(remove((root + "/t10k-labels-idx1-ubyte").c_str()), 0);
  EXPECT_THAT(LoadDataset(From("mnist", root)),
              FailsNaming(root + ": no t10k-labels-idx1-ubyte (mnist)"));
}

TEST(LoadDataset, RefusesImagesOfAnotherSizeOrNone) {
  const std::string root = NewFolder("mnist");
  testing::WriteMnist(root, 20, 10);
  const std::string images = root + "/t10k-images-idx3-ubyte";
  WriteFile(images, IdxImages(10, 28, 27));
  EXPECT_THAT(LoadDataset(From("mnist", root)),
              FailsWith(images + ": images of 28x27 pixels, expected 28x28, at "
                                 "byte 8"));
  WriteFile(images, IdxImages(0, 28, 28));
  WriteFile(root + "/t10k-labels-idx1-ubyte", IdxLabels({}));
  EXPECT_THAT(LoadDataset(From("mnist", root)),
              FailsWith(images + ": 0 images, expected at least 1, at byte 4"));
}

TEST(LoadDataset, RefusesOtherNamesAsAUsageError) {
  const auto dataset = LoadDataset(From("mnits", "/"));
  EXPECT_THAT(dataset, FailsNaming("unknown dataset \"mnits\", expected one of "
                                   "glyphs, mnist, cifar10, cifar100"));
  EXPECT_EQ(ExitCode(dataset.status()), 2);
  EXPECT_EQ(ExitCode(LoadDataset(From("mnist", "")).status()), 2);
}

}  // namespace
}  // namespace altprop::data
