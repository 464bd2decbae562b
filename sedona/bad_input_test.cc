// What a user can get wrong: one line on stderr that names what and where, exit
// code 1 (2 for the command line).

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "ATen/ops/zeros.h"
#include "absl/strings/match.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"
#include "sedona/program_test_util.h"
#include "sedona/variables.h"

namespace altprop::sedona {
namespace {

using testing::NewFolder;
using testing::ProgramResult;

void ExpectOneLine(const ProgramResult& result, int exit_code,
                   const Arguments& words) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1)
      << result.err;
  for (const std::string& word : words) {
    EXPECT_TRUE(absl::StrContains(result.err, word))
        << "\"" << word << "\" not in: " << result.err;
  }
}

TEST(BadInput, OfTheCommandLine) {
  const std::string root = NewFolder("bad");
  const auto train = [&](const Arguments& more) {
    return Start("evaluate", SmallTraining(root, root + "/run") + more);
  };
  ExpectOneLine(train({"--name="}), 2, {"--name", "vgg11"});
  ExpectOneLine(train({"--name=vgg12-a"}), 2, {"--name", "vgg12-a", "vgg13"});
  ExpectOneLine(train({"--target-num-blocks=9"}), 2,
                {"--target_num_blocks=9", "at most 8"});
  ExpectOneLine(train({"--target-num-blocks=-1"}), 2, {"--target_num_blocks"});
  ExpectOneLine(train({"--dataset=svhn"}), 2, {"--dataset", "svhn", "cifar10"});
  ExpectOneLine(train({"--feat-mult=0.01"}), 2, {"--feat_mult", "vgg11"});
  ExpectOneLine(train({"--fp16", "--device=cpu"}), 2, {"--fp16", "CUDA"});
  ExpectOneLine(train({"--num-ensemble=2"}), 2, {"--num_ensemble", "--test"});
  ExpectOneLine(train({"--test", "--num-ensemble=4"}), 2, {"--num_ensemble=4"});
  ExpectOneLine(train({"--eval-continuous"}), 2, {"--eval_base_dir"});
  ExpectOneLine(train({"--smoothing=1.5"}), 2, {"--smoothing=1.5"});
  ExpectOneLine(train({"--max-dec-depth=0"}), 2, {"--max_dec_depth=0"});
  ExpectOneLine(train({"--valid-size=0.001"}), 2, {"--valid_size", "none"});
  ExpectOneLine(train({"--blocks=3"}), 2, {"--blocks", "unknown flag"});
  ExpectOneLine(Start("search", Small(root + "/run") +
                                    Arguments{"--name=vgg11", "--no-beta",
                                              "--baseline-dec-type=predsim"}),
                2, {"--no_beta", "predsim"});
  ExpectOneLine(
      Start("search", Small(root + "/run") +
                          Arguments{"--name=vgg11", "--meta-optimizer=lion"}),
      2, {"--meta_optimizer", "lion", "adam"});
}

TEST(BadInput, OfFiles) {
  const std::string root = NewFolder("bad");
  const auto train = [&](const Arguments& more) {
    return Start("evaluate", SmallTraining(root, root + "/run") + more);
  };
  ExpectOneLine(train({"--eval-base-dir=" + root + "/nowhere"}), 1,
                {"nowhere", "alpha.pt", "sedona_outputs/vgg19"});
  ExpectOneLine(train({"--eval-base-dir=sedona_outputs/vgg19"}), 1,
                {"alpha is [15, 2]", "[7, 2]"});
  const std::string found = root + "/found";
  ASSERT_TRUE(
      WriteVariables(found, {at::zeros({7, 2}), at::zeros({7, 3})}).ok());
  ExpectOneLine(train({"--eval-base-dir=" + found}), 1,
                {"found", "beta is [7, 3]", "[7, 4]"});
  testing::WriteFile(found + "/alpha.pt", "not a checkpoint");
  ExpectOneLine(train({"--eval-base-dir=" + found}), 1, {"found/alpha.pt"});
  ASSERT_EQ(std::remove((found + "/alpha.pt").c_str()), 0);
  testing::WriteFile(found + "/alpha.txt", "1 2\n3 x\n");
  ExpectOneLine(train({"--eval-base-dir=" + found}), 1,
                {"found/alpha.txt", "\"x\"", "row 1"});
  ExpectOneLine(train({"--test"}), 1, {"vgg11_3_model_best.pth.tar"});
  ExpectOneLine(train({"--dataset=cifar10", "--data_root=" + root}), 1, {root});
}

TEST(BadInput, AMemoryOfOtherSettings) {
  const std::string root = NewFolder("bad");
  const Arguments flags = {"--name=resnet18",   "--train-iters=2",
                           "--memory-size=2",   "--max-dec-depth=1",
                           "--mem-dir=" + root, "--lr=0.01"};
  const ProgramResult filled =
      Start("init_memory", Small(root + "/memory_run") + flags);
  ASSERT_EQ(filled.exit_code, 0) << filled.err;
  ExpectOneLine(
      Start("search", Small(root + "/run") + flags +
                          Arguments{"--max-dec-depth=2", "--out-dir=" + root}),
      1, {"--max_dec_depth=1", "not 2"});
}

}  // namespace
}  // namespace altprop::sedona
