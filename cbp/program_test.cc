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
    std::vector<std::string> arguments = {"--checkpoint=" + checkpoint,
                                          "--data_root=" + folder,
                                          "--batch_size=10", "--threads=1"};
    if (checkpoint == file) {
      // A checkpoint knows its own.
      for (const char* flag : {"--model=mnist_cnn", "--width=2", "--quant=ter",
                               "--dataset=mnist"}) {
        arguments.push_back(flag);
      }
    }
    const ProgramResult result = RunCbp("evaluate", arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(absl::StrContains(result.out, expected))
        << result.out << expected;
  }
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
