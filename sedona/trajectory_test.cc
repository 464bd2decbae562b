// The authors' programs on some images of CIFAR-10, through our command lines.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"
#include "sedona/program_test_util.h"
#include "sedona/test_util.h"
#include "sedona/variables.h"

namespace altprop::sedona {
namespace {

using testing::NewFolder;
using testing::ProgramResult;
using training::LoadCheckpoint;
using training::MetricsLine;
using training::Value;

// The flags with which a run is a function of its inputs, and its folders.
Arguments Recorded(const std::string& folder, const std::string& run_dir) {
  return {absl::StrCat("--init_from=sedona/testdata/", folder, "/init.pt"),
          "--data_root=sedona/testdata/cifar10",
          "--shuffle=false",
          "--augment=false",
          "--dropout=0",
          "--precision=fp64",
          "--log_every=1",
          "--feat-mult",
          "0.125",
          "--threads=1",
          "--run_dir=" + run_dir};
}

// Every 13th entry of every tensor, in the order of the state dictionary.
void ExpectFinal(const std::string& checkpoint, const Golden& golden,
                 double tolerance) {
  const auto ours = LoadCheckpoint(checkpoint);
  ASSERT_TRUE(ours.ok()) << ours.status();
  const std::vector<double> expected = Doubles(golden.Get("final"));
  const std::vector<double> largest = Doubles(golden.Get("largest"));
  size_t at = 0, tensor = 0;
  for (const auto& [name, value] : *ours->Find("model")->dict()) {
    if (!value.tensor()->is_floating_point()) continue;
    const std::vector<double> all = Doubles(*value.tensor());
    for (size_t i = 0; i < all.size(); i += 13, ++at) {
      ASSERT_LT(at, expected.size());
      EXPECT_LE(std::abs(all[i] - expected[at]),
                tolerance * largest[tensor] + 1e-13)
          << name << " " << i;
    }
    ++tensor;
  }
  EXPECT_EQ(at, expected.size());
  EXPECT_EQ(tensor, largest.size());
}

void ExpectEvaluation(const std::string& folder, const Arguments& flags) {
  const Golden golden(folder + "/expected.pt");
  const std::string root = NewFolder(folder);
  const std::string run_dir = root + "/run";
  const ProgramResult result =
      Start("evaluate", Recorded(folder, run_dir) + Folders(root) + flags);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  ExpectFinal(run_dir + "/checkpoint.pt", golden, 1e-8);
  const std::vector<MetricsLine> train = Lines(run_dir, "train");
  const at::Tensor losses = golden.Get("losses");
  ASSERT_EQ(static_cast<int64_t>(train.size()), losses.size(0));
  for (int64_t t = 0; t < losses.size(0); ++t) {
    ExpectClose(At(train[t], "learning_rate"),
                golden.Get("lr")[t].item<double>(), 1e-14);
    for (int64_t j = 0; j < losses.size(1); ++j) {
      ExpectClose(At(train[t], absl::StrCat("loss_block_", j + 1)),
                  losses[t][j].item<double>(), 1e-8, "loss");
    }
  }
  // The authors add scores up in float32.
  for (const std::string split : {"valid", "test"}) {
    const std::vector<MetricsLine> lines =
        Lines(run_dir, split == "valid" ? "val" : split);
    ASSERT_EQ(lines.size(), 1u) << split;
    const at::Tensor score = golden.Get(split + "_loss_err1_err5");
    ExpectClose(At(lines[0], "loss"), score[0].item<double>(), 1e-6, split);
    EXPECT_NEAR(1 - At(lines[0], "accuracy"), score[1].item<double>(), 1e-6);
    EXPECT_NEAR(1 - At(lines[0], "accuracy5"), score[2].item<double>(), 1e-6);
  }
  EXPECT_TRUE(testing::Exists(run_dir + "/report.html"));
}

TEST(Trajectory, OfVgg19InTwoBlocks) {
  ExpectEvaluation("evaluate_vgg19_sedona_k2", {"--name",
                                                "vgg19",
                                                "--target-num-blocks",
                                                "2",
                                                "--eval-base-dir",
                                                "sedona_outputs/vgg19",
                                                "--batch-size",
                                                "8",
                                                "--valid-batch-size",
                                                "16",
                                                "--train-iters",
                                                "10",
                                                "--valid-freq",
                                                "10",
                                                "--lr",
                                                "0.02",
                                                "--valid-size",
                                                "0.3",
                                                "--seed",
                                                "2021"});
}

const Arguments kDgl = {"--name",
                        "resnet18",
                        "--target-num-blocks",
                        "2",
                        "--batch-size",
                        "8",
                        "--valid-batch-size",
                        "16",
                        "--train-iters",
                        "6",
                        "--valid-freq",
                        "6",
                        "--lr",
                        "0.05",
                        "--weight-decay",
                        "5e-4",
                        "--valid-size",
                        "0.3",
                        "--seed",
                        "2022"};

TEST(Trajectory, OfResNet18WithMlpSr) {
  ExpectEvaluation("evaluate_resnet18_dgl_k2", kDgl);
}

// The same with a thread per block.
TEST(Trajectory, OfThePipeline) {
  ExpectEvaluation("evaluate_resnet18_dgl_k2",
                   kDgl + Arguments{"--pipeline=threads"});
}

const Arguments kSearch = {"--name",
                           "resnet18",
                           "--not-load-memory",
                           "--max-dec-depth",
                           "2",
                           "--batch-size",
                           "6",
                           "--valid-batch-size",
                           "8",
                           "--valid-size",
                           "0.4",
                           "--train-iters",
                           "20",
                           "--meta-train-iters",
                           "3",
                           "--num-inner-steps",
                           "2",
                           "--lr",
                           "0.05",
                           "--seed",
                           "2021"};

void ExpectSearch(const std::string& objective, const std::string& prefix,
                  bool final_weights) {
  const Golden golden("search_resnet18/expected.pt");
  const std::string root = NewFolder("search_" + objective);
  const std::string run_dir = root + "/run";
  const ProgramResult result =
      Start("search", Recorded("search_resnet18", run_dir) + kSearch +
                          Arguments{"--meta-objective", objective, "--out-dir",
                                    root, "--mem-dir", root + "/memory"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<MetricsLine> meta = Lines(run_dir, "meta");
  ASSERT_EQ(meta.size(), 3u);
  const auto expect = [&](const char* metric, const at::Tensor& values) {
    for (int64_t i = 0; i < 3; ++i) {
      ExpectClose(At(meta[i], metric), values[i].item<double>(), 1e-9, metric);
    }
  };
  expect("loss", golden.Get(prefix + "meta_loss"));
  expect("learning_rate", golden.Get(prefix + "lr"));
  expect("weight_iteration", golden.Get(prefix + "step"));
  const at::Tensor inner = golden.Get(prefix + "inner_composite");
  expect("inner_composite_first", inner.select(1, 0));
  expect("inner_composite_last", inner.select(1, -1));
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(1 - At(meta[i], "accuracy"),
                golden.Get(prefix + "error")[i].item<double>(), 1e-12);
  }
  const auto found = ReadVariables(root + "/resnet18");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->alpha.scalar_type(), at::kDouble);
  ExpectClose(found->alpha, golden.Get(prefix + "alpha")[2], 1e-9, "alpha");
  ExpectClose(found->beta, golden.Get(prefix + "beta")[2], 1e-9, "beta");
  if (final_weights) ExpectFinal(run_dir + "/checkpoint.pt", golden, 1e-9);
}

TEST(Trajectory, OfASearchByTheLastInnerLoss) {
  ExpectSearch("last-inner", "", true);
}
TEST(Trajectory, OfASearchByTheValidationLoss) {
  ExpectSearch("valid", "valid.", false);
}

const Arguments kPretrain = {"--name",
                             "resnet18",
                             "--max-dec-depth",
                             "1",
                             "--batch-size",
                             "8",
                             "--valid-batch-size",
                             "8",
                             "--valid-size",
                             "0.4",
                             "--train-iters",
                             "6",
                             "--memory-size",
                             "3",
                             "--lr",
                             "0.02",
                             "--seed",
                             "2021"};

TEST(Trajectory, OfPretraining) {
  const Golden golden("pretrain_resnet18/expected.pt");
  const std::string root = NewFolder("pretrain"), run_dir = root + "/run";
  const ProgramResult result =
      Start("init_memory", Recorded("pretrain_resnet18", run_dir) + kPretrain +
                               Arguments{"--mem-dir", root});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  ExpectFinal(run_dir + "/checkpoint.pt", golden, 1e-8);
  const at::Tensor losses = golden.Get("losses");
  const std::vector<MetricsLine> train = Lines(run_dir, "train");
  const std::vector<MetricsLine> taken = Lines(run_dir, "snapshot");
  ASSERT_EQ(train.size(), 6u);
  ASSERT_EQ(taken.size(), 6u);
  const at::Tensor scores = golden.Get("snapshot_valid_loss_err1_err5");
  for (int64_t t = 0; t < 6; ++t) {
    for (int64_t i = 0; i < 8; ++i) {
      ExpectClose(At(train[t], absl::StrCat("loss_unit_", i)),
                  losses[t][i].item<double>(), 1e-8, "loss");
    }
    ExpectClose(At(taken[t], "loss"), scores[t][0].item<double>(), 1e-6);
    EXPECT_NEAR(1 - At(taken[t], "accuracy"), scores[t][1].item<double>(),
                1e-6);
  }
  const std::string folder = absl::StrCat(
      root,
      "/resnet18/feat_mult_0.125-dataset_cifar10-step_6-optim_momentum-"
      "lr_0.0200-lr_min_1.00e-03-smoothing_0.1000-batch_size_8-"
      "valid_batch_size_8");
  Arguments files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != "settings.txt") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  ASSERT_EQ(files.size(), 3u);
  for (size_t n = 0; n < files.size(); ++n) {
    const auto i = static_cast<int64_t>(n);
    const auto snapshot = LoadCheckpoint(files[n]);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    EXPECT_EQ(*snapshot->GetInt("step"),
              golden.Get("memory_steps")[i].item<int64_t>());
    EXPECT_NEAR(*snapshot->GetDouble("error"),
                golden.Get("memory_errors")[i].item<double>(), 1e-6);
    std::vector<at::Tensor> parameters, momenta;
    for (const auto& [name, value] : *snapshot->Find("model")->dict()) {
      if (absl::EndsWith(name, "num_batches_tracked")) continue;
      parameters.push_back(*value.tensor());
    }
    const Value& optimizer = *snapshot->Find("optim");
    for (const auto& [name, value] : *optimizer.Find("state")->dict()) {
      momenta.push_back(*value.Find("momentum_buffer")->tensor());
    }
    ExpectClose(Norms(parameters), golden.Get("memory_param_norms")[i], 1e-8,
                "parameters");
    ExpectClose(Norms(momenta), golden.Get("memory_momentum_norms")[i], 1e-8,
                "momenta");
    const Value& group = (*optimizer.Find("param_groups")->list())[0];
    ExpectClose(*group.GetDouble("lr"),
                golden.Get("memory_lr")[i].item<double>(), 1e-12, "rate");
  }
}

}  // namespace
}  // namespace altprop::sedona
