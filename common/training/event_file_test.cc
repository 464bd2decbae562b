#include "common/training/event_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string NewFolder(const std::string& name) {
  std::string folder = testing::TempDir() + "/" + name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

// An event file's records after the first, which has the version.
std::string AfterVersion(const std::string& path) {
  const std::string contents = Contents(path);
  const auto length = static_cast<size_t>(static_cast<uint8_t>(contents[0]));
  return contents.substr(12 + length + 4);
}

TEST(MaskedCrc32c, HasThePublishedCheckValue) {
  // CRC-32C("123456789") = 0xe3069283, rotated right by 15 and offset.
  EXPECT_EQ(MaskedCrc32c("123456789"), 0xc78ab0e5u);
  EXPECT_EQ(MaskedCrc32c(""), 0xa282ead8u);
}

TEST(TfRecord, FramesBytesWithLengthAndChecksums) {
  const std::string record = TfRecord("123456789");
  EXPECT_EQ(record.size(), 8u + 4 + 9 + 4);
  EXPECT_EQ(absl::BytesToHexString(record.substr(0, 8)), "0900000000000000");
  EXPECT_EQ(record.substr(12, 9), "123456789");
  EXPECT_EQ(absl::BytesToHexString(record.substr(21)), "e5b08ac7");
}

TEST(EventFile, BeginsWithItsVersionAndIsNamedAsTensorBoardExpects) {
  const std::string folder = NewFolder("version");
  const auto file = EventFile::Create(folder);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(
      absl::StartsWith((*file)->path(), folder + "/events.out.tfevents."));
  EXPECT_TRUE(absl::StrContains(Contents((*file)->path()), "brain.Event:2"));
  const auto second = EventFile::Create(folder);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE((*second)->path(), (*file)->path());
}

// What tensorboard 2.21's own protocol buffer classes serialise.
TEST(EventFile, WritesAScalarAsTensorBoardsClassesDo) {
  const auto file = EventFile::Create(NewFolder("scalar"));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->AddScalar("loss/train", 300, 1.5, 0.25).ok());
  EXPECT_EQ(AfterVersion((*file)->path()),
            TfRecord(absl::HexStringToBytes(
                "09000000000000f83f10ac022a130a110a0a6c6f73732f74"
                "7261696e150000803e")));
}

TEST(EventFile, WritesAHistogramAsTensorBoardsClassesDo) {
  const auto file = EventFile::Create(NewFolder("histogram"));
  ASSERT_TRUE(file.ok()) << file.status();
  Histogram h;
  h.min = -1;
  h.max = 3;
  h.finite = 4;
  h.sum = 5;
  h.sum_of_squares = 11;
  h.counts = {1, 3};
  ASSERT_TRUE((*file)->AddHistogram("s", 3, 1.5, h).ok());
  EXPECT_EQ(AfterVersion((*file)->path()),
            TfRecord(absl::HexStringToBytes(
                "09000000000000f83f10032a580a560a01732a5109000000"
                "000000f0bf11000000000000084019000000000000104021"
                "000000000000144029000000000000264032100000000000"
                "00f03f00000000000008403a10000000000000f03f000000"
                "0000000840")));
}

class KeepEventsUpToTest : public testing::Test {
 protected:
  KeepEventsUpToTest() : folder_(NewFolder("keep")) {
    auto file = EventFile::Create(folder_);
    EXPECT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
    version_size_ = Size();
  }
  void AddSteps(int64_t first, int64_t last) {
    for (int64_t step = first; step <= last; ++step) {
      EXPECT_TRUE(file_->AddScalar("loss/train", step, 1, 0.5).ok());
    }
  }
  size_t Size() const { return Contents(file_->path()).size(); }

  std::string folder_;
  std::unique_ptr<EventFile> file_;
  size_t version_size_;
};

TEST_F(KeepEventsUpToTest, DropsLaterSteps) {
  AddSteps(0, 5);
  const std::string six = Contents(file_->path());
  AddSteps(6, 200);
  ASSERT_TRUE(KeepEventsUpTo(folder_, 5).ok());
  EXPECT_EQ(Contents(file_->path()), six);
}

TEST_F(KeepEventsUpToTest, LeavesAFileWithoutLaterStepsAlone) {
  AddSteps(1, 5);
  const auto before = std::filesystem::last_write_time(file_->path());
  ASSERT_TRUE(KeepEventsUpTo(folder_, 5).ok());
  EXPECT_EQ(std::filesystem::last_write_time(file_->path()), before);
}

TEST_F(KeepEventsUpToTest, DropsATornRecordWhereverItIsCut) {
  AddSteps(1, 2);
  const std::string two = Contents(file_->path());
  AddSteps(3, 3);
  const std::string three = Contents(file_->path());
  for (size_t size = two.size(); size < three.size(); ++size) {
    std::filesystem::resize_file(file_->path(), size);
    ASSERT_TRUE(KeepEventsUpTo(folder_, 9).ok());
    ASSERT_EQ(Contents(file_->path()), two) << size;
    std::ofstream(file_->path(), std::ios::binary) << three;
  }
}

TEST_F(KeepEventsUpToTest, DropsWhatFollowsADamagedRecord) {
  AddSteps(1, 3);
  std::string contents = Contents(file_->path());
  contents[version_size_ + 20] ^= 1;  // in the event of step 1
  std::ofstream(file_->path(), std::ios::binary) << contents;
  ASSERT_TRUE(KeepEventsUpTo(folder_, 9).ok());
  EXPECT_EQ(Size(), version_size_);
}

TEST_F(KeepEventsUpToTest, IsHarmlessWithoutEventFiles) {
  const std::string folder = NewFolder("no_events");
  std::ofstream(folder + "/metrics.jsonl") << "text";
  EXPECT_TRUE(KeepEventsUpTo(folder, 1).ok());
  EXPECT_EQ(Contents(folder + "/metrics.jsonl"), "text");
  EXPECT_FALSE(KeepEventsUpTo(folder + "/none", 1).ok());
}

}  // namespace
}  // namespace altprop::training
