#include "common/data/svhn.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/data/test_status.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

using testing::NewFolder;
using testing::WriteFile;

constexpr int kRecord = 3 * 32 * 32;

std::string Word(uint32_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

// A data element, padded to eight bytes; up to four bytes of data in the tag,
// as MATLAB writes them.
std::string Element(uint32_t type, absl::string_view data) {
  if (data.size() <= 4 && !data.empty()) {
    std::string small = Word(type | static_cast<uint32_t>(data.size()) << 16);
    small += data;
    small.resize(8);
    return small;
  }
  std::string element =
      Word(type) + Word(static_cast<uint32_t>(data.size())) + std::string(data);
  element.resize((element.size() + 7) / 8 * 8);
  return element;
}

std::string Array(uint32_t array_class, const std::vector<uint32_t>& sizes,
                  absl::string_view name, uint32_t type,
                  absl::string_view data) {
  std::string dimensions;
  for (const uint32_t size : sizes) dimensions += Word(size);
  const std::string body = Element(6, Word(array_class) + Word(0)) +
                           Element(5, dimensions) + Element(1, name) +
                           Element(type, data);
  return Word(14) + Word(static_cast<uint32_t>(body.size())) + body;
}

std::string Packed(const std::string& array) {
  std::string packed(compressBound(array.size()), '\0');
  uLongf size = packed.size();
  compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
            reinterpret_cast<const Bytef*>(array.data()), array.size(), 6);
  packed.resize(size);
  return Word(15) + Word(static_cast<uint32_t>(packed.size())) + packed;
}

std::string Header() {
  std::string header = "MATLAB 5.0 MAT-file, Platform: test";
  header.resize(124, ' ');
  return header + std::string("\0\1IM", 4);
}

// Pixel (channel, row, column) of image n.
uint8_t Pixel(int n, int c, int y, int x) {
  return static_cast<uint8_t>(7 * n + 50 * c + 3 * y + x);
}

std::string X(int count) {
  std::string data;
  for (int n = 0; n < count; ++n) {
    for (int c = 0; c < 3; ++c) {
      for (int x = 0; x < 32; ++x) {  // columns one after the other
        for (int y = 0; y < 32; ++y) {
          data += static_cast<char>(Pixel(n, c, y, x));
        }
      }
    }
  }
  return Array(9, {32, 32, 3, static_cast<uint32_t>(count)}, "X", 2, data);
}

// Label 1 + i mod 10, so that 10 stands for the digit 0; a double array of
// which MATLAB writes whole numbers as bytes.
std::string Y(int count) {
  std::string data;
  for (int i = 0; i < count; ++i) data += static_cast<char>(1 + i % 10);
  return Array(6, {static_cast<uint32_t>(count), 1}, "y", 2, data);
}

std::string Mat(int count) {
  return Header() + Packed(X(count)) + Packed(Y(count));
}

class SvhnTest : public ::testing::Test {
 protected:
  SvhnTest() : folder_(NewFolder("svhn")), path_(folder_ + "/a.mat") {}

  absl::StatusOr<ImageSet> Read(const std::string& bytes, int64_t limit = 0) {
    WriteFile(path_, bytes);
    return ReadSvhnFile(path_, limit);
  }

  std::string folder_, path_;
};

void ExpectContents(const ImageSet& set, int count) {
  ASSERT_EQ(set.images.sizes(), at::IntArrayRef({count, 3, 32, 32}));
  EXPECT_EQ(set.classes, 10);
  for (int n = 0; n < count; ++n) {
    EXPECT_EQ(set.labels[n].item<int64_t>(), (1 + n % 10) % 10);
    for (const auto& [c, y, x] :
         {std::array{0, 0, 0}, std::array{1, 5, 9}, std::array{2, 31, 30}}) {
      EXPECT_EQ(set.images[n][c][y][x].item<uint8_t>(), Pixel(n, c, y, x));
    }
  }
}

TEST_F(SvhnTest, ReadsImagesAndDigits) {
  for (const int count : {2, 13}) {
    const auto set = Read(Mat(count));
    ASSERT_TRUE(set.ok()) << set.status();
    ExpectContents(*set, count);
  }
}

TEST_F(SvhnTest, ReadsArraysInAnyOrderUnpackedOrAmongOthers) {
  const std::string other =
      Packed(Array(6, {2, 2}, "meta", 9, std::string(32, '\0')));
  for (const std::string& body :
       {Packed(Y(3)) + Packed(X(3)), X(3) + Y(3),
        other + X(3) + other + Packed(Y(3)) + other}) {
    const auto set = Read(Header() + body);
    ASSERT_TRUE(set.ok()) << set.status();
    ExpectContents(*set, 3);
  }
}

TEST_F(SvhnTest, ReadsLabelsOfEveryType) {
  // 10, 3 as int16, as double.
  std::string doubles("\0\0\0\0\0\0\x24\x40\0\0\0\0\0\0\x08\x40", 16);
  for (const std::string& y :
       {Array(10, {2, 1}, "y", 3, absl::string_view("\x0A\0\x03\0", 4)),
        Array(6, {1, 2}, "y", 9, doubles)}) {
    const auto set = Read(Header() + Packed(X(2)) + Packed(y));
    ASSERT_TRUE(set.ok()) << set.status();
    EXPECT_EQ(set->labels[0].item<int64_t>(), 0);
    EXPECT_EQ(set->labels[1].item<int64_t>(), 3);
  }
}

