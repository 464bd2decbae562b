// What the other programs read and write: the authors' checkpoint, exported
// levels, converted weights.

#include <cmath>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/max.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cbp/program_test_util.h"
#include "cbp/test_util.h"
#include "cbp/weights_file.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "common/training/safetensors.h"
#include "gtest/gtest.h"

namespace altprop::cbp {
namespace {

using testing::ProgramResult;

constexpr char kReference[] = "cbp/testdata/evaluate/reference_checkpoint.pth";

std::string Labels(const std::string& out) {
  // All of it but the distance to the levels.
  return out.substr(0, out.find("cfs"));
}

// The authors' evaluate.py printed these counts.
TEST(Evaluate, TheAuthorsCheckpoint) {
  const ProgramResult result =
      RunCbp("evaluate",
             {"--model=mnist_cnn", "--width=2", "--quant=1bit",
              "--dataset=mnist", "--data_root=cbp/testdata/data_mnist",
              "--precision=fp64", absl::StrCat("--checkpoint=", kReference)});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "top1 29  top5 42  of 64"))
      << result.out;
}

// Levels as the authors' forward pass used them, bit for bit; then a file of
// which numpy can unpack them, with the same answers.
TEST(Export, HoldsTheAuthorsLevels) {
  const std::string file = testing::NewFolder("levels") + "/levels.safetensors";
  ProgramResult result =
      RunCbp("export", {"--model=mnist_cnn", "--width=2", "--quant=1bit",
                        absl::StrCat("--checkpoint=", kReference),
                        absl::StrCat("--output=", file)});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "packed in 3 bits")) << result.out;
  EXPECT_TRUE(absl::StrContains(result.out, " 0 ties")) << result.out;
  const auto weights = ReadWeightsFile(file);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const Golden golden("evaluate/quantised_weights.pt");
  int compared = 0;
  for (const auto& [name, value] : *weights) {
    if (!absl::EndsWith(name, ".weight")) continue;
    const std::string key = name.substr(0, name.size() - 7) + ".q";
    if (!golden.Has(key)) continue;
    const at::Tensor expected = golden.Get(key);
    ExpectEqual(value.tensor()->narrow(0, 0, expected.size(0)),
                expected.to(at::kFloat), key);
    ++compared;
  }
  EXPECT_EQ(compared, 2);

  const auto evaluate = [&](const std::string& checkpoint) {
    result = RunCbp("evaluate",
                    {"--model=mnist_cnn", "--width=2", "--quant=1bit",
                     "--dataset=mnist", "--data_root=cbp/testdata/data_mnist",
                     absl::StrCat("--checkpoint=", checkpoint)});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return Labels(result.out);
  };
  EXPECT_EQ(evaluate(file), evaluate(kReference));
}

