// The authors' program on some minibatches of MNIST and CIFAR-10, through our
// command line.

#include <cmath>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "common/training/start.h"
#include "ftprop/network.h"
#include "ftprop/program_test_util.h"
#include "ftprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::ftprop {
namespace {

using training::Dict;
using training::Value;

// What a recording starts from: its own weights where it has them, else the
// number sequence of the networks' recordings.
std::string WriteInit(const Golden& golden, const NetworkSpec& spec,
                      const std::string& folder) {
  Dict model;
  for (const std::string& key : golden.Keys()) {
    if (absl::StartsWith(key, "init/")) {
      model.emplace_back(key.substr(5), golden.Get(key));
    }
  }
  if (model.empty()) {
    Network filled = MakeNetwork(
        spec, std::vector<Threshold>(HiddenLayers(spec.architecture)),
        models::SeededGenerator(0));
    filled.state.ConvertTo(at::kDouble, at::kCPU);
    Fill(filled.state.parameters());
    model = training::ModelDict(filled.state.entries());
  }
  const std::string file = folder + "/init.pt";
  EXPECT_TRUE(
      training::SaveCheckpoint(file, Dict{{"model", std::move(model)}}).ok());
  return file;
}

void ExpectTrajectory(const std::string& name, const NetworkSpec& spec,
                      std::vector<std::string> arguments) {
  const Golden golden(absl::StrCat("traj_", name, ".pt"));
  const std::string folder = testing::NewFolder(name);
  const std::string run_dir = folder + "/run";
  for (const std::string& more :
       {absl::StrCat("--init_from=", WriteInit(golden, spec, folder)),
        absl::StrCat("--data_root=ftprop/testdata/",
                     spec.channels == 1 ? "mnist" : "cifar10"),
        std::string("--no-val"), std::string("--plot-test"),
        std::string("--shuffle=false"), std::string("--augment=false"),
        std::string("--dropout=0"), std::string("--precision=fp64"),
        std::string("--log_every=1"), std::string("--loss=crossent"),
        std::string("--threads=1"), absl::StrCat("--run_dir=", run_dir)}) {
    arguments.push_back(more);
  }
  const auto result = RunTrain(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;

  const at::Tensor losses = golden.Get("losses");
  const auto train = MetricsOf(run_dir, "train");
  ASSERT_EQ(static_cast<int64_t>(train.size()), losses.numel());
  for (size_t step = 0; step < train.size(); ++step) {
    EXPECT_NEAR(ValueOf(train[step], "loss"), losses[step].item<double>(), 1e-8)
        << step;
  }
  const at::Tensor evals = golden.Get("evals");
  const auto test = MetricsOf(run_dir, "test");
  ASSERT_EQ(static_cast<int64_t>(test.size()), evals.size(0));
  for (size_t epoch = 0; epoch < test.size(); ++epoch) {
    EXPECT_NEAR(ValueOf(test[epoch], "loss"), evals[epoch][0].item<double>(),
                1e-8);
    EXPECT_NEAR(100 * ValueOf(test[epoch], "accuracy"),
                evals[epoch][1].item<double>(), 1e-8);
    EXPECT_NEAR(100 * ValueOf(test[epoch], "accuracy5"),
                evals[epoch][2].item<double>(), 1e-8);
  }
  const auto ours = training::LoadCheckpoint(run_dir + "/checkpoint.pt");
  ASSERT_TRUE(ours.ok()) << ours.status();
  for (const auto& [parameter, value] : **ours->GetDict("model")) {
    if (absl::EndsWith(parameter, "num_batches_tracked")) {
      EXPECT_EQ(value.tensor()->item<int64_t>(), losses.numel());
      continue;
    }
    golden.Expect("final/" + parameter, *value.tensor(), 1e-6,
                  /*relative=*/true);
  }
}

NetworkSpec Narrow(int64_t channels, int64_t side, bool batch_norm) {
  NetworkSpec spec;
  spec.channels = channels;
  spec.side = side;
  spec.batch_norm = batch_norm;
  spec.widths = {6, 8, 24};
  return spec;
}

TEST(Trajectory, NarrowConvnet4OnMnistByAdam) {
  ExpectTrajectory(
      "narrow_convnet4_mnist_step11_softhinge_adam", Narrow(1, 28, false),
      {"--ds=mnist", "--arch=convnet4", "--widths", "6", "8", "24",
       "--nonlin=step11", "--tp-rule=SoftHinge", "--opt=adam", "--lr=2.5e-3",
       "--wtdecay=5e-4", "--batch=16", "--epochs=2"});
}

TEST(Trajectory, NarrowConvnet4WithBatchNormBySgd) {
  ExpectTrajectory(
      "narrow_convnet4_bn_cifar_staircase3_sste_sgd", Narrow(3, 32, true),
      {"--ds=cifar10", "--arch=convnet4", "--widths", "6", "8", "24",
       "--use-bn", "--nonlin=staircase3", "--tp-rule=SSTE", "--opt=sgd",
       "--lr=.02", "--momentum=0.9", "--wtdecay=5e-4", "--batch=20",
       "--epochs=3", "--lr-decay=0.5", "--lr-decay-epochs", "2", "3"});
}

TEST(Trajectory, Convnet4ByAdamWithImportanceWeighting) {
  ExpectTrajectory(
      "convnet4_cifar_step11_softhinge_adam", {},
      {"--ds=cifar10", "--arch=convnet4", "--nonlin=step11",
       "--tp-rule=SoftHinge", "--opt=adam", "--lr=0.00025", "--wtdecay=5e-4",
       "--batch=16", "--epochs=2", "--lr-decay=0.1", "--lr-decay-epochs", "2"});
}

TEST(Trajectory, Convnet4ByAdamWithoutImportanceWeighting) {
  ExpectTrajectory("convnet4_cifar_step11_softhinge_unscaled_adam", {},
                   {"--ds=cifar10", "--arch=convnet4", "--nonlin=step11",
                    "--no-tp-grad-scale", "--opt=adam", "--lr=0.00025",
                    "--wtdecay=5e-4", "--batch=16", "--epochs=1"});
}

TEST(Trajectory, Convnet4OnMnistBySgd) {
  NetworkSpec spec;
  spec.channels = 1;
  spec.side = 28;
  ExpectTrajectory(
      "convnet4_mnist_staircase3_sste_sgd", spec,
      {"--ds=mnist", "--limit_train=72", "--arch=convnet4",
       "--nonlin=staircase3", "--tp-rule=SSTE", "--opt=sgd", "--lr=.01",
       "--momentum=0.9", "--wtdecay=5e-4", "--batch=16", "--epochs=2",
       "--lr-decay=0.1", "--lr-decay-epochs", "2"});
}

TEST(Trajectory, Convnet8ByAdam) {
  NetworkSpec spec;
  spec.architecture = Architecture::kConvnet8;
  spec.batch_norm = true;
  ExpectTrajectory("convnet8_bn_cifar_staircase3_softhinge_adam", spec,
                   {"--ds=cifar10", "--arch=convnet8", "--use-bn",
                    "--nonlin=staircase3", "--tp-rule=SoftHinge", "--opt=adam",
                    "--lr=1e-3", "--wtdecay=5e-4", "--batch=24", "--epochs=2"});
}

}  // namespace
}  // namespace altprop::ftprop
