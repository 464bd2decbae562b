#include "common/data/cifar.h"

#include <sys/stat.h>

#include <string>
#include <utility>
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
using Members = std::vector<std::pair<std::string, std::string>>;

constexpr int kRecord = 1 + 3 * 32 * 32;

// Five files of 1 to 5 records, and a test file of 2.
Members Cifar10Members() {
  Members members;
  for (int i = 1; i <= 5; ++i) {
    members.emplace_back(absl::StrCat("data_batch_", i, ".bin"),
                         CifarRecords(i, /*coarse=*/false));
  }
  members.emplace_back("test_batch.bin", CifarRecords(2, /*coarse=*/false));
  return members;
}

Members WithFolder(const Members& members, const std::string& folder) {
  Members renamed = {{folder, ""}};
  for (const auto& [name, contents] : members) {
    renamed.emplace_back(folder + name, contents);
  }
  return renamed;
}

void ExpectCifar10(const Dataset& dataset) {
  EXPECT_EQ(dataset.name, "cifar10");
  EXPECT_EQ(dataset.train.classes, 10);
  ASSERT_EQ(dataset.train.images.sizes(),
            (std::vector<int64_t>{15, 3, 32, 32}));
  ASSERT_EQ(dataset.test.images.sizes(), (std::vector<int64_t>{2, 3, 32, 32}));
  const std::vector<int> record = {0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4};
  for (int i = 0; i < 15; ++i) {
    EXPECT_EQ(dataset.train.labels[i].item<int64_t>(), record[i]);
    const auto* pixels = dataset.train.images[i].const_data_ptr<uint8_t>();
    for (const int p : {0, 1000, 3071}) {
      EXPECT_EQ(pixels[p], (record[i] + p) % 256);
    }
  }
}

class CifarTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::string path = absl::StrCat(folder_, "/", name);
    WriteFile(path, bytes);
    return path;
  }

  std::string folder_ = NewFolder("cifar");
};

TEST_F(CifarTest, ReadsAFolder) {
  for (const auto& [name, contents] : Cifar10Members()) Write(name, contents);
  const auto read = ReadCifarFolder(Cifar10(), folder_);
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectCifar10(*read);
}

TEST_F(CifarTest, ReadsAnArchivePackedOrNotInAnyOrder) {
  Members members = WithFolder(Cifar10Members(), "cifar-10-batches-bin/");
  std::swap(members[2], members[5]);
  members.emplace_back("cifar-10-batches-bin/readme.html", "<p>hello</p>");
  for (const std::string& path :
       {Write("a.tar.gz", Gzip(Tar(members))), Write("b.tar", Tar(members))}) {
    const auto read = ReadCifarArchive(Cifar10(), path);
    ASSERT_TRUE(read.ok()) << read.status();
    ExpectCifar10(*read);
  }
}

TEST_F(CifarTest, TakesCifar100sFineLabels) {
  const Members members = {{"train.bin", CifarRecords(103, true)},
                           {"test.bin", CifarRecords(1, true)}};
  for (const auto& [name, contents] : members) Write(name, contents);
  for (const auto& read :
       {ReadCifarFolder(Cifar100(), folder_),
        ReadCifarArchive(Cifar100(), Write("a.tar.gz", Gzip(Tar(members))))}) {
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->train.classes, 100);
    ASSERT_EQ(read->train.size(), 103);
    EXPECT_EQ(read->train.labels[99].item<int64_t>(), 99);
    EXPECT_EQ(read->train.labels[102].item<int64_t>(), 2);
    EXPECT_EQ(read->train.images[102][0][0][1].item<int>(), 103);
  }
}

TEST_F(CifarTest, NamesAFileOfBrokenRecords) {
  for (const auto& [name, contents] : Cifar10Members()) Write(name, contents);
  auto path =
      Write("data_batch_3.bin", CifarRecords(3, false).substr(0, kRecord + 9));
  EXPECT_THAT(ReadCifarFolder(Cifar10(), folder_),
              FailsWith(path + ": 3082 bytes, expected one or more records of "
                               "3073 bytes, at byte 3073"));
  path = Write("data_batch_3.bin", "");
  EXPECT_THAT(ReadCifarFolder(Cifar10(), folder_),
              FailsWith(path + ": 0 bytes, expected one or more records of "
                               "3073 bytes, at byte 0"));
  ASSERT_EQ(remove(path.c_str()), 0);
  EXPECT_THAT(ReadCifarFolder(Cifar10(), folder_),
              FailsWith(path + ": cannot be read: No such file or directory"));
}

