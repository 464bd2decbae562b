// What a user can get wrong: one line on stderr that names what and where, exit
// code 1 (2 for the command line).

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"
#include "iterbin/program_test_util.h"

namespace altprop::iterbin {
namespace {

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::NewFolder("bad");
    testing::WriteMnist(folder_, kSmallTrain, kSmallTest);
  }

  std::string File(const std::string& name, const std::string& text) const {
    const std::string path = absl::StrCat(folder_, "/", name);
    testing::WriteFile(path, text);
    return path;
  }

  testing::ProgramResult Train(const std::vector<std::string>& more) const {
    return RunTool("main", SmallRun(folder_, folder_ + "/run", more));
  }

  std::string folder_;
};

TEST_F(BadInput, CommandLine) {
  ExpectError(Train({"--model=mlp"}), 2, {"--model=mlp", "300", "784"});
  ExpectError(Train({"--model=vgg5_layer"}), 2, {"--model", "mnist"});
  ExpectError(Train({"--dataset=svhn"}), 2, {"--dataset=svhn", "cifar10"});
  ExpectError(Train({"--epochs-per-layer=0"}), 2,
              {"--epochs_per_layer=0", "at least 1"});
  ExpectError(Train({"--batch-size=0"}), 2, {"--batch_size=0"});
  ExpectError(Train({"--scheduler-milestones", "[30,20]"}), 2,
              {"--scheduler_milestones=[30,20]", "20 follows 30"});
  ExpectError(Train({"--scheduler-milestones", "[3,x]"}), 2,
              {"scheduler", "x"});
  ExpectError(Train({"--semantics=both"}), 2,
              {"--semantics=both", "corrected"});
  ExpectError(Train({"--model=300", "--reverse-layer-binarization"}), 2,
              {"--reverse_layer_binarization", "300"});
  ExpectError(Train({"--lr=nan"}), 2, {"--lr"});
  ExpectError(Train({"--no-such-flag"}), 2, {"no-such-flag"});
}

TEST_F(BadInput, OrderFiles) {
  const auto with = [&](const std::string& text) {
    return Train({"--layers-indices", File("order.json", text)});
  };
  ExpectError(with("[2, 5]"), 1, {"order.json", "9 (classifier.0) is missing"});
  ExpectError(with("[2, 5, 5]"), 1, {"order.json: entry 3 names 5 again"});
  ExpectError(with("[2, 5, 60]"), 1, {"order.json: entry 3 is 60"});
  ExpectError(with("[2, 5,"), 1, {"order.json: expected a JSON list"});
  ExpectError(with(""), 1, {"order.json"});
  ExpectError(Train({"--layers-indices", folder_ + "/none.json"}), 1,
              {"none.json: no such file", "forward"});
  // A float model never reads it.
  EXPECT_EQ(Train({"--model=300", "--layers-indices=none.json"}).exit_code, 0);
}

TEST_F(BadInput, SplitFiles) {
  const std::string data = "iterbin/testdata/cli_cifar_resnet20_layer/data";
  const auto with = [&](const std::string& split) {
    return RunTool(
        "main", {"--dataset=cifar10", "--model=vgg5", "--data_root=" + data,
                 "--dataset-indices=" + split, "--max_steps=1", "--threads=1",
                 "--run_dir=" + folder_ + "/run"});
  };
  ExpectError(with(File("s.json", R"({"train": [0, 1], "validation": [1]})")),
              1, {"s.json: validation entry 1 is 1", "train already"});
  ExpectError(
      with(File("s.json", R"({"train": [0, 50000], "validation": []})")), 1,
      {"s.json: train entry 2 is 50000", "from 0 to"});
  ExpectError(with(File("s.json", R"({"train": [0], "validation": [1]})")), 1,
              {"s.json: names 2 of 60 training images"});
  ExpectError(with(File("s.json", "[1]")), 1,
              {"s.json: expected a JSON object"});
  ExpectError(with(folder_ + "/none.json"), 1, {"none.json: no such file"});
}

TEST_F(BadInput, ResumeUnderOtherTerms) {
  ASSERT_EQ(Train({"--max_steps=7"}).exit_code, 0);
  const std::string checkpoint = folder_ + "/run/checkpoint.pt";
  const auto resume = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--resume", checkpoint, "--threads=1",
                                          "--data_root=" + folder_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunTool("main", arguments);
  };
  ExpectError(resume({"--semantics=corrected"}), 2,
              {"--semantics=corrected", "expected reference", checkpoint});
  ExpectError(resume({"--model=300_binary"}), 2,
              {"--model=300_binary", "expected 300_layer"});
  ExpectError(resume({"--epochs-per-layer=2"}), 2, {"--epochs_per_layer=2"});
  ExpectError(resume({"--layers-indices=forward"}), 2,
              {"--layers_indices=forward", "entry 2 is 5, expected 9"});
  ExpectError(resume({"--layers-indices", File("short.json", "[1, 2]")}), 1,
              {"short.json", "missing"});
  ExpectError(resume({"--batch-size=90"}), 1, {checkpoint, "--batch_size=90"});
  EXPECT_EQ(resume({"--layers-indices=132", "--semantics=reference"}).exit_code,
            0);
}

TEST_F(BadInput, WeightsOfAnotherNetwork) {
  ASSERT_EQ(Train({"--max_steps=1"}).exit_code, 0);
  const std::string other = folder_ + "/run/checkpoint.pt";
  const auto result =
      RunTool("main", SmallRun(folder_, folder_ + "/run2",
                               {"--model=784_layer", "--init_from=" + other}));
  ExpectError(result, 1, {other, "does not fit", "features.0.weight"});
  ExpectError(Train({"--load-last"}), 1, {"last.tar"});
  ExpectError(Train({"--load-last", "--init_from=" + other}), 2,
              {"--load_last", "--init_from"});
}

TEST_F(BadInput, LossThatIsNotFinite) {
  const auto result = Train({"--lr=1e38", "--model=300", "--precision=fp32"});
  ExpectError(result, 1, {"loss is", "training diverged"});
}

}  // namespace
}  // namespace altprop::iterbin
