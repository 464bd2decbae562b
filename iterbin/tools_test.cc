// Sensitivity, order and guided run; packed weights; splits.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/sign.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "common/training/safetensors.h"
#include "gtest/gtest.h"
#include "iterbin/program_test_util.h"

namespace altprop::iterbin {
namespace {

using testing::Exists;
using testing::ReadFile;

class Tools : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::NewFolder("tools");
    testing::WriteMnist(folder_, kSmallTrain, kSmallTest);
  }

  std::string File(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }
  void Train(const std::string& run,
             const std::vector<std::string>& more = {}) const {
    const auto result = RunTool("main", SmallRun(folder_, File(run), more));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  std::string folder_;
};

// The rank of `layer` in an order file, by its position.
size_t RankOf(const std::string& order, int position) {
  const auto list = nlohmann::json::parse(ReadFile(order));
  return std::find(list.begin(), list.end(), position) - list.begin();
}

double Best(const std::string& run) {
  return nlohmann::json::parse(
      ReadFile(run + "/sensitivity.json"))["best_accuracy"];
}

void ExpectOrderFollows(const std::string& runs, const std::string& folder) {
  const int positions[] = {2, 5, 9};
  const std::string ascend = folder + "/mlp3_layers_ascend.json";
  const std::string descend = folder + "/mlp3_layers_descend.json";
  for (int a = 0; a < 3; ++a) {
    EXPECT_EQ(RankOf(ascend, positions[a]) + RankOf(descend, positions[a]), 2u);
    for (int b = 0; b < 3; ++b) {
      if (Best(absl::StrCat(runs, a + 1)) > Best(absl::StrCat(runs, b + 1))) {
        EXPECT_LT(RankOf(ascend, positions[a]), RankOf(ascend, positions[b]));
      }
    }
  }
}

TEST_F(Tools, SensitivityRunsEndInAnOrder) {
  const char* const orders[] = {"forward", "231", "reverse"};
  for (int layer = 0; layer < 3; ++layer) {
    const auto result = RunTool(
        "main",
        SmallRun(folder_, absl::StrCat(File("runs"), "/layer-", layer + 1),
                 {"--epochs-per-layer=4", "--test-validation",
                  absl::StrCat("--layers-indices=", orders[layer])}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(absl::StrContains(result.out, "rank  layer")) << result.out;
    EXPECT_EQ(absl::StrContains(result.out, "have no run yet"), layer < 2);
    EXPECT_EQ(Exists(File("runs/mlp3_layers_ascend.json")), layer == 2);
  }
  ExpectOrderFollows(File("runs/layer-"), File("runs"));
  // The file is one to train by.
  Train("guided", {"--layers-indices", File("runs/mlp3_layers_ascend.json")});
}

TEST_F(Tools, GuideIsOneCommand) {
  const std::vector<std::string> arguments =
      SmallRun(folder_, File("guide"),
               {"--sensitivity_epochs=1", "--guided_order=ascend"});
  auto result = RunTool("guide", arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  ExpectOrderFollows(File("guide/sensitivity/layer-"), File("guide"));
  EXPECT_TRUE(absl::StrContains(result.out, "ascend order: best accuracy"));
  const auto guided =
      training::LoadCheckpoint(File("guide/guided/checkpoint.pt"));
  ASSERT_TRUE(guided.ok()) << guided.status();
  EXPECT_EQ(*guided->Find("epoch")->integer(), 4);
  // Again, with the runs that are there.
  result = RunTool("guide", arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "layer 3: done before"));
}

TEST_F(Tools, GuideWantsLayers) {
  ExpectError(RunTool("guide", SmallRun(folder_, File("g"), {"--model=300"})),
              2, {"--model=300", "_layer"});
  ExpectError(
      RunTool("guide", SmallRun(folder_, File("g"), {"--guided_order=random"})),
      2, {"--guided_order=random", "descend"});
}

// It ends after two epochs without a better evaluation, and no earlier.
TEST_F(Tools, PatienceDecidesTheEnd) {
  Train("patient", {"--patience=2", "--epochs=1", "--epochs-per-layer=2"});
  const auto test = Lines(File("patient"), "test");
  double best = 0;
  int64_t since = 0;
  for (size_t e = 0; e < test.size(); ++e) {
    EXPECT_LT(since, 2) << "went on after epoch " << e;
    since = At(test[e], "accuracy") > best ? 0 : since + 1;
    best = std::max(best, At(test[e], "accuracy"));
  }
  EXPECT_EQ(since, 2);
}

// Ten lines of Python do the same with numpy.
at::Tensor UnpackedByHand(const training::Safetensors& file,
                          const std::string& weight) {
  const auto get = [&](const std::string& part) {
    for (const auto& [name, tensor] : file.tensors) {
      if (name == weight + part) return tensor;
    }
    ADD_FAILURE() << weight << part;
    return at::Tensor();
  };
  const at::Tensor planes = get(".planes"), levels = get(".levels");
  const at::Tensor shape = get(".shape");
  std::vector<int64_t> sizes(shape.const_data_ptr<int64_t>(),
                             shape.const_data_ptr<int64_t>() + shape.numel());
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  at::Tensor values = at::zeros({count}, levels.scalar_type());
  for (int64_t i = 0; i < count; ++i) {
    int64_t index = 0;
    for (int64_t b = 0; b < planes.size(0); ++b) {
      const auto* row = planes.const_data_ptr<uint8_t>() + b * planes.size(1);
      index += ((row[i / 8] >> (i % 8)) & 1) << b;
    }
    values.mutable_data_ptr<float>()[i] = levels.const_data_ptr<float>()[index];
  }
  return values.view(sizes);
}

TEST_F(Tools, PackedWeightsGiveTheSameLabels) {
  for (const std::string semantics : {"reference", "corrected"}) {
    const std::string run = "run-" + semantics;
    // Two of three layers are binary at its end.
    Train(run, {"--semantics=" + semantics, "--epochs=2"});
    const std::string packed = File(run + ".safetensors");
    auto result =
        RunTool("export", {"--checkpoint", File(run), "--out", packed});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(absl::StrContains(result.out, "features.0.weight"));
    const auto file = training::LoadSafetensors(packed);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto checkpoint =
        training::LoadCheckpoint(File(run + "/checkpoint.pt"));
    ASSERT_TRUE(checkpoint.ok());
    const auto* model = checkpoint->Find("model");
    // Order 132: layers 1 and 3.
    for (const std::string name :
         {"features.0.weight", "classifier.0.weight"}) {
      EXPECT_TRUE(at::equal(UnpackedByHand(*file, name),
                            model->Find(name)->tensor()->sign()))
          << name;
    }
    std::vector<std::string> labels;
    std::string lines;
    for (const std::string& source : {File(run), packed}) {
      result = RunTool("evaluate",
                       {"--checkpoint", source, "--dataset_folder", folder_,
                        "--threads=1", "--labels", File("labels.txt")});
      ASSERT_EQ(result.exit_code, 0) << result.err;
      labels.push_back(ReadFile(File("labels.txt")) + result.out);
    }
    EXPECT_EQ(labels[0], labels[1]);
    EXPECT_TRUE(absl::StrContains(labels[0], "test accuracy"));
    // As the run's own last evaluation.
    const auto test = Lines(File(run), "test");
    EXPECT_TRUE(absl::StrContains(
        labels[0], absl::StrCat("accuracy ", At(test.back(), "accuracy"))));
  }
}

TEST_F(Tools, PackedFileIsGuarded) {
  Train("run", {"--model=300_binary", "--epochs=1"});
  const std::string packed = File("w.safetensors");
  ASSERT_EQ(RunTool("export", {"--checkpoint", File("run"), "--out", packed})
                .exit_code,
            0);
  std::string bytes = ReadFile(packed);
  // 266,200 weights of a bit each, 2,460 numbers and the header.
  EXPECT_LT(bytes.size(), 266200 / 8 + 12288u);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  testing::WriteFile(packed, bytes);
  ExpectError(RunTool("evaluate",
                      {"--checkpoint", packed, "--dataset_folder", folder_}),
              1, {"w.safetensors", "CRC-32"});
  ExpectError(RunTool("export", {"--checkpoint", File("run"), "--out", "x.pt"}),
              2, {"--out", ".safetensors"});
  ExpectError(RunTool("export", {"--checkpoint", File("none.pt"), "--out",
                                 "x.safetensors"}),
              1, {"none.pt"});
}

TEST_F(Tools, OrdersAreWritten) {
  const auto result = RunTool("orders", {folder_});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "80 files\n");
  EXPECT_EQ(ReadFile(File("vgg5_layers_ascend.json")), "[16, 13, 2, 10, 5]\n");
  ExpectError(RunTool("orders", {}), 2, {"folder"});
}

TEST_F(Tools, SplitsAreComplete) {
  const std::string file = File("split.json");
  auto result = RunTool("cifar_dataset_split", {"5000", file, "--seed=7"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto split = nlohmann::json::parse(ReadFile(file));
  EXPECT_EQ(split["train"].size(), 45000u);
  EXPECT_EQ(split["validation"].size(), 5000u);
  std::vector<int64_t> all = split["train"];
  for (const int64_t image : split["validation"]) all.push_back(image);
  EXPECT_FALSE(std::is_sorted(all.begin(), all.end()));
  std::sort(all.begin(), all.end());
  for (int64_t i = 0; i < 50000; ++i) ASSERT_EQ(all[i], i);
  // Another one each time, unless told.
  const std::string first = ReadFile(file);
  ASSERT_EQ(RunTool("cifar_dataset_split", {"5000", file}).exit_code, 0);
  EXPECT_NE(ReadFile(file), first);
  ExpectError(RunTool("cifar_dataset_split", {"5000"}), 2, {"SIZE OUTPUT"});
  ExpectError(RunTool("cifar_dataset_split", {"50001", file}), 2,
              {"SIZE=50001", "from 0 to 50000"});
}

}  // namespace
}  // namespace altprop::iterbin