TEST_F(CifarTest, NamesLabelsOutOfRange) {
  for (const auto& [name, contents] : Cifar10Members()) Write(name, contents);
  std::string bytes = CifarRecords(600, false);
  bytes[599 * kRecord] = 10;
  auto path = Write("test_batch.bin", bytes);
  EXPECT_THAT(ReadCifarFolder(Cifar10(), folder_),
              FailsWith(path + ": label 10, expected 0 to 9, at byte 1840727"));
  bytes = CifarRecords(2, true);
  bytes[kRecord + 1] = 20;
  path = Write("train.bin", bytes);
  Write("test.bin", CifarRecords(1, true));
  EXPECT_THAT(
      ReadCifarFolder(Cifar100(), folder_),
      FailsWith(path + ": coarse label 20, expected 0 to 19, at byte 3074"));
  bytes[kRecord + 1] = 1;
  bytes[1] = 100;
  path = Write("train.bin", bytes);
  EXPECT_THAT(ReadCifarFolder(Cifar100(), folder_),
              FailsWith(path + ": label 100, expected 0 to 99, at byte 1"));
}

TEST_F(CifarTest, RefusesAPackedFileAmongPlainOnes) {
  for (const auto& [name, contents] : Cifar10Members()) Write(name, contents);
  const auto path = Write("test_batch.bin", Gzip(CifarRecords(1, false)));
  EXPECT_THAT(ReadCifarFolder(Cifar10(), folder_),
              FailsWith(path + ": gzip data, expected the unpacked file, at "
                               "byte 0 of the unpacked data"));
}

TEST_F(CifarTest, NamesWhatAnArchiveLacksOrHasTwice) {
  Members members = Cifar10Members();
  members.erase(members.begin() + 1);
  auto path = Write("a.tar", Tar(members));
  EXPECT_THAT(ReadCifarArchive(Cifar10(), path),
              FailsNaming(path + ": no data_batch_2.bin in this archive"));
  members = Cifar10Members();
  members.push_back(members.front());
  path = Write("a.tar.gz", Gzip(Tar(members)));
  EXPECT_THAT(ReadCifarArchive(Cifar10(), path),
              FailsNaming(path + ": a second data_batch_1.bin, at byte "));
}

TEST_F(CifarTest, NamesTheMemberThatIsWrong) {
  Members members = Cifar10Members();
  members[1].second[0] = 77;
  const auto path = Write("a.tar", Tar(members));
  EXPECT_THAT(ReadCifarArchive(Cifar10(), path),
              FailsWith(path + ": data_batch_2.bin: label 77, expected 0 to 9, "
                               "at byte 4608"));
}

TEST_F(CifarTest, NamesDamageToTheArchive) {
  const std::string tar = Tar(Cifar10Members());
  auto path = Write("a.tar", tar.substr(0, tar.size() - 1024));
  EXPECT_THAT(ReadCifarArchive(Cifar10(), path),
              FailsWith(absl::StrCat(path,
                                     ": ends early: 512 of 512 bytes "
                                     "missing of a tar header, at byte ",
                                     tar.size() - 1024)));
  path = Write("a.tar", tar + "x");
  EXPECT_THAT(ReadCifarArchive(Cifar10(), path), FailsNaming(path));
  path = Write("a.tar", tar + std::string(512, 'x'));
  EXPECT_THAT(ReadCifarArchive(Cifar10(), path),
              FailsWith(absl::StrCat(path,
                                     ": the tar archive ends but the file goes "
                                     "on, at byte ",
                                     tar.size())));
  std::string flipped = tar;
  flipped[3] ^= 1;
  path = Write("a.tar", flipped);
  EXPECT_THAT(ReadCifarArchive(Cifar10(), path),
              FailsWith(path + ": tar header with a wrong checksum, at byte "
                               "0"));
}

// Neither a huge member that belongs to nobody nor endless padding is unpacked.
TEST_F(CifarTest, StopsArchivesThatUnpackWithoutEnd) {
  Members members = Cifar10Members();
  members.emplace_back("big", std::string(50'000'000, '\0'));
  auto path = Write("a.tar.gz", Gzip(Tar(members), 1));
  EXPECT_THAT(ReadCifarArchive(Cifar10(), path),
              FailsNaming(path + ": big: 50000000 bytes that are not part of "
                                 "cifar10"));
  path = Write("a.tar.gz",
               Gzip(Tar(Cifar10Members()) + std::string(50'000'000, '\0'), 1));
  EXPECT_THAT(ReadCifarArchive(Cifar10(), path),
              FailsNaming(path + ": the tar archive ends but the file goes "
                                 "on"));
}

}  // namespace
}  // namespace altprop::data
