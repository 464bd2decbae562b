// Every experiment starts: one minibatch of it with its own flags, on a few
// images, made small by flags that follow.

#include <dirent.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cbp/program_test_util.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::cbp {
namespace {

constexpr char kFolder[] = "cbp/experiments";

std::vector<std::string> FlagFiles() {
  std::vector<std::string> files;
  DIR* folder = opendir(kFolder);
  if (folder == nullptr) return files;
  while (const dirent* entry = readdir(folder)) {
    if (absl::EndsWith(entry->d_name, ".flags")) files.push_back(entry->d_name);
  }
  closedir(folder);
  std::sort(files.begin(), files.end());
  return files;
}

class ExperimentTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ExperimentTest, Starts) {
  const std::string flags =
      testing::ReadFile(absl::StrCat(kFolder, "/", GetParam()));
  const std::string run_dir = testing::NewFolder(GetParam()) + "/run";
  const bool small = absl::StrContains(flags, "--pretrain_epochs");
  const bool mnist = absl::StrContains(flags, "--dataset=mnist");
  std::vector<std::string> arguments = {
      absl::StrCat("--flagfile=", kFolder, "/", GetParam()),
      absl::StrCat("--data_root=cbp/testdata/", !small  ? "images"
                                                : mnist ? "data_mnist"
                                                        : "data_cifar10"),
      "--batch_size=2", "--limit_test=2", absl::StrCat("--run_dir=", run_dir)};
  if (small) {
    // A step in full precision and one under the constraint.
    for (const char* flag : {"--width=2", "--limit_train=2", "--epochs=1",
                             "--pretrain_epochs=1"}) {
      arguments.push_back(flag);
    }
  } else {
    for (const char* flag : {"--width=8", "--max_steps=1", "--workers=1",
                             "--init_from=", "--pretrained=false"}) {
      arguments.push_back(flag);
    }
  }
  const auto result = RunCbp("train", arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_FALSE(testing::ReadFile(run_dir + "/checkpoint.pt").empty());
}

INSTANTIATE_TEST_SUITE_P(, ExperimentTest, ::testing::ValuesIn(FlagFiles()),
                         [](const auto& info) {
                           return info.param.substr(0, info.param.find('.'));
                         });

TEST(Experiments, AreAllThere) { EXPECT_GE(FlagFiles().size(), 23u); }

}  // namespace
}  // namespace altprop::cbp
