// Every byte of small files damaged, and every length cut: an error that names
// the file, or, where the damage makes another legal file, a set whose shapes
// and labels hold. Under asan and ubsan in CI.
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/data/cifar.h"
#include "common/data/idx.h"
#include "common/data/test_bytes.h"
#include "common/data/test_status.h"
#include "common/random.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

using Reader = std::function<absl::StatusOr<ImageSet>(const std::string&)>;

void ExpectSound(const ImageSet& set) {
  ASSERT_EQ(set.images.dim(), 4);
  ASSERT_EQ(set.images.size(0), set.labels.size(0));
  if (set.size() == 0) return;
  EXPECT_GE(set.labels.min().item<int64_t>(), 0);
  EXPECT_LT(set.labels.max().item<int64_t>(), set.classes);
}

bool Equal(const ImageSet& a, const ImageSet& b) {
  return at::equal(a.images, b.images) && at::equal(a.labels, b.labels);
}

void ExpectErrorOrSound(const Reader& read, const std::string& path,
                        const std::string& bytes, const std::string& damage) {
  testing::WriteFile(path, bytes);
  const auto set = read(path);
  if (set.ok()) {
    ExpectSound(*set);
  } else {
    EXPECT_THAT(set, FailsNaming(path)) << damage;
  }
}

// Where to damage: all of a small file, and of a larger one its ends and a
// sample of the rest.
std::vector<size_t> Places(size_t size) {
  std::vector<size_t> places;
  CounterRandom random(1, RandomStream("places"), 0, size);
  for (size_t at = 0; at < size; ++at) {
    const bool near_an_end = at < 200 || at + 40 >= size;
    if (size < 3000 || near_an_end || random.Below(100) == 0) {
      places.push_back(at);
    }
  }
  return places;
}

void Damage(const Reader& read, const std::string& name,
            const std::string& bytes, bool checksummed) {
  const std::string path = absl::StrCat(testing::NewFolder(name), "/", name);
  testing::WriteFile(path, bytes);
  const auto whole = read(path);
  ASSERT_TRUE(whole.ok()) << whole.status();
  CounterRandom random(2, RandomStream("damage"), 0, bytes.size());
  for (const size_t at : Places(bytes.size())) {
    testing::WriteFile(path, bytes.substr(0, at));
    EXPECT_THAT(read(path), FailsNaming(path)) << "cut at " << at;
    for (const int flip : {1 << random.Below(8), 0xFF}) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ flip);
      ExpectErrorOrSound(read, path, flipped,
                         absl::StrCat("flip ", flip, " at ", at));
      // Deflate has bits that mean nothing; the data are checksummed.
      const auto set = read(path);
      if (checksummed && set.ok()) {
        EXPECT_TRUE(Equal(*set, *whole)) << "flip " << flip << " at " << at;
      }
    }
  }
  for (const std::string& more : {std::string("x"), bytes, std::string(9, 0)}) {
    testing::WriteFile(path, bytes + more);
    EXPECT_THAT(read(path), FailsNaming(path));
  }
}

absl::StatusOr<ImageSet> ReadImages(const std::string& path) {
  auto images = ReadIdxImages(path);
  if (!images.ok()) return images.status();
  return ImageSet{*images, at::empty({images->size(0)}, at::kLong).zero_(), 1};
}

absl::StatusOr<ImageSet> ReadLabels(const std::string& path) {
  auto labels = ReadIdxLabels(path, 10);
  if (!labels.ok()) return labels.status();
  return ImageSet{at::empty({labels->size(0), 1, 1, 1}, at::kByte).zero_(),
                  *labels, 10};
}

absl::StatusOr<ImageSet> ReadArchive(const std::string& path) {
  auto dataset = ReadCifarArchive(Cifar100(), path);
  if (!dataset.ok()) return dataset.status();
  return dataset->train;
}

std::string Archive() {
  return Tar({{"cifar-100-binary/", ""},
              {"cifar-100-binary/train.bin", CifarRecords(2, true)},
              {"cifar-100-binary/readme", "hello"},
              {"cifar-100-binary/test.bin", CifarRecords(1, true)}});
}

TEST(DamagedFile, IdxImages) {
  Damage(ReadImages, "images-idx3-ubyte", IdxImages(3, 4, 5), false);
}

TEST(DamagedFile, IdxLabels) {
  Damage(ReadLabels, "labels-idx1-ubyte", IdxLabels({1, 2, 3, 9}), false);
}

TEST(DamagedFile, PackedIdxImages) {
  Damage(ReadImages, "images-idx3-ubyte.gz", Gzip(IdxImages(3, 4, 5)), true);
  Damage(ReadImages, "stored.gz", Gzip(IdxImages(3, 4, 5), 0), true);
}

TEST(DamagedFile, PackedIdxLabels) {
  Damage(ReadLabels, "labels-idx1-ubyte.gz", Gzip(IdxLabels({1, 2, 3, 9})),
         true);
}

// A plain archive is whole from its first zero block on: cut only before.
TEST(DamagedFile, CifarArchive) {
  const std::string tar = Archive();
  const std::string path = testing::NewFolder("tar") + "/a.tar";
  for (const size_t at : Places(tar.size() - 1024)) {
    testing::WriteFile(path, tar.substr(0, at));
    EXPECT_THAT(ReadArchive(path), FailsNaming(path)) << "cut at " << at;
    std::string flipped = tar;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x55);
    ExpectErrorOrSound(ReadArchive, path, flipped, absl::StrCat(at));
  }
}

TEST(DamagedFile, PackedCifarArchive) {
  Damage(ReadArchive, "cifar-100-binary.tar.gz", Gzip(Archive()), true);
}

// Folders are read by several threads: the error is of the damaged file.
TEST(DamagedFile, CifarFolder) {
  const std::string folder = testing::NewFolder("folder");
  testing::WriteFile(folder + "/test.bin", CifarRecords(1, true));
  const Reader read = [&](const std::string&) -> absl::StatusOr<ImageSet> {
    auto dataset = ReadCifarFolder(Cifar100(), folder);
    if (!dataset.ok()) return dataset.status();
    return dataset->train;
  };
  const std::string bytes = CifarRecords(2, true);
  const std::string path = folder + "/train.bin";
  for (const size_t at : Places(bytes.size())) {
    testing::WriteFile(path, bytes.substr(0, at));
    if (at == bytes.size() / 2) continue;  // one whole record
    EXPECT_THAT(read(path), FailsNaming(path)) << "cut at " << at;
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(~flipped[at]);
    ExpectErrorOrSound(read, path, flipped, absl::StrCat(at));
  }
}

}  // namespace
}  // namespace altprop::data
