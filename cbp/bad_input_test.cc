// What a user can get wrong: one line on stderr that names what and where, exit
// code 1 (2 for the command line), and nothing lost.

#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ops/isfinite.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cbp/program_test_util.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"

namespace altprop::cbp {
namespace {

using testing::ProgramResult;
using testing::ReadFile;
using testing::WriteFile;
using training::Dict;

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::NewFolder("bad");
    testing::WriteMnist(folder_, 60, 20);
    run_ = folder_ + "/run";
  }

  std::string File(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }

  // A run that went well, for what reads its checkpoint.
  std::string GoodRun() {
    const ProgramResult result = RunCbp("train", SmallRun(folder_, run_));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return run_ + "/checkpoint.pt";
  }

  ProgramResult Train(const std::vector<std::string>& more = {}) {
    return RunCbp("train", SmallRun(folder_, File("other"), more));
  }

  std::string folder_, run_;
};

// The last line on stderr is the error; progress may stand before it.
void ExpectError(const ProgramResult& result, int exit_code,
                 const std::vector<std::string>& words) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  std::vector<std::string> lines =
      absl::StrSplit(result.err, '\n', absl::SkipEmpty());
  ASSERT_FALSE(lines.empty());
  for (const std::string& word : words) {
    EXPECT_TRUE(absl::StrContains(lines.back(), word))
        << "\"" << word << "\" not in: " << lines.back();
  }
  EXPECT_FALSE(absl::StrContains(result.err, "terminate called"));
  EXPECT_FALSE(absl::StrContains(result.err, "Check failed"));
}

void ExpectOneLine(const ProgramResult& result, int exit_code,
                   const std::vector<std::string>& words) {
  ExpectError(result, exit_code, words);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1)
      << result.err;
}

TEST_F(BadInput, Choices) {
  ExpectOneLine(Train({"--model=vgg"}), 2, {"--model=vgg", "resnet18"});
  ExpectOneLine(Train({"--quant=3bit"}), 2, {"--quant=3bit", "2bit", "none"});
  ExpectOneLine(Train({"--ablation=all"}), 2, {"--ablation=all", "nowindow"});
  ExpectOneLine(Train({"--dataset=svhn"}), 2, {"--dataset=svhn", "folder"});
  ExpectOneLine(Train({"--perod=3"}), 2, {"perod", "period"});
}

TEST_F(BadInput, Numbers) {
  ExpectOneLine(Train({"--lr=-1"}), 2, {"--lr=-1"});
  ExpectOneLine(Train({"--lr_lambda=nan"}), 2, {"--lr_lambda"});
  ExpectOneLine(Train({"--period=0"}), 2, {"--period=0", "at least 1"});
  ExpectOneLine(Train({"--batch_size=0"}), 2, {"--batch_size=0"});
  ExpectOneLine(Train({"--width=-1"}), 2, {"--width=-1"});
  ExpectOneLine(Train({"--model=googlenet", "--width=12"}), 2,
                {"--width=12", "multiple of 8"});
  ExpectOneLine(Train({"--batch_size=61"}), 2, {"--batch_size=61", "60"});
}

TEST_F(BadInput, Beginnings) {
  ExpectOneLine(Train({"--pretrain_epochs=0"}), 2,
                {"--pretrained", "--init_from", "--pretrain_epochs"});
  ExpectOneLine(Train({"--pretrained=false"}), 2,
                {"--pretrained=false", "--pretrain_epochs"});
  ExpectOneLine(Train({"--quant=none"}), 2, {"--pretrain_epochs", "none"});
}

TEST_F(BadInput, Processes) {
  ExpectOneLine(Train({"--gpu_devices", "0", "1"}), 2, {"--gpu_devices"});
  ExpectOneLine(Train({"--world_size=2"}), 2, {"--world_size=2"});
  ExpectOneLine(Train({"--device=cuda"}), 2, {"--device=cuda", "CUDA"});
}

TEST_F(BadInput, ImagesThatTheNetworkDoesNotTake) {
  ExpectOneLine(Train({"--model=alexnet"}), 2,
                {"--model=alexnet", "63x63", "28x28"});
}

TEST_F(BadInput, MissingData) {
  ExpectOneLine(RunCbp("train", SmallRun(File("nowhere"), run_)), 1,
                {"nowhere"});
}

TEST_F(BadInput, WeightsOfAnotherNetwork) {
  const std::string file = GoodRun();
  ExpectOneLine(
      Train({"--pretrain_epochs=0", "--width=3", "--init_from=" + file}), 1,
      {file, "features.0.weight", "[2, 1, 5, 5]", "[3, 1, 5, 5]"});
  ExpectOneLine(
      Train({"--pretrain_epochs=0", "--model=resnet20", "--init_from=" + file}),
      1, {file, "left over features.0.weight", "more"});
  EXPECT_FALSE(testing::Exists(File("other/checkpoint.pt")));
}

