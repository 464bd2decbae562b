// Every published experiment starts: one minibatch of it with its own flags, on
// a few images, made small by flags that follow.

#include <dirent.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/testing/files.h"
#include "ftprop/program_test_util.h"
#include "gtest/gtest.h"

namespace altprop::ftprop {
namespace {

constexpr char kFolder[] = "ftprop/experiments";

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
  const std::string folder = testing::NewFolder(GetParam());
  const std::string run_dir = folder + "/run";
  const bool imagenet = absl::StrContains(flags, "--ds=imagenet");
  if (imagenet) WriteImageFolder(folder, 2);
  std::vector<std::string> arguments = {
      absl::StrCat("--flagfile=", kFolder, "/", GetParam()), "--batch=2",
      "--limit_train=4", "--limit_test=4", "--max_steps=1",
      "--layer_statistics=false",
      absl::StrCat("--data_root=",
                   imagenet ? folder : "ftprop/testdata/cifar10"),
      // AlexNet's checkpoint is 750 MB.
      imagenet ? "--no-save" : absl::StrCat("--run_dir=", run_dir)};
  const auto result = RunTrain(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(testing::Exists(run_dir + "/checkpoint.pt"), !imagenet);
  // The CIFAR-10 experiments end with a test.
  EXPECT_EQ(absl::StrContains(result.out, "final model"), !imagenet);
}

INSTANTIATE_TEST_SUITE_P(, ExperimentTest, ::testing::ValuesIn(FlagFiles()),
                         [](const auto& info) {
                           return info.param.substr(0, info.param.find('.'));
                         });

// 24 rows, two of them twice.
TEST(Experiments, AreAllThere) { EXPECT_EQ(FlagFiles().size(), 26u); }

// The README's commands as they are printed there, from after the program's
// name on.
TEST(Commands, AreReadAsTheyStand) {
  for (const char* command :
       {"--ds=cifar10 --arch=convnet4 --wtdecay=5e-4 --lr-decay=0.1 "
        "--epochs=300 --momentum=0.9 --opt=adam --lr=0.00025 "
        "--nonlin=step11 --tp-rule=SoftHinge --loss=crossent --no-val "
        "--plot-test --lr-decay-epochs 200 250 --nworkers=6 "
        "--test-final-model --download",
        "--ds=cifar10 --arch=convnet8 --use-bn --lr=0.001 --wtdecay 5e-4 "
        "--opt adam --nonlin threshrelu --lr-decay-epochs 200 250 --gpus 0 1 "
        "--no-cuda --no-tb-log --seed 7",
        "--ds=imagenet --data-root=/nowhere --arch=alexnet_drf --use-bn "
        "--batch=128 --epochs=80 --lr-decay-epochs 56 64 --opt=adam "
        "--lr=0.0001 --wtdecay=5e-6 --nonlin=step11 --tp-rule=SSTE --no-val "
        "--plot-test --nworkers=12",
        "--ds=imagenet --data-root=/nowhere --arch=resnet18 --use-bn "
        "--batch=256 --epochs=90 --lr-decay-epochs 30 60 --opt=sgd --lr=0.1 "
        "--wtdecay=1e-5 --nonlin=staircase --no-val --plot-test"}) {
    std::vector<std::string> arguments =
        absl::StrSplit(command, ' ', absl::SkipEmpty());
    arguments.push_back("--check_flags");
    const auto result = RunTrain(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
}

}  // namespace
}  // namespace altprop::ftprop
