// What the programs do beside training and searching.

#include <string>

#include "ATen/TensorOperators.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"
#include "sedona/program_test_util.h"
#include "sedona/test_util.h"
#include "sedona/variables.h"

namespace altprop::sedona {
namespace {

using testing::NewFolder;
using testing::ProgramResult;
using testing::ReadFile;
using training::MetricsLine;

// A search that does not look for auxiliary networks leaves a beta without
// columns, which a training then takes.
TEST(Search, OfAlphaAlone) {
  const std::string root = NewFolder("alpha");
  const ProgramResult result = Start(
      "search", Small(root + "/run") +
                    Arguments{"--name=vgg11", "--no-beta", "--not-load-memory",
                              "--meta-train-iters=2", "--num-inner-steps=1",
                              "--train-iters=4", "--out-dir=" + root});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto found = ReadVariables(root + "/vgg11");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->beta.size(0), 7);
  EXPECT_EQ(found->beta.size(1), 0);
  EXPECT_GT(found->alpha.abs().max().item<double>(), 0);
  const ProgramResult trained =
      Start("evaluate", SmallTraining(root, root + "/train") +
                            Arguments{"--eval-base-dir=" + root + "/vgg11"});
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
}

TEST(Evaluate, TestsTheBestCheckpointAndEnsembles) {
  const std::string root = NewFolder("test");
  ProgramResult result = Start("evaluate", SmallTraining(root, root + "/run"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string trained = result.out.substr(0, result.out.find('\n'));
  EXPECT_TRUE(absl::StartsWith(trained, "test accuracy ")) << result.out;
  const std::string folder = root + "/results/glyphs/0.125/vgg11/3/";
  EXPECT_TRUE(
      absl::StrContains(ReadFile(folder + "results.json"), "\"err@1\""));
  Arguments flags = Small("") + Folders(root);
  flags.back() = root + "/again";
  result = Start("evaluate", flags + Arguments{"-name", "vgg11", "--test",
                                               "--target-num-blocks=3"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, trained + "\n");
  result = Start("evaluate", flags + Arguments{"-name", "vgg11", "--test",
                                               "--target-num-blocks=3",
                                               "--num-ensemble=3"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(
      testing::Exists(root + "/again/glyphs/0.125/vgg11/3/ensemble_3.json"));
}

// bfloat16 keeps 8 bits of a product: the first losses are those of float32 to
// about a hundredth.
TEST(Evaluate, InBfloat16) {
  const auto losses = [](const std::string& precision) {
    const std::string root = NewFolder(precision);
    const ProgramResult result = Start(
        "evaluate", SmallTraining(root, root + "/run") +
                        Arguments{"--precision=" + precision, "--log_every=1",
                                  "--train-iters=2", "--dropout=0"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const MetricsLine line = Lines(root + "/run", "train").at(0);
    return at::tensor({At(line, "loss_block_1"), At(line, "loss_block_2"),
                       At(line, "loss_block_3")},
                      at::kDouble);
  };
  const at::Tensor full = losses("fp32"), half = losses("bf16");
  ExpectClose(half, full, 0.03, "bf16");
  EXPECT_FALSE(half.equal(full));
}

TEST(Evaluate, SweepsAllBlockCounts) {
  const std::string root = NewFolder("sweep");
  const ProgramResult result = Start(
      "evaluate", Small(root + "/run") + Folders(root) +
                      Arguments{"--name=vgg11", "--train-iters=1",
                                "--valid-freq=1", "--target-num-blocks=0"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (int k = 1; k <= 8; ++k) {
    EXPECT_TRUE(
        testing::Exists(absl::StrCat(root, "/run/K", k, "/checkpoint.pt")));
    EXPECT_TRUE(testing::Exists(absl::StrCat(
        root, "/results/glyphs/0.125/vgg11/", k, "/results.json")));
  }
}

TEST(Decode, DrawsTheBlocks) {
  const ProgramResult result =
      Start("decode", {"--name=resnet50", "--target-num-blocks=4",
                       "--eval-base-dir=sedona_outputs/resnet50"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "oooooooooo|o|o|oooo"))
      << result.out;
  EXPECT_TRUE(absl::StrContains(result.out, "560474")) << result.out;
  EXPECT_TRUE(absl::StrContains(result.out, "2180600")) << result.out;
}

}  // namespace
}  // namespace altprop::sedona
