// Every published experiment starts: one minibatch of it with its own flags, on
// a few images, made small by flags that follow.

#include <dirent.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "eqprop/program_test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

constexpr char kFolder[] = "eqprop/experiments";

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
  std::vector<std::string> arguments = {
      absl::StrCat("--flagfile=", kFolder, "/", GetParam()),
      "--T1=6",
      "--T2=3",
      "--mbs=8",
      "--limit_train=16",
      "--limit_test=8",
      "--max_steps=1",
      absl::StrCat("--run_dir=", run_dir)};
  const bool mnist = absl::StrContains(flags, "--task=MNIST");
  arguments.push_back(
      absl::StrCat("--data_root=eqprop/testdata/",
                   mnist ? "traj_mlp_mnist" : "traj_cifar_data"));
  if (!absl::StrContains(flags, "--model=MLP")) {
    // As many convolutions as there are pools.
    const size_t at = flags.find("--pools=") + 8;
    arguments.push_back("--channels");
    arguments.insert(arguments.end(), flags.find('\n', at) - at, "4");
  }
  const auto result = RunTrain(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const bool check = absl::StrContains(flags, "--todo=gducheck");
  EXPECT_FALSE(
      testing::ReadFile(run_dir + (check ? "/estimates.pt" : "/checkpoint.pt"))
          .empty());
  EXPECT_EQ(absl::StrContains(result.out, "RMSE"),
            check || absl::StrContains(flags, "--check_thm"));
}

INSTANTIATE_TEST_SUITE_P(, ExperimentTest, ::testing::ValuesIn(FlagFiles()),
                         [](const auto& info) {
                           return info.param.substr(0, info.param.find('.'));
                         });

TEST(Experiments, AreAllThere) { EXPECT_GE(FlagFiles().size(), 22u); }

}  // namespace
}  // namespace altprop::eqprop
