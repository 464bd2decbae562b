#include "common/data/download.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/data/dataset.h"
#include "common/data/md5.h"
#include "common/data/test_bytes.h"
#include "common/data/test_http_server.h"
#include "common/data/test_status.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

using testing::Exists;
using testing::ReadFile;
using testing::WriteFile;

// absl::Status as FailsWith() and FailsNaming() take it.
struct Outcome {
  absl::Status result;
  const absl::Status& status() const { return result; }
};

std::string SomeBytes(size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) {
    bytes.push_back(static_cast<char>(i * 7 + i / 256));
  }
  return bytes;
}

class DownloadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Where libcurl is missing, the one line that says so is tested below.
    if (dlopen("libcurl.so.4", RTLD_NOW) == nullptr) {
      GTEST_SKIP() << "no libcurl.so.4 on this machine";
    }
    setenv("no_proxy", "127.0.0.1", 1);
    options_.base_urls = {server_.url()};
    options_.retry_seconds = 0;
    server_.Serve("file", contents_);
  }

  Outcome Fetch(std::string md5 = "") const {
    if (md5.empty()) md5 = Md5Of(contents_);
    return {Download({RemoteFile{"file", md5}}, folder_, options_)};
  }

  void ExpectInstalled() const {
    ASSERT_TRUE(Exists(folder_ + "/file"));
    EXPECT_EQ(ReadFile(folder_ + "/file"), contents_);
    EXPECT_FALSE(Exists(part_));
  }

  std::string contents_ = SomeBytes(100'000);
  std::string folder_ = testing::NewFolder("download") + "/made/by/it";
  std::string part_ = folder_ + "/file.part";
  TestHttpServer server_;
  DownloadOptions options_;
};

TEST_F(DownloadTest, InstallsAFileWhoseChecksumIsRight) {
  std::vector<std::pair<int64_t, int64_t>> seen;
  options_.progress = [&](const RemoteFile& file, int64_t bytes,
                          int64_t total) {
    EXPECT_EQ(file.name, "file");
    seen.emplace_back(bytes, total);
  };
  EXPECT_TRUE(Fetch().result.ok()) << Fetch().result;
  ExpectInstalled();
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back(), (std::pair<int64_t, int64_t>(100'000, 100'000)));
  EXPECT_EQ(server_.ranges(), std::vector<std::string>{""});
}

TEST_F(DownloadTest, AsksForNothingThatIsThere) {
  ASSERT_TRUE(Fetch().result.ok());
  ASSERT_TRUE(Fetch().result.ok());
  EXPECT_EQ(server_.ranges().size(), 1);
}