TEST(Export, OfATrainedRunGivesTheTestAccuracyOfItsLastEpoch) {
  const std::string folder = testing::NewFolder("run");
  testing::WriteMnist(folder, 60, 40);
  const std::string run = folder + "/run", file = folder + "/w.safetensors";
  ASSERT_EQ(
      RunCbp("train", SmallRun(folder, run, {"--export=" + file})).exit_code,
      0);
  const double accuracy = ValueOf(MetricsOf(run, "test").back(), "accuracy");
  const std::string expected = absl::StrCat("top1 ", accuracy * 40, " ");
  for (const std::string& checkpoint : {run + "/checkpoint.pt", file}) {
    // Both know their network and levels.
    std::vector<std::string> arguments = {"--checkpoint=" + checkpoint,
                                          "--data_root=" + folder,
                                          "--batch_size=10", "--threads=1"};
    if (checkpoint == file) arguments.push_back("--dataset=mnist");
    const ProgramResult result = RunCbp("evaluate", arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(absl::StrContains(result.out, expected))
        << result.out << expected;
    EXPECT_TRUE(absl::StrContains(
        result.out, absl::StrFormat("of 40  (%.2f %%, ", 100 * accuracy)))
        << result.out;
    EXPECT_TRUE(absl::StrContains(result.out, "cfs_over_s")) << result.out;
  }
}

// What has no scales is evaluated as it was trained, and on levels where asked.
TEST(Evaluate, FullPrecisionUnlessLevelsAreAskedFor) {
  const std::string folder = testing::NewFolder("plain");
  testing::WriteMnist(folder, 60, 40);
  const std::string run = folder + "/run", first = folder + "/first.pt";
  ASSERT_EQ(RunCbp("train", SmallRun(folder, run)).exit_code, 0);
  ASSERT_EQ(
      RunCbp("train", SmallRun(folder, folder + "/part", {"--max_steps=3"}))
          .exit_code,
      0);
  const std::string exported = folder + "/plain.safetensors";
  ASSERT_EQ(RunCbp("export", {"--checkpoint=" + run + "/full_precision.pt",
                              "--output=" + exported})
                .exit_code,
            0);
  const auto evaluate = [&](const std::string& checkpoint,
                            const std::string& more) {
    const ProgramResult result =
        RunCbp("evaluate", {"--checkpoint=" + checkpoint, "--dataset=mnist",
                            "--data_root=" + folder, "--batch_size=10", more});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  const auto top1 = [&](const std::string& split) {
    return absl::StrCat(
        "top1 ",
        std::lround(40 * ValueOf(MetricsOf(run, split).front(), "accuracy")),
        " ");
  };
  for (const std::string& file : {run + "/full_precision.pt", exported}) {
    const std::string plain = evaluate(file, "--threads=1");
    EXPECT_TRUE(absl::StrContains(plain, top1("test"))) << plain;
    EXPECT_TRUE(absl::StrContains(plain, "in full precision")) << plain;
    EXPECT_FALSE(absl::StrContains(plain, "cfs")) << plain;
    const std::string levels = evaluate(file, "--quant=ter");
    EXPECT_TRUE(absl::StrContains(levels, top1("start"))) << levels;
    EXPECT_TRUE(absl::StrContains(levels, "cfs")) << levels;
  }
  EXPECT_TRUE(
      absl::StrContains(evaluate(folder + "/part/checkpoint.pt", "--threads=1"),
                        "in full precision"));
}

// What a run of :train took for the flags left open.
std::string FlagsOf(const std::string& run) {
  return testing::ReadFile(run + "/flags.txt");
}

TEST(Train, WithoutAnythingIsADemonstration) {
  const std::string run = testing::NewFolder("demo") + "/run";
  const ProgramResult result =
      RunCbp("train", {"--limit_train=128", "--limit_test=20", "--max_steps=1",
                       "--run_dir=" + run});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* flag : {"--dataset=glyphs\n", "--model=mnist_cnn\n",
                           "--width=8\n", "--pretrain_epochs=2\n"}) {
    EXPECT_TRUE(absl::StrContains(FlagsOf(run), flag)) << flag << FlagsOf(run);
  }
}

TEST(Train, WithAModelHasTheAuthorsDefaults) {
  const std::string run = testing::NewFolder("small") + "/run";
  const ProgramResult result =
      RunCbp("train", {"--model=mnist_cnn", "--width=2", "--pretrained=false",
                       "--limit_train=256", "--limit_test=20", "--max_steps=1",
                       "--run_dir=" + run});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* flag :
       {"--dataset=glyphs\n", "--batch_size=256\n", "--period=20\n",
        "--lr=0.001\n", "--epochs=1000\n", "--pretrain_epochs=0\n"}) {
    EXPECT_TRUE(absl::StrContains(FlagsOf(run), flag)) << flag << FlagsOf(run);
  }
}

