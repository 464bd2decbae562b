// Every published command starts: an iteration of it with its own flags,
// on a few images and a narrow network, made small by flags that follow.

#include <dirent.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "common/testing/subprocess.h"
#include "gtest/gtest.h"

namespace altprop::sedona {
namespace {

using testing::NewFolder;

constexpr char kFolder[] = "sedona/experiments";

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

// train/ and val/ with three classes of two images.
std::string ImageFolder(const std::string& root) {
  const std::string a = testing::ReadFile("sedona/testdata/images/a.jpg");
  const std::string b = testing::ReadFile("sedona/testdata/images/b.jpg");
  for (const char* split : {"train", "val"}) {
    for (int c = 0; c < 3; ++c) {
      const std::string folder = absl::StrCat(root, "/", split, "/n", c);
      std::filesystem::create_directories(folder);
      testing::WriteFile(folder + "/a.jpg", a);
      testing::WriteFile(folder + "/b.jpg", b);
    }
  }
  return root;
}

class ExperimentTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ExperimentTest, Starts) {
  const std::string& file = GetParam();
  const std::string root = NewFolder(file);
  const bool memory = absl::StrContains(file, "_memory_");
  const bool search = absl::StrContains(file, "_search_");
  const bool stored = absl::StartsWith(file, "cifar10");
  // Narrower, the first units' auxiliary networks have no channels.
  const bool supernet = memory || search;
  std::vector<std::string> small = {
      supernet ? "--feat_mult=0.25" : "--feat_mult=0.125",
      "--batch_size=3",
      "--valid_batch_size=4",
      "--num_workers=1",
      "--precision=fp32",
      "--device=cpu",
      "--threads=1",
      stored ? "--data_root=sedona/testdata/cifar10"
             : "--data_root=" + ImageFolder(root + "/images")};
  if (stored) {
    small.insert(small.end(), {"--limit_train=12", "--limit_test=4"});
  }
  if (supernet) {
    // Two of the four depths, and few units' worth of time.
    small.insert(small.end(), {"--max_dec_depth=2", "--train_iters=1",
                               "--memory_size=2", "--mem_dir=" + root});
  } else {
    small.insert(small.end(), {"--train_iters=1", "--valid_freq=1",
                               "--fp16=false", "--ckpt_dir=" + root + "/ckpt",
                               "--result_dir=" + root + "/results"});
  }
  if (search) {
    small.insert(small.end(), {"--meta_train_iters=1", "--num_inner_steps=1",
                               "--out_dir=" + root});
  }
  const auto start = [&](std::string name, const std::string& run_dir) {
    std::vector<std::string> command = {
        memory   ? "sedona/init_memory"
        : search ? "sedona/search"
                 : "sedona/evaluate",
        absl::StrCat("--flagfile=", kFolder, "/", name)};
    command.insert(command.end(), small.begin(), small.end());
    command.push_back("--run_dir=" + run_dir);
    return testing::RunProgram(command);
  };
  const bool ensemble = absl::StrContains(file, "_ensemble_");
  if (ensemble) {
    // Tests what its training has left.
    std::string training = file;
    training.erase(training.find("_ensemble"), 9);
    const auto trained = start(training, root + "/trained");
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
  }
  const auto result = start(file, root + "/run");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(testing::Exists(root + "/run/checkpoint.pt"), !ensemble);
  EXPECT_EQ(absl::StartsWith(result.out, "test accuracy "), !memory && !search);
}

INSTANTIATE_TEST_SUITE_P(, ExperimentTest, ::testing::ValuesIn(FlagFiles()),
                         [](const auto& info) {
                           return info.param.substr(0, info.param.find('.'));
                         });

TEST(Experiments, AreAllThere) { EXPECT_EQ(FlagFiles().size(), 60u); }

}  // namespace
}  // namespace altprop::sedona