TEST_F(DownloadTest, GoesOnAfterACutConnection) {
  server_.CutAfter(30'000, /*times=*/2);
  const Outcome outcome = Fetch();
  EXPECT_TRUE(outcome.result.ok()) << outcome.result;
  ExpectInstalled();
  EXPECT_EQ(server_.ranges(),
            (std::vector<std::string>{"", "bytes=30000-", "bytes=60000-"}));
}

TEST_F(DownloadTest, KeepsThePartForTheNextRunWhenCutTooOften) {
  server_.CutAfter(10'000, /*times=*/3);
  const Outcome outcome = Fetch();
  EXPECT_THAT(outcome, FailsNaming(server_.url() + "file: "));
  EXPECT_THAT(std::string(outcome.result.message()),
              ::testing::HasSubstr("30000 bytes are kept in " + part_));
  EXPECT_FALSE(Exists(folder_ + "/file"));
  EXPECT_EQ(ReadFile(part_), contents_.substr(0, 30'000));
  ASSERT_TRUE(Fetch().result.ok());
  ExpectInstalled();
  EXPECT_EQ(server_.ranges().back(), "bytes=30000-");
}

TEST_F(DownloadTest, StartsAgainWhereTheServerHasNoRanges) {
  server_.CutAfter(30'000, /*times=*/1);
  server_.IgnoreRanges();
  const Outcome outcome = Fetch();
  EXPECT_TRUE(outcome.result.ok()) << outcome.result;
  ExpectInstalled();
}

TEST_F(DownloadTest, TakesAPartThatWasComplete) {
  ASSERT_FALSE(Fetch(std::string(32, '0')).result.ok());  // makes the folder
  WriteFile(part_, contents_);
  const Outcome outcome = Fetch();
  EXPECT_TRUE(outcome.result.ok()) << outcome.result;
  ExpectInstalled();
}

TEST_F(DownloadTest, FetchesAllOfItWhenThePartWasOfAnotherFile) {
  ASSERT_FALSE(Fetch(std::string(32, '0')).result.ok());  // makes the folder
  WriteFile(part_, std::string(500, 'z'));
  const Outcome outcome = Fetch();
  EXPECT_TRUE(outcome.result.ok()) << outcome.result;
  ExpectInstalled();
}

TEST_F(DownloadTest, InstallsNothingWithAWrongChecksum) {
  const std::string wrong = "00112233445566778899aabbccddeeff";
  EXPECT_THAT(Fetch(wrong),
              FailsWith(absl::StrCat(server_.url(), "file: checksum (MD5) ",
                                     Md5Of(contents_), ", expected ", wrong,
                                     "; not installed")));
  EXPECT_FALSE(Exists(folder_ + "/file"));
  EXPECT_FALSE(Exists(part_));
}

TEST_F(DownloadTest, NamesTheUrlThatIsNotThere) {
  const Outcome outcome{
      Download({RemoteFile{"none", std::string(32, '0')}}, folder_, options_)};
  EXPECT_THAT(outcome, FailsNaming(server_.url() + "none: "));
  EXPECT_THAT(std::string(outcome.result.message()),
              ::testing::HasSubstr("404"));
  EXPECT_EQ(server_.ranges().size(), 1);  // not asked for again
  EXPECT_FALSE(Exists(folder_ + "/none.part"));
}

TEST_F(DownloadTest, GoesToTheNextMirror) {
  options_.base_urls = {server_.url() + "nowhere/", "http://127.0.0.1:1/",
                        server_.url()};
  const Outcome outcome = Fetch();
  EXPECT_TRUE(outcome.result.ok()) << outcome.result;
  ExpectInstalled();
}

TEST_F(DownloadTest, LeavesAPartToTheProgramThatHoldsIt) {
  ASSERT_FALSE(Fetch(std::string(32, '0')).result.ok());  // makes the folder
  WriteFile(part_, "");
  const int other = open(part_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(other, LOCK_EX), 0);
  EXPECT_THAT(Fetch(),
              FailsWith(part_ + ": another program is fetching this file"));
  close(other);
  EXPECT_TRUE(Fetch().result.ok());
}

TEST_F(DownloadTest, NamesAFolderItCannotMake) {
  folder_ = "/proc/none";
  EXPECT_THAT(Fetch(), FailsNaming("/proc/none: cannot be made: "));
}

// MNIST's four files by LoadDataset; these are not the published ones.
TEST_F(DownloadTest, LoadDatasetRefusesFilesThatAreNotThePublishedOnes) {
  DatasetOptions options;
  options.name = "mnist";
  options.root = folder_;
  options.download = true;
  options.mirror = server_.url().substr(0, server_.url().size() - 1);
  server_.Serve("train-images-idx3-ubyte.gz", Gzip(IdxImages(1, 28, 28)));
  EXPECT_THAT(LoadDataset(options),
              FailsNaming(server_.url() +
                          "train-images-idx3-ubyte.gz: checksum (MD5) "));
  EXPECT_FALSE(Exists(folder_ + "/MNIST/raw/train-images-idx3-ubyte.gz"));
}

TEST(DownloadWithoutLibcurl, SaysWhatToInstall) {
  DownloadOptions options;
  options.base_urls = {"http://127.0.0.1:1/"};
  options.library = "libdoes-not-exist.so.9";
  const Outcome outcome{Download({RemoteFile{"file", std::string(32, '0')}},
                                 testing::NewFolder("none"), options)};
  EXPECT_THAT(outcome,
              FailsWith("--download needs libdoes-not-exist.so.9, which is not "
                        "installed (Debian and Ubuntu: apt-get install "
                        "libcurl4; Fedora: dnf install libcurl)"));
}

}  // namespace
}  // namespace altprop::data
