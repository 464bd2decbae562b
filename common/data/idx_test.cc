#include "common/data/idx.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/data/test_bytes.h"
#include "common/data/test_status.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

using testing::NewFolder;
using testing::WriteFile;

class IdxTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::string path = absl::StrCat(folder_, "/", name);
    WriteFile(path, bytes);
    return path;
  }

  std::string folder_ = NewFolder("idx");
};

TEST_F(IdxTest, ReadsImagesPlainAndPacked) {
  const std::string bytes = IdxImages(5, 3, 7);
  for (const std::string& path :
       {Write("images", bytes), Write("images.gz", Gzip(bytes)),
        Write("packed-without-suffix", Gzip(bytes))}) {
    const auto images = ReadIdxImages(path);
    ASSERT_TRUE(images.ok()) << images.status();
    ASSERT_EQ(images->sizes(), (std::vector<int64_t>{5, 1, 3, 7}));
    const auto* pixels = images->const_data_ptr<uint8_t>();
    for (int i = 0; i < 5 * 3 * 7; ++i) EXPECT_EQ(pixels[i], i % 251);
  }
}

TEST_F(IdxTest, ReadsLabels) {
  const std::vector<int> labels = {3, 0, 9, 9, 1};
  const auto read = ReadIdxLabels(Write("labels", IdxLabels(labels)), 10);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(0), 5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(read->const_data_ptr<int64_t>()[i], labels[i]);
  }
}

TEST_F(IdxTest, ReadsFilesWithoutRecords) {
  EXPECT_EQ(ReadIdxImages(Write("images", IdxImages(0, 28, 28)))->size(0), 0);
  EXPECT_EQ(ReadIdxLabels(Write("labels", IdxLabels({})), 10)->size(0), 0);
}

// gzip -c a > c; gzip -c b >> c.
TEST_F(IdxTest, ReadsConcatenatedGzipMembers) {
  const std::string bytes = IdxImages(5, 3, 7);
  const auto path =
      Write("images.gz", Gzip(bytes.substr(0, 50)) + Gzip(bytes.substr(50)));
  const auto images = ReadIdxImages(path);
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ(images->const_data_ptr<uint8_t>()[104], 104);
}

TEST_F(IdxTest, NamesCountsThatDisagree) {
  const auto images = Write("t10k-images-idx3-ubyte", IdxImages(4, 2, 2));
  const auto labels = Write("t10k-labels-idx1-ubyte", IdxLabels({1, 2, 3}));
  EXPECT_THAT(ReadIdxSet(images, labels, 10),
              FailsWith(labels + ": 3 labels for 4 images, at byte 4"));
  const auto packed =
      Write("t10k-labels-idx1-ubyte.gz", Gzip(IdxLabels({1, 2, 3})));
  EXPECT_THAT(ReadIdxSet(images, packed, 10),
              FailsWith(packed + ": 3 labels for 4 images, at byte 4 of the "
                                 "unpacked data"));
}

TEST_F(IdxTest, NamesALabelOutOfRange) {
  const auto path = Write("labels", IdxLabels({1, 2, 10, 3}));
  EXPECT_THAT(ReadIdxLabels(path, 10),
              FailsWith(path + ": label 10 of sample 2, expected 0 to 9, at "
                               "byte 10"));
  EXPECT_TRUE(ReadIdxLabels(path, 11).ok());
}

TEST_F(IdxTest, NamesAWrongMagicNumber) {
  const auto path = Write("labels", IdxLabels({1}));
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": magic number 0x00000801, expected 0x00000803 "
                               "(IDX images), at byte 0"));
}

TEST_F(IdxTest, NamesWhereATruncatedFileEnds) {
  const std::string bytes = IdxImages(5, 3, 7);
  auto path = Write("images", bytes.substr(0, 100));
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": ends early: 5 images of 3x7 pixels need 121 "
                               "bytes, the file has 100, at byte 100"));
  path = Write("images", bytes.substr(0, 10));
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": ends early: 2 of 4 bytes missing of the IDX "
                               "header, at byte 10"));
  path = Write("images", "");
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": ends early: 4 of 4 bytes missing of the IDX "
                               "header, at byte 0"));
  path = Write("images.gz", Gzip(bytes.substr(0, 100)));
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": ends early: 21 of 105 bytes missing of 5 "
                               "images of 3x7 pixels, at byte 100 of the "
                               "unpacked data"));
}

