// The ImageNet programs on a handful of small photographs.

#include <cstdlib>
#include <string>
#include <vector>

#include "ATen/ops/equal.h"
#include "ATen/ops/scalar_tensor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "common/testing/subprocess.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"
#include "iterbin/program_test_util.h"

namespace altprop::iterbin {
namespace {

using testing::Exists;
using testing::ReadFile;

// 12 training images of 3 classes: 3 batches of 4, the last one of 2 epochs.
std::vector<std::string> Arguments(const std::string& run_dir,
                                   const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"iterbin/testdata/images",
                                        testing::NewFolder("logs"),
                                        "--image_size=64",
                                        "--batch-size=4",
                                        "--epochs=2",
                                        "--lr=0.01",
                                        "--lr-milestones",
                                        "[1]",
                                        "--threads=1",
                                        "-j",
                                        "2",
                                        absl::StrCat("--run_dir=", run_dir)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

const std::vector<std::string> kLayers = {
    "--binarize", "--layers-json=resnet21_layers_ascend.json",
    "--epochs-per-layer=1"};

std::vector<std::string> With(std::vector<std::string> flags,
                              const std::vector<std::string>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

TEST(ImageNet, TrainsLayerByLayer) {
  const std::string folder = testing::NewFolder("layer");
  const std::string run = folder + "/run";
  const auto result = RunTool(
      "main_imagenet_binary",
      Arguments(run, With(kLayers,
                          {"--save-checkpoint", "--checkpoint-interval=1"})));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  // Positions in module order; layer 13 is the first of the ascend order.
  EXPECT_TRUE(absl::StrContains(result.out, "Layer    1  7 10 13 16 20"));
  EXPECT_TRUE(absl::StrContains(
      result.out, "Binary   0  0  0  0  0  0  0  0  0  0  0  0  1  0"));
  EXPECT_TRUE(absl::StrContains(
      result.out, "Binary   0  0  0  0  0  0  0  0  0  1  0  0  1  0"));
  EXPECT_TRUE(absl::StrContains(result.out, "Epoch 1 LR 0.001"));
  EXPECT_TRUE(absl::StrContains(result.out, "Epoch: [0][0/3]\tTime"));
  EXPECT_TRUE(absl::StrContains(result.out, " * Acc@1 "));
  const auto val = Lines(run, "val");
  ASSERT_EQ(val.size(), 2u);
  EXPECT_GE(At(val[1], "accuracy5"), At(val[1], "accuracy"));
  for (const char* file : {"checkpoint.pth.tar", "model_best.pth.tar",
                           "checkpoint0.pth.tar", "checkpoint1.pth.tar"}) {
    EXPECT_TRUE(Exists(absl::StrCat(run, "/", file))) << file;
  }
  // The masters survive every evaluation.
  const auto end = training::LoadCheckpoint(run + "/checkpoint.pt");
  ASSERT_TRUE(end.ok());
  const at::Tensor binary =
      *end->Find("model")->Find("layer3.0.downsample.0.weight")->tensor();
  EXPECT_FALSE(at::equal(binary, binary.sign()));

  // --evaluate: under the flags of the last epoch, or as the authors' does
  // without any.
  std::vector<std::string> scores;
  for (const char* semantics : {"corrected", "reference"}) {
    const auto evaluated =
        RunTool("main_imagenet_binary",
                {"iterbin/testdata/images", "--evaluate", "--threads=1",
                 "--resume=" + run, absl::StrCat("--semantics=", semantics)});
    ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
    const size_t loss = evaluated.out.find("Loss ");
    ASSERT_NE(loss, std::string::npos) << evaluated.out;
    scores.push_back(evaluated.out.substr(loss, 15));
  }
  EXPECT_NE(scores[0], scores[1]);
  // Also where all are binary: reference scores the masters.
  std::string masters;
  for (const char* semantics : {"corrected", "reference"}) {
    const auto evaluated =
        RunTool("main_imagenet_binary",
                {"iterbin/testdata/images", "--image_size=64", "--batch-size=4",
                 "--evaluate", "--threads=1", "--binarize", "--all-binary",
                 "--init_from=" + run + "/checkpoint.pt",
                 absl::StrCat("--semantics=", semantics)});
    ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
    const size_t loss = evaluated.out.find("Loss ");
    ASSERT_NE(loss, std::string::npos) << evaluated.out;
    masters = evaluated.out.substr(loss, 15);
    EXPECT_EQ(masters == scores[1], semantics == std::string("reference"))
        << masters << " " << scores[1];
  }
}

TEST(ImageNet, ResumesToTheSameBytes) {
  const std::string folder = testing::NewFolder("resume");
  const std::vector<std::string> flags = With(kLayers, {"--seed=3"});
  ASSERT_EQ(RunTool("main_imagenet_binary", Arguments(folder + "/whole", flags))
                .exit_code,
            0);
  for (const int steps : {2, 3, 6}) {
    const std::string run = absl::StrCat(folder, "/stop", steps);
    ASSERT_EQ(
        RunTool(
            "main_imagenet_binary",
            Arguments(run, With(flags, {absl::StrCat("--max_steps=", steps)})))
            .exit_code,
        0);
    const auto result =
        RunTool("main_imagenet_binary",
                {"iterbin/testdata/images", "--resume", run, "--threads=1"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(ReadFile(run + "/checkpoint.pt") ==
                ReadFile(folder + "/whole/checkpoint.pt"));
  }
}

TEST(ImageNet, ResumesFromTheAuthorsFiles) {
  const std::string folder = testing::NewFolder("authors");
  ASSERT_EQ(
      RunTool("main_imagenet_float",
              Arguments(folder + "/first", {"--save-checkpoint", "--epochs=1"}))
          .exit_code,
      0);
  const auto result =
      RunTool("main_imagenet_float",
              Arguments(folder + "/second",
                        {"--resume", folder + "/first/checkpoint.pth.tar"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_FALSE(absl::StrContains(result.out, "Epoch 0 LR"));
  EXPECT_TRUE(absl::StrContains(result.out, "Epoch 1 LR 0.001"));
}

// A run that goes on from a file of the authors' is one of its own; so is one
// of ours with LOGDIR. Nothing is written to where the file lies.
TEST(ImageNet, ResumedRunsWriteUnderTheLogFolder) {
  const std::string folder = testing::NewFolder("apart");
  const std::string first = folder + "/first";
  ASSERT_EQ(RunTool("main_imagenet_float",
                    Arguments(first, {"--save-checkpoint", "--epochs=1"}))
                .exit_code,
            0);
  const std::string ours = ReadFile(first + "/checkpoint.pt");
  const std::string theirs = ReadFile(first + "/checkpoint.pth.tar");
  const std::string metrics = ReadFile(first + "/metrics.jsonl");
  for (const char* file : {"checkpoint.pth.tar", "checkpoint.pt"}) {
    const std::string logs = absl::StrCat(folder, "/from-", file);
    // The list before DATA and LOGDIR, as the authors' scripts have it.
    const auto result =
        RunTool("main_imagenet_float",
                {"--resume", absl::StrCat(first, "/", file), "--image_size=64",
                 "--batch-size=4", "--epochs=2", "--lr=0.01", "--threads=1",
                 "--save-checkpoint", "--lr-milestones", "[1]",
                 "iterbin/testdata/images", logs});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(absl::StrContains(result.out, "Epoch 1 LR 0.001"));
    EXPECT_TRUE(absl::StrContains(
        result.out, absl::StrCat("run directory: ", logs, "/lr0.01-ep2_20")))
        << result.out;
  }
  EXPECT_TRUE(ReadFile(first + "/checkpoint.pt") == ours);
  EXPECT_TRUE(ReadFile(first + "/checkpoint.pth.tar") == theirs);
  EXPECT_EQ(ReadFile(first + "/metrics.jsonl"), metrics);
}

// best_acc1 as a tensor of one element, and to the nearest image: 1 of 6 is
// 16.66..., a little less than it in single precision.
TEST(ImageNet, ReadsTheAuthorsBestAccuracy) {
  const std::string folder = testing::NewFolder("best");
  ASSERT_EQ(
      RunTool("main_imagenet_float",
              Arguments(folder + "/first", {"--save-checkpoint", "--epochs=1"}))
          .exit_code,
      0);
  auto root = training::LoadCheckpoint(folder + "/first/checkpoint.pth.tar");
  ASSERT_TRUE(root.ok()) << root.status();
  const auto settings =
      root->Find("optimizer")->Find("param_groups")->list()->front();
  EXPECT_EQ(*settings.GetDouble("momentum"), 0.9);
  const int64_t images = 6;
  for (const int64_t correct : {1, 5}) {
    training::Dict entries = *root->dict();
    for (auto& [key, value] : entries) {
      if (key != "best_acc1") continue;
      value = at::scalar_tensor(static_cast<float>(correct) * 100 /
                                static_cast<float>(images));
    }
    const std::string file = folder + "/theirs.tar";
    ASSERT_TRUE(training::SaveCheckpoint(file, entries).ok());
    // No epoch is left to train.
    const std::string run = absl::StrCat(folder, "/run", correct);
    const auto result =
        RunTool("main_imagenet_float",
                Arguments(run, {"--resume", file, "--epochs=1"}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto end = training::LoadCheckpoint(run + "/checkpoint.pt");
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_EQ(*end->Find("best")->GetInt("correct"), correct);
  }
}

TEST(ImageNet, NamesTheFolderAndDryRuns) {
  const std::string logs = testing::NewFolder("named");
  const auto result =
      RunTool("main_imagenet_binary",
              {"iterbin/testdata/images", logs, "--image_size=64",
               "--batch-size=2", "--epochs=1", "--lr=0.01", "--threads=1",
               "--binarize", "--all-binary", "--dry-run"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(
      result.out, absl::StrCat(logs, "/lr0.01-ep1-all_binary-dryrun_20")))
      << result.out;
  EXPECT_TRUE(absl::StrContains(result.out, "Binarize all"));
  EXPECT_TRUE(absl::StrContains(result.out, "/3]"));
}

TEST(ImageNet, BadInput) {
  const std::string run = testing::NewFolder("bad") + "/run";
  const auto fails = [&](const std::vector<std::string>& more, int exit_code,
                         const std::vector<std::string>& words) {
    ExpectError(RunTool("main_imagenet_binary", Arguments(run, more)),
                exit_code, words);
  };
  fails({"--world-size=2"}, 2, {"--world_size=2", "one device"});
  ExpectError(
      testing::RunProgram(Command("main_imagenet_float", Arguments(run)),
                          {{"WORLD_SIZE", "4"}}),
      2, {"WORLD_SIZE=4", "one process"});
  fails({"--multiprocessing-distributed"}, 2, {"one device"});
  fails({"--lr-milestones", "[5,5]"}, 2, {"--lr_milestones=[5,5]"});
  fails({"--dataset=mnist"}, 2, {"--dataset=mnist", "imagenet"});
  fails({"--binarize", "--layers-json=none.json"}, 1, {"none.json"});
  // Without --binarize the file is not read.
  EXPECT_EQ(
      RunTool("main_imagenet_binary",
              Arguments(run, {"--layers-json=none.json", "--max_steps=1"}))
          .exit_code,
      0);
  ExpectError(RunTool("main_imagenet_float", Arguments(run, {"--binarize"})), 2,
              {"binarize"});
}

class Script : public ::testing::TestWithParam<std::vector<std::string>> {};

TEST_P(Script, Starts) {
  std::vector<std::string> command = GetParam();
  const std::string folder = testing::NewFolder("script");
  command[0] = "iterbin/scripts/imagenet/" + command[0] + ".sh";
  command.insert(command.end(),
                 {"--image_size=64", "--batch-size=4", "--max_steps=1",
                  "--threads=1", absl::StrCat("--run_dir=", folder, "/run")});
  const auto result =
      testing::RunProgram(command, {{"BUILD_WORKING_DIRECTORY", folder}});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(Exists(folder + "/run/checkpoint.pt"));
  EXPECT_TRUE(Exists(folder + "/logs/imagenet/full"));
}

std::string Images() {
  return absl::StrCat(std::getenv("TEST_SRCDIR"), "/",
                      std::getenv("TEST_WORKSPACE"),
                      "/iterbin/testdata/images");
}

INSTANTIATE_TEST_SUITE_P(
    , Script,
    ::testing::Values(std::vector<std::string>{"float", "full", Images(), "2",
                                               "[1]", "0.01"},
                      std::vector<std::string>{"binary", "full", Images(), "2",
                                               "[1]", "0.01"},
                      std::vector<std::string>{"layer", "full", Images(), "2",
                                               "[1]", "1", "forward", "0.01"}));

}  // namespace
}  // namespace altprop::iterbin