TEST_F(BadInput, WeightsThatAreNone) {
  const std::string file = File("weights.pt");
  WriteFile(file, "not a checkpoint");
  ExpectOneLine(Train({"--pretrain_epochs=0", "--init_from=" + file}), 1,
                {file});
  ExpectOneLine(
      Train({"--pretrain_epochs=0", "--init_from=" + File("absent.pt")}), 1,
      {"absent.pt"});
}

// A layer of zeros has no scale.
TEST_F(BadInput, WeightsOfZero) {
  const auto good = training::LoadCheckpoint(GoodRun());
  ASSERT_TRUE(good.ok()) << good.status();
  Dict model = *good->Find("model")->dict();
  for (auto& [name, value] : model) {
    if (name == "classifier.0.weight") value = at::zeros_like(*value.tensor());
  }
  const std::string file = File("zeros.pt");
  ASSERT_TRUE(training::SaveCheckpoint(file, Dict{{"model", model}}).ok());
  ExpectError(Train({"--pretrain_epochs=0", "--init_from=" + file}), 1,
              {"classifier.0.weight", "0"});
}

TEST_F(BadInput, CheckpointThatIsDamaged) {
  const std::string file = GoodRun();
  std::string bytes = ReadFile(file);
  bytes[bytes.size() / 2] ^= 0x40;
  WriteFile(file, bytes);
  ExpectOneLine(RunCbp("train", {"--resume", file, "--data_root", folder_}), 1,
                {file});
}

TEST_F(BadInput, CheckpointWithoutItsMultipliers) {
  const std::string file = GoodRun();
  const auto good = training::LoadCheckpoint(file);
  ASSERT_TRUE(good.ok()) << good.status();
  for (const std::string missing :
       {"lambda", "multiplier_optimizer", "optimizer", "model", "sums"}) {
    Dict part;
    for (const auto& entry : *good->dict()) {
      if (entry.first != missing) part.push_back(entry);
    }
    ASSERT_TRUE(training::SaveCheckpoint(file, part).ok());
    ExpectOneLine(RunCbp("train", {"--resume", file, "--data_root", folder_}),
                  1, {file, missing});
  }
}

TEST_F(BadInput, DivergenceNamesTheStepAndKeepsTheCheckpoint) {
  const std::string file = GoodRun();
  const std::string before = ReadFile(file);
  ExpectError(RunCbp("train", {"--resume", file, "--lr=1e38", "--epochs=9",
                               "--data_root", folder_}),
              1, {"step", "diverged"});
  EXPECT_EQ(ReadFile(file), before);
}

TEST_F(BadInput, FoldersOfImages) {
  const auto train = [&] {
    return Train({"--dataset=folder", "--data_root=" + File("images"),
                  "--model=resnet20", "--image_size=32", "--batch_size=2"});
  };
  ExpectOneLine(train(), 1, {"images"});
  for (const char* folder :
       {"images", "images/train", "images/val", "images/train/cat",
        "images/train/dog", "images/val/cat", "images/val/horse"}) {
    mkdir(File(folder).c_str(), 0777);
  }
  const std::string picture = ReadFile("cbp/testdata/images/train/cat/0.jpg");
  ASSERT_FALSE(picture.empty());
  WriteFile(File("images/train/cat/1.jpg"), picture);
  WriteFile(File("images/val/cat/1.jpg"), picture);
  // A class of which there is no image.
  ExpectOneLine(train(), 1, {"dog"});
  WriteFile(File("images/train/dog/1.jpg"), picture);
  WriteFile(File("images/val/horse/1.jpg"), picture);
  // A class that training does not know.
  ExpectOneLine(train(), 1, {"horse"});
}

// A header that promises 65,535 x 65,535 pixels.
TEST_F(BadInput, HostileImage) {
  std::string picture = ReadFile("cbp/testdata/images/train/cat/0.jpg");
  // Start of frame: FF C0, length, precision, height, width.
  const size_t frame = picture.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  for (size_t i = frame + 5; i < frame + 9; ++i) picture[i] = '\xFF';
  for (const char* folder : {"images", "images/train", "images/val",
                             "images/train/cat", "images/val/cat"}) {
    mkdir(File(folder).c_str(), 0777);
  }
  WriteFile(File("images/train/cat/1.jpg"), picture);
  WriteFile(File("images/val/cat/1.jpg"),
            ReadFile("cbp/testdata/images/train/cat/0.jpg"));
  ExpectError(Train({"--dataset=folder", "--data_root=" + File("images"),
                     "--model=resnet20", "--image_size=32", "--batch_size=1"}),
              1, {"images/train/cat/1.jpg", "JPEG"});
}