// The start of the constraint, saved, and what a run of 4 epochs begins with.
TEST(Train, NoEpochsLeaveTheStartOfTheConstraint) {
  const std::string folder = testing::NewFolder("none");
  testing::WriteMnist(folder, 60, 40);
  const std::string run = folder + "/run", whole = folder + "/whole";
  ASSERT_EQ(RunCbp("train", SmallRun(folder, whole)).exit_code, 0);
  ProgramResult result = RunCbp(
      "train", SmallRun(folder, run,
                        {"--epochs=0", "--pretrain_epochs=0",
                         "--init_from=" + whole + "/full_precision.pt"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto saved = training::LoadCheckpoint(run + "/checkpoint.pt");
  ASSERT_TRUE(saved.ok()) << saved.status();
  ASSERT_NE(saved->Find("window"), nullptr);
  EXPECT_EQ(*saved->Find("window")->GetInt("updates"), 1);
  const training::Value* scale = saved->Find("model")->Find("features.4.scale");
  ASSERT_NE(scale, nullptr);
  const at::Tensor weight =
      *saved->Find("model")->Find("features.4.weight")->tensor();
  EXPECT_FLOAT_EQ(scale->tensor()->item<float>(),
                  weight.abs().mean().item<float>());
  EXPECT_GT(
      saved->Find("lambda")->Find("features.4")->tensor()->max().item<double>(),
      0);
  EXPECT_EQ(MetricsOf(run, "start").size(), 1u);
  // After a first stage; it goes on to the bytes of a run in one piece.
  const std::string part = folder + "/part";
  result = RunCbp("train", SmallRun(folder, part, {"--epochs=0"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  result = RunCbp("train", {"--resume", part, "--epochs=4", "--threads=1",
                            "--data_root", folder});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(testing::ReadFile(part + "/checkpoint.pt"),
            testing::ReadFile(whole + "/checkpoint.pt"));
}

TEST(Train, MovesAllOfAnEarlierRunAside) {
  const std::string folder = testing::NewFolder("again");
  testing::WriteMnist(folder, 60, 40);
  const std::string run = folder + "/run";
  ASSERT_EQ(RunCbp("train", SmallRun(folder, run, {"--keep_checkpoints=9"}))
                .exit_code,
            0);
  const char* const files[] = {"/progress.txt", "/full_precision.pt",
                               "/mnist_cnn_ter_4.pt"};
  for (const char* file : files) EXPECT_TRUE(testing::Exists(run + file));
  testing::WriteFile(run + "/start.pt", "somebody's own");
  ASSERT_EQ(RunCbp("train", SmallRun(folder, run,
                                     {"--max_steps=1", "--epochs=4000000000"}))
                .exit_code,
            0);
  for (const char* file : files) {
    EXPECT_FALSE(testing::Exists(run + file)) << file;
  }
  EXPECT_TRUE(testing::Exists(run + "/start.pt"));
}

TEST(Convert, TheAuthorsCheckpointIsAStart) {
  const std::string file = testing::NewFolder("start") + "/start.pt";
  ProgramResult result =
      RunCbp("convert", {"--model=mnist_cnn", "--width=2",
                         absl::StrCat("--checkpoint=", kReference),
                         absl::StrCat("--output=", file)});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto converted = training::LoadCheckpoint(file);
  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_NE(converted->Find("model")->Find("features.4.scale"), nullptr);
  result = RunCbp(
      "train",
      {"--model=mnist_cnn", "--width=2", "--quant=1bit", "--dataset=mnist",
       "--data_root=cbp/testdata/data_mnist", "--batch_size=16", "--epochs=1",
       "--max_steps=1", absl::StrCat("--init_from=", file),
       absl::StrCat("--run_dir=", testing::NewFolder("run"), "/r")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

// A stream file of torch before 1.6, with biases where our network has batch
// norm.
TEST(Convert, TorchvisionsAlexNet) {
  const std::string file = testing::NewFolder("alexnet") + "/alexnet.pt";
  const ProgramResult result = RunCbp(
      "convert", {"--model=alexnet", "--width=1",
                  "--checkpoint=cbp/testdata/evaluate/alexnet_torchvision.pth",
                  absl::StrCat("--output=", file)});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto converted = training::LoadCheckpoint(file);
  ASSERT_TRUE(converted.ok()) << converted.status();
  const auto theirs =
      training::LoadCheckpoint("cbp/testdata/evaluate/alexnet_torchvision.pth");
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  const auto ours = [&](const char* name) {
    return *converted->Find("model")->Find(name)->tensor();
  };
  ExpectEqual(ours("features.14.weight"),
              *theirs->Find("features.10.weight")->tensor(), "weight");
  ExpectEqual(ours("features.15.bias"),
              *theirs->Find("features.10.bias")->tensor(), "bias");
  EXPECT_FLOAT_EQ(ours("features.15.weight")[0].item<float>(),
                  std::sqrt(1 + 1e-4F));
}

TEST(Convert, AnotherNetworkIsNamed) {
  const ProgramResult result = RunCbp(
      "convert", {"--model=resnet18", "--width=2",
                  absl::StrCat("--checkpoint=", kReference), "--output=/x.pt"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(absl::StrContains(result.err, "resnet18")) << result.err;
}

}  // namespace
}  // namespace altprop::cbp
