// What runs print about their schedule, and which files of an earlier run they
// put aside.

#include <filesystem>
#include <string>
#include <vector>

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

constexpr char kData[] = "iterbin/testdata/cli_cifar_resnet20_layer/data";

class Log : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::NewFolder("log");
    testing::WriteMnist(folder_, kSmallTrain, kSmallTest);
  }

  // What a run of the perceptron prints.
  std::string Perceptron(const std::vector<std::string>& more) const {
    const auto result =
        RunTool("main", SmallRun(folder_, folder_ + "/run", more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }

  // Of ResNet-20 on 60 images.
  std::string ResNet(const std::string& run_dir,
                     const std::vector<std::string>& more) const {
    const std::string data = kData;
    std::vector<std::string> arguments = {
        "--dataset=cifar10",
        "--model=resnet20",
        "--data_root=" + data,
        "--dataset-indices=" + data + "/split.json",
        "--layers-indices=forward",
        "--batch-size=12",
        "--limit_train=24",
        "--limit_test=4",
        "--epochs=2",
        "--lr=0.1",
        "--threads=1",
        absl::StrCat("--run_dir=", folder_, "/", run_dir)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = RunTool("main", arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }

  std::vector<double> Rates(const std::string& run_dir) const {
    std::vector<double> rates;
    for (const auto& line :
         Lines(absl::StrCat(folder_, "/", run_dir), "train")) {
      rates.push_back(At(line, "learning_rate"));
    }
    return rates;
  }

  std::string folder_;
};

// --reverse takes the list from its end, and shows it as it is.
TEST_F(Log, ReverseKeepsTheListsOrder) {
  const std::string out =
      Perceptron({"--layers-indices=forward", "--reverse-layer-binarization"});
  EXPECT_TRUE(absl::StrContains(out,
                                "Epoch: 1\n"
                                "Layer    2  5  9\n"
                                "Binary   0  0  1\n"))
      << out;
  EXPECT_TRUE(absl::StrContains(out,
                                "Epoch: 2\n"
                                "Layer    2  5  9\n"
                                "Binary   0  1  1\n"));
  const std::string other = Perceptron({"--reverse-layer-binarization"});
  EXPECT_TRUE(absl::StrContains(other,
                                "Epoch: 1\n"
                                "Layer    2  9  5\n"
                                "Binary   0  0  1\n"))
      << other;
}

TEST_F(Log, AllBinaryModelsSayThatTheyAre) {
  EXPECT_TRUE(absl::StrContains(Perceptron({"--model=300_binary"}),
                                "Loading layers from 132...\n"
                                "layer_init() binarize_all()\n"
                                "Epoch: 0\n"
                                "Layer    2  9  5\n"
                                "Binary   1  1  1\n"));
  EXPECT_FALSE(absl::StrContains(Perceptron({}), "binarize_all"));
  const std::string out =
      ResNet("all", {"--model=resnet20_binary", "--max_steps=1"});
  EXPECT_TRUE(absl::StrContains(
      out,
      "Loading layers from forward...\n"
      "Layer    1  5  7 11 13 17 19 24 26 30 32 36 38 43 45 49 51 55 57 60\n"
      "Binary   1  1  1  1  1  1  1  1  1  1  1  1  1  1  1  1  1  1  1  1\n"))
      << out;
  EXPECT_FALSE(absl::StrContains(out, "binarize_all"));
}

// Milestone 0 has its effect from the start, but not on a loaded rate; with the
// rate the momentum is the file's, also after a resume.
TEST_F(Log, MilestonesAndLoadedSettings) {
  ResNet("zero",
         {"--scheduler-milestones", "[0,2]", "--save-last", "--momentum=0.5"});
  const double rate = 0.1 * 0.1;
  EXPECT_EQ(Rates("zero"), (std::vector<double>{rate, rate * 0.1}));

  const std::string last = folder_ + "/zero/last-2.tar";
  const auto file = training::LoadCheckpoint(last);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto& group =
      file->Find("optimizer_state_dict")->Find("param_groups")->list()->front();
  EXPECT_EQ(*group.GetDouble("momentum"), 0.5);
  EXPECT_EQ(*group.GetDouble("dampening"), 0);
  EXPECT_EQ(*group.GetBool("nesterov"), false);

  const std::vector<std::string> load = {"--load-last",
                                         "--load-last-file=" + last,
                                         "--scheduler-milestones", "[0,2]"};
  std::vector<std::string> same = load, other = load, stopped = load;
  same.emplace_back("--momentum=0.5");
  other.emplace_back("--momentum=0.9");
  ResNet("same", same);
  EXPECT_EQ(Rates("same"), (std::vector<double>{rate * 0.1, rate * 0.1 * 0.1}));
  ResNet("other", other);
  stopped.insert(stopped.end(), {"--momentum=0.9", "--max_steps=3"});
  ResNet("stopped", stopped);
  const auto resumed = RunTool(
      "main", {"--resume", folder_ + "/stopped", "--max_steps=0", "--threads=1",
               absl::StrCat("--data_root=", kData),
               absl::StrCat("--dataset-indices=", kData, "/split.json")});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  const auto model = [&](const std::string& run) {
    const auto end = training::LoadCheckpoint(
        absl::StrCat(folder_, "/", run, "/checkpoint.pt"));
    EXPECT_TRUE(end.ok()) << end.status();
    return *end->Find("model");
  };
  EXPECT_TRUE(model("same") == model("other"));
  EXPECT_TRUE(model("stopped") == model("other"));
}

TEST_F(Log, AnEarlierRunsOwnFilesAreMovedWithIt) {
  Perceptron({"--save-last", "--epochs=1"});
  const std::string run = folder_ + "/run";
  ASSERT_TRUE(Exists(run + "/last-1.tar"));
  const std::string before = ReadFile(run + "/log.txt");
  Perceptron({"--epochs=2"});
  EXPECT_FALSE(Exists(run + "/last-1.tar"));
  std::string earlier;
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    if (absl::StartsWith(entry.path().filename().string(), "earlier-")) {
      earlier = entry.path().string();
    }
  }
  ASSERT_FALSE(earlier.empty());
  EXPECT_TRUE(Exists(earlier + "/last-1.tar"));
  EXPECT_EQ(ReadFile(earlier + "/log.txt"), before);
}

// A path is what somebody meant; a bare name or one in ./models may be that of
// a published order.
TEST_F(Log, PublishedOrdersAreBareNames) {
  for (const char* name :
       {"132", "mlp3_layers_132.json", "./models/mlp3_layers_132.json",
        "models/mlp3_layers_132.json"}) {
    EXPECT_TRUE(absl::StrContains(
        Perceptron({absl::StrCat("--layers-indices=", name), "--max_steps=1"}),
        "Layer    2  9  5\n"))
        << name;
  }
  for (const char* name : {"/mlp3_layers_132.json", "/models/132"}) {
    ExpectError(
        RunTool("main",
                SmallRun(folder_, folder_ + "/wrong",
                         {absl::StrCat("--layers-indices=", folder_, name)})),
        1, {absl::StrCat(folder_, name, ": no such file")});
  }
}

// As torchrun starts it.
TEST_F(Log, RunsAsOneProcess) {
  const auto with = [&](const std::string& size) {
    return testing::RunProgram(
        Command("main",
                SmallRun(folder_, folder_ + "/world", {"--max_steps=1"})),
        {{"WORLD_SIZE", size}});
  };
  ExpectError(with("2"), 2, {"WORLD_SIZE=2", "one process"});
  EXPECT_FALSE(Exists(folder_ + "/world"));
  EXPECT_EQ(with("1").exit_code, 0);
}

}  // namespace
}  // namespace altprop::iterbin