// It can go on under its own levels only.
TEST_F(BadInput, ResumedWithOtherLevels) {
  const std::string file = GoodRun();
  for (const std::string quant : {"none", "bin"}) {
    ExpectOneLine(RunCbp("train", {"--resume", file, "--quant=" + quant,
                                   "--data_root", folder_}),
                  2, {"--quant=" + quant, file, "--quant=ter"});
  }
  // Its own flags say none, but it holds a window.
  auto root = training::LoadCheckpoint(file);
  ASSERT_TRUE(root.ok()) << root.status();
  Dict part;
  for (const auto& [name, value] : *root->dict()) {
    Dict flags;
    for (const auto& [flag, text] : name == "flags" ? *value.dict() : Dict()) {
      if (flag == "quant") {
        flags.emplace_back(flag, "none");
      } else if (flag == "pretrain_epochs") {
        flags.emplace_back(flag, "0");
      } else {
        flags.emplace_back(flag, text);
      }
    }
    part.emplace_back(name, name == "flags" ? training::Value(flags) : value);
  }
  ASSERT_TRUE(training::SaveCheckpoint(file, part).ok());
  ExpectOneLine(RunCbp("train", {"--resume", file, "--data_root", folder_}), 2,
                {"--quant=none", file});
}

TEST_F(BadInput, ResumedWithMoreEpochsBeforeTheConstraint) {
  const std::string file = GoodRun();
  ExpectOneLine(RunCbp("train", {"--resume", file, "--pretrain_epochs=9",
                                 "--data_root", folder_}),
                2, {"--pretrain_epochs=9", file});
}

// Names that end as a scale's do, but of no constrained layer.
TEST_F(BadInput, WeightsThatTheNetworkHasNot) {
  const auto good = training::LoadCheckpoint(GoodRun());
  ASSERT_TRUE(good.ok()) << good.status();
  const std::string file = File("more.pt");
  for (const std::string name : {"features.9.scale", "features.0.scale"}) {
    Dict model = *good->Find("model")->dict();
    model.emplace_back(name, at::ones({1}));
    ASSERT_TRUE(training::SaveCheckpoint(file, Dict{{"model", model}}).ok());
    ExpectOneLine(Train({"--pretrain_epochs=0", "--init_from=" + file}), 1,
                  {file, "left over " + name});
  }
}

TEST_F(BadInput, SingleValueOfABatchNorm) {
  ExpectOneLine(Train({"--batch_size=1"}), 2,
                {"--batch_size=1", "classifier.1", "mnist_cnn"});
  EXPECT_FALSE(testing::Exists(File("other/checkpoint.pt")));
  // 28x28 images become 7x7 ones.
  const ProgramResult result =
      Train({"--batch_size=1", "--model=resnet20", "--max_steps=1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  // And 1x1 ones here.
  ExpectOneLine(Train({"--batch_size=1", "--model=resnet18"}), 2,
                {"--batch_size=1", "layer4.0.bn1", "resnet18"});
}

TEST_F(BadInput, ManyProcesses) {
  const auto run = [&](const std::string& count) {
    return testing::RunProgram(
        CbpCommand("train",
                   SmallRun(folder_, File("other"), {"--check_flags"})),
        {{"WORLD_SIZE", count}});
  };
  ExpectOneLine(run("2"), 2, {"WORLD_SIZE=2", "one process"});
  EXPECT_EQ(run("1").exit_code, 0);
}

TEST_F(BadInput, SmallModelWithoutADataSet) {
  ExpectOneLine(RunCbp("train", {"--model=mnist_cnn", "--pretrained=false",
                                 "--data_root", folder_}),
                2, {"--dataset", "--data_root", "mnist_cnn"});
  ExpectOneLine(
      RunCbp("evaluate", {"--model=resnet20", "--data_root", folder_}), 2,
      {"--dataset", "--data_root", "resnet20"});
}

// The defaults of the authors' programs, once anything of theirs is given.
TEST_F(BadInput, MissingImageNet) {
  ExpectOneLine(RunCbp("train", {"--quant=ter", "--pretrained=false",
                                 "--data_root", File("nowhere")}),
                1, {"nowhere"});
  ExpectOneLine(RunCbp("evaluate", {"--data_root", File("nowhere")}), 1,
                {"model/resnet18_bin_prequantized.pth"});
}

TEST_F(BadInput, ExportOfAnotherNetwork) {
  const std::string file = File("w.safetensors");
  ASSERT_EQ(Train({"--export=" + file, "--max_steps=7"}).exit_code, 0);
  for (const auto& [given, is] :
       std::vector<std::pair<std::string, std::string>>{
           {"--quant=bin", "--quant=ter"},
           {"--quant=none", "--quant=ter"},
           {"--model=resnet20", "--model=mnist_cnn"},
           {"--width=0", "--width=2"},
           {"--width=3", "--width=2"}}) {
    ExpectOneLine(RunCbp("evaluate", {"--checkpoint=" + file, "--dataset=mnist",
                                      "--data_root=" + folder_, given}),
                  2, {given, file, is});
  }
}

TEST_F(BadInput, OtherPrograms) {
  ExpectOneLine(RunCbp("export", {"--checkpoint=" + File("x.pt")}), 2,
                {"--output"});
  ExpectOneLine(RunCbp("convert", {"--output=" + File("x.pt")}), 2,
                {"--checkpoint"});
  ExpectOneLine(RunCbp("evaluate", {"--dataset=mnist", "--model=mnist_cnn",
                                    "--data_root=" + folder_}),
                1, {"model/mnist_cnn_bin_prequantized.pth"});
}

}  // namespace
}  // namespace altprop::cbp