TEST_F(SvhnTest, StopsAtTheLimit) {
  for (const int limit : {1, 5, 12, 13, 20}) {
    const auto set = Read(Mat(13), limit);
    ASSERT_TRUE(set.ok()) << set.status();
    ExpectContents(*set, std::min(limit, 13));
    EXPECT_EQ(set->labels.size(0), std::min(limit, 13));
  }
}

TEST_F(SvhnTest, TheTrainingSetIsTrainThenExtra) {
  WriteFile(folder_ + "/train_32x32.mat", Mat(3));
  WriteFile(folder_ + "/extra_32x32.mat", Mat(4));
  WriteFile(folder_ + "/test_32x32.mat", Mat(2));
  const auto data = LoadSvhn({.root = folder_});
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train.size(), 7);
  EXPECT_EQ(data->test.size(), 2);
  EXPECT_EQ(data->train.labels[2].item<int64_t>(), 3);
  EXPECT_EQ(data->train.labels[3].item<int64_t>(), 1);
  const auto some =
      LoadSvhn({.root = folder_, .limit_train = 5, .limit_test = 1});
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->train.size(), 5);
  EXPECT_TRUE(at::equal(some->train.images[4], data->train.images[4]));
  EXPECT_EQ(some->test.size(), 1);
}

TEST_F(SvhnTest, NamesAFileThatIsMissing) {
  EXPECT_THAT(LoadSvhn({.root = folder_}),
              FailsNaming(folder_ + "/train_32x32.mat"));
}

TEST_F(SvhnTest, RefusesOtherFiles) {
  std::string hdf5 = Mat(2);
  hdf5[125] = 2;
  EXPECT_THAT(Read(hdf5),
              FailsWith(absl::StrCat(path_,
                                     ": not a MATLAB file of version 5 "
                                     "(little-endian), at byte 124")));
  EXPECT_THAT(Read(""), FailsNaming(path_));
  EXPECT_THAT(Read(Header() + Word(1) + Word(8) + Word(0) + Word(0)),
              FailsWith(absl::StrCat(
                  path_,
                  ": an element of type 1, expected an array, at byte "
                  "128")));
  const std::string no_y = Header() + Packed(X(2));
  EXPECT_THAT(Read(no_y), FailsNaming(path_));
}

TEST_F(SvhnTest, RefusesArraysThatAreNotTheSets) {
  const std::string pixels(kRecord * 2, 'p');
  for (const std::string& x : {Array(9, {32, 32, 1, 2}, "X", 2, pixels),
                               Array(9, {28, 32, 3, 2}, "X", 2, pixels),
                               Array(6, {32, 32, 3, 2}, "X", 2, pixels),
                               Array(9, {32, 32, 3, 3}, "X", 2, pixels),
                               Array(9, {32, 32, 3, 0}, "X", 2, ""),
                               Array(9, {32, 32, 3, 2}, "X", 9, pixels)}) {
    EXPECT_THAT(Read(Header() + Packed(x) + Packed(Y(2))), FailsNaming(path_));
  }
  for (const std::string& y :
       {Y(3), Array(6, {2, 1}, "y", 2, absl::string_view("\x0B\1", 2)),
        Array(6, {2, 2}, "y", 2, absl::string_view("\1\1\1\1", 4)),
        Array(4, {2, 1}, "y", 2, absl::string_view("\1\1", 2)),
        Array(6, {2, 1}, "y", 77, absl::string_view("\1\1", 2))}) {
    EXPECT_THAT(Read(Header() + Packed(X(2)) + Packed(y)), FailsNaming(path_));
  }
}

// Nothing that is cut or has a byte changed crashes, and what is read after
// all is what was written: the text of the header and padding do not count.
TEST_F(SvhnTest, FindsDamage) {
  const std::string good = Mat(3);
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_THAT(Read(good.substr(0, size)), FailsNaming(path_)) << size;
  }
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int change : {1, 0x80}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ change);
      const auto set = Read(bad);
      if (set.ok()) ExpectContents(*set, 3);
    }
  }
}

TEST(ResizeImages, KeepsOneColourAndOrder) {
  at::Tensor images = at::full({3, 3, 32, 32}, 7, at::kByte);
  images[1].fill_(200);
  images[2][1].fill_(9);
  const at::Tensor out = ResizeImages(images, 40);
  ASSERT_EQ(out.sizes(), at::IntArrayRef({3, 3, 40, 40}));
  EXPECT_TRUE(at::equal(out[1], at::full({3, 40, 40}, 200, at::kByte)));
  EXPECT_TRUE(at::equal(out[2][1], at::full({40, 40}, 9, at::kByte)));
  EXPECT_TRUE(at::equal(out[2][2], at::full({40, 40}, 7, at::kByte)));
  EXPECT_TRUE(at::equal(ResizeImages(images, 32), images));
}

}  // namespace
}  // namespace altprop::data