TEST_F(IdxTest, NamesBytesThatFollowTheLastRecord) {
  const std::string bytes = IdxImages(5, 3, 7) + "x";
  auto path = Write("images", bytes);
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": 5 images of 3x7 pixels end here but the file "
                               "goes on, at byte 121"));
  path = Write("images.gz", Gzip(bytes));
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": 5 images of 3x7 pixels end here but the file "
                               "goes on, at byte 121 of the unpacked data"));
  const std::string packed = Gzip(IdxImages(5, 3, 7));
  path = Write("images.gz", packed + "x");
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(absl::StrCat(
                  path, ": the gzip data end but the file goes on, at byte ",
                  packed.size(), " of the file")));
}

TEST_F(IdxTest, NamesDamagedGzip) {
  auto path = Write("images.gz", IdxImages(5, 3, 7));
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": not gzip data: it starts with 00 00, "
                               "expected 1f 8b, at byte 0"));
  path = Write("images.gz", "");
  EXPECT_THAT(ReadIdxImages(path), FailsNaming(path));
  std::string packed = Gzip(IdxImages(5, 3, 7));
  path = Write("images.gz", packed.substr(0, packed.size() - 3));
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(absl::StrCat(
                  path, ": damaged gzip data (it ends early), at byte ",
                  packed.size() - 3, " of the file")));
  packed[packed.size() - 6] ^= 1;  // of the CRC-32
  path = Write("images.gz", packed);
  EXPECT_THAT(ReadIdxImages(path), FailsNaming(path + ": damaged gzip data ("));
}

// 50 MB of zeros in 50 KB: what the header does not announce is not unpacked.
TEST_F(IdxTest, StopsAGzipBombAtWhatTheHeaderAnnounces) {
  const std::string bytes =
      IdxImages(1, 28, 28) + std::string(50'000'000, '\0');
  const auto path = Write("images.gz", Gzip(bytes, 1));
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": 1 images of 28x28 pixels end here but the "
                               "file goes on, at byte 800 of the unpacked "
                               "data"));
}

// 4 billion images in 30 bytes: refused before anything is allocated.
TEST_F(IdxTest, BelievesNoHeaderThatTheFileCannotHold) {
  const std::string header = absl::StrCat(BigEndian(0x803), BigEndian(~0U),
                                          BigEndian(28), BigEndian(28));
  auto path = Write("images", header);
  EXPECT_THAT(ReadIdxImages(path),
              FailsWith(path + ": ends early: 4294967295 images of 28x28 "
                               "pixels need 3367254359296 bytes, the file has "
                               "16, at byte 16"));
  path = Write("images.gz", Gzip(header));
  EXPECT_THAT(ReadIdxImages(path),
              FailsNaming(path + ": ends early: 4294967295 images"));
}

TEST_F(IdxTest, RefusesSidesWithoutMeaning) {
  for (const auto& [rows, columns] : std::vector<std::pair<uint32_t, uint32_t>>{
           {0, 28}, {28, 0}, {28, ~0U}}) {
    const auto path =
        Write("images", absl::StrCat(BigEndian(0x803), BigEndian(1),
                                     BigEndian(rows), BigEndian(columns)));
    EXPECT_THAT(ReadIdxImages(path), FailsNaming(path + ": 1 images of "));
  }
}

TEST_F(IdxTest, NamesFilesItCannotOpen) {
  EXPECT_THAT(ReadIdxImages(folder_ + "/missing"),
              FailsWith(folder_ + "/missing: cannot be read: No such file or "
                                  "directory"));
  EXPECT_THAT(ReadIdxImages(folder_), FailsWith(folder_ + ": not a file"));
}

}  // namespace
}  // namespace altprop::data
