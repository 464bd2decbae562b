// The command lines of the original programs, word for word as their READMEs
// and check scripts give them after `python main.py`, set flags as argparse
// did. The flags here are the originals'; those of the first part are all the
// flags of the equilibrium propagation program.

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "common/cli/lists.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"

using altprop::cli::FloatList;
using altprop::cli::IntList;

ABSL_FLAG(std::string, model, "MLP", "");
ABSL_FLAG(std::string, task, "MNIST", "");
ABSL_FLAG(std::string, pools, "mm", "");
ABSL_FLAG(IntList, archi, (IntList{{784, 512, 10}}), "");
ABSL_FLAG(IntList, channels, (IntList{{32, 64}}), "");
ABSL_FLAG(IntList, kernels, (IntList{{5, 5}}), "");
ABSL_FLAG(IntList, strides, (IntList{{1, 1}}), "");
ABSL_FLAG(IntList, paddings, (IntList{{0, 0}}), "");
ABSL_FLAG(IntList, fc, (IntList{{10}}), "");
ABSL_FLAG(std::string, act, "mysig", "");
ABSL_FLAG(std::string, optim, "sgd", "");
ABSL_FLAG(FloatList, lrs, {}, "");
ABSL_FLAG(FloatList, wds, {}, "");
ABSL_FLAG(double, mmt, 0.0, "");
ABSL_FLAG(std::string, loss, "mse", "");
ABSL_FLAG(std::string, alg, "EP", "");
ABSL_FLAG(int64_t, mbs, 20, "");
ABSL_FLAG(int64_t, T1, 20, "");
ABSL_FLAG(int64_t, T2, 4, "");
ABSL_FLAG(FloatList, betas, (FloatList{{0.0, 0.01}}), "");
ABSL_FLAG(int64_t, epochs, 1, "");
ABSL_FLAG(bool, check_thm, false, "");
ABSL_FLAG(bool, random_sign, false, "");
ABSL_FLAG(bool, data_aug, false, "");
ABSL_FLAG(bool, lr_decay, false, "");
ABSL_FLAG(std::optional<double>, scale, std::nullopt, "");
ABSL_FLAG(bool, save, false, "");
ABSL_FLAG(std::string, todo, "train", "");
ABSL_FLAG(std::string, load_path, "", "");
ABSL_FLAG(std::optional<int64_t>, seed, std::nullopt, "");
ABSL_FLAG(std::string, device, "0", "");
ABSL_FLAG(bool, thirdphase, false, "");
ABSL_FLAG(bool, softmax, false, "");
ABSL_FLAG(bool, same_update, false, "");
ABSL_FLAG(bool, cep_debug, false, "");

// From the other programs: styles that the first one has not.
ABSL_FLAG(double, lr, 0.1, "");
ABSL_FLAG(IntList, lr_decay_epochs, {}, "");
ABSL_FLAG(bool, no_val, false, "");
ABSL_FLAG(bool, use_bn, false, "");
ABSL_FLAG(int64_t, workers, 4, "");
ABSL_FLAG(int64_t, batch_size, 256, "");
ABSL_FLAG(bool, evaluate, false, "");
ABSL_FLAG(IntList, lr_milestones, (IntList{{84}}), "");
ABSL_FLAG(std::string, dist_url, "", "");
ABSL_FLAG(IntList, gpu_devices, {}, "");

namespace altprop::cli {
namespace {

using Doubles = std::vector<double>;
using Ints = std::vector<int64_t>;
using Strings = std::vector<std::string>;

const Program& Eqprop() {
  static const auto& program = *new Program{
      .name = "//eqprop:train",
      .summary = "",
      .groups = {
          {"Model",
           {"model", "task", "pools", "archi", "channels", "kernels", "strides",
            "paddings", "fc", "act", "softmax", "same_update", "scale"}},
          {"Learning",
           {"optim", "lrs", "wds", "mmt", "loss", "alg", "mbs", "T1", "T2",
            "betas", "epochs", "check_thm", "random_sign", "data_aug",
            "lr_decay", "thirdphase", "cep_debug"}},
          {"Run", {"save", "todo", "load_path", "seed", "device"}}}};
  return program;
}

const Program& Imagenet() {
  static const auto& program = *new Program{
      .name = "//iterbin:imagenet",
      .summary = "",
      .groups = {{"All",
                  {"lr", "workers", "batch_size", "evaluate", "lr_milestones",
                   "dist_url", "epochs", "seed"}}},
      .aliases = {{"j", "workers"},
                  {"b", "batch_size"},
                  {"e", "evaluate"},
                  {"learning-rate", "lr"}},
      .positionals = 2,
      .positional_usage = "DATA LOGDIR"};
  return program;
}

class ReferenceCommandLine : public testing::Test {
 protected:
  // `line` has no quotes, so the shell would split it at its spaces.
  ParsedArguments Parse(const std::string& line,
                        const Program& program = Eqprop()) {
    const Strings args = absl::StrSplit(line, ' ', absl::SkipEmpty());
    absl::StatusOr<ParsedArguments> parsed = ParseCommandLine(args, program);
    EXPECT_EQ(parsed.status(), absl::OkStatus()) << line;
    return parsed.value_or(ParsedArguments());
  }

 private:
  absl::FlagSaver saver_;
};

// What all the published CIFAR-10 commands share.
constexpr char kCifar10[] =
    " --task CIFAR10 --data-aug --channels 128 256 512 512 --kernels 3 3 3 3 "
    "--pools mmmm --strides 1 1 1 1 --paddings 1 1 1 0 --fc 10 --optim sgd "
    "--lrs 0.25 0.15 0.1 0.08 0.05 --wds 3e-4 3e-4 3e-4 3e-4 3e-4 --mmt 0.9 "
    "--lr-decay --epochs 120 --act my_hard_sig --todo train ";

void ExpectCifar10() {
  EXPECT_EQ(absl::GetFlag(FLAGS_task), "CIFAR10");
  EXPECT_TRUE(absl::GetFlag(FLAGS_data_aug));
  EXPECT_EQ(absl::GetFlag(FLAGS_channels).values, (Ints{128, 256, 512, 512}));
  EXPECT_EQ(absl::GetFlag(FLAGS_kernels).values, (Ints{3, 3, 3, 3}));
  EXPECT_EQ(absl::GetFlag(FLAGS_pools), "mmmm");
  EXPECT_EQ(absl::GetFlag(FLAGS_strides).values, (Ints{1, 1, 1, 1}));
  EXPECT_EQ(absl::GetFlag(FLAGS_paddings).values, (Ints{1, 1, 1, 0}));
  EXPECT_EQ(absl::GetFlag(FLAGS_fc).values, Ints{10});
  EXPECT_EQ(absl::GetFlag(FLAGS_optim), "sgd");
  EXPECT_EQ(absl::GetFlag(FLAGS_lrs).values,
            (Doubles{0.25, 0.15, 0.1, 0.08, 0.05}));
  EXPECT_EQ(absl::GetFlag(FLAGS_wds).values,
            (Doubles{3e-4, 3e-4, 3e-4, 3e-4, 3e-4}));
  EXPECT_EQ(absl::GetFlag(FLAGS_mmt), 0.9);
  EXPECT_TRUE(absl::GetFlag(FLAGS_lr_decay));
  EXPECT_EQ(absl::GetFlag(FLAGS_epochs), 120);
  EXPECT_EQ(absl::GetFlag(FLAGS_act), "my_hard_sig");
  EXPECT_EQ(absl::GetFlag(FLAGS_todo), "train");
}

struct Published {
  std::string name, before, after;  // around kCifar10
  std::string model, alg, loss;
  int64_t T2;
  Doubles betas;
  bool thirdphase, random_sign, softmax, same_update;
};

class PublishedCommandLine : public ReferenceCommandLine,
                             public testing::WithParamInterface<Published> {};

TEST_P(PublishedCommandLine, SetsItsFlags) {
  const Published& row = GetParam();
  Parse(row.before + kCifar10 + row.after);
  ExpectCifar10();
  EXPECT_EQ(absl::GetFlag(FLAGS_model), row.model);
  EXPECT_EQ(absl::GetFlag(FLAGS_alg), row.alg);
  EXPECT_EQ(absl::GetFlag(FLAGS_loss), row.loss);
  EXPECT_EQ(absl::GetFlag(FLAGS_T1), 250);
  EXPECT_EQ(absl::GetFlag(FLAGS_T2), row.T2);
  EXPECT_EQ(absl::GetFlag(FLAGS_mbs), 128);
  EXPECT_EQ(absl::GetFlag(FLAGS_betas).values, row.betas);
  EXPECT_EQ(absl::GetFlag(FLAGS_thirdphase), row.thirdphase);
  EXPECT_EQ(absl::GetFlag(FLAGS_random_sign), row.random_sign);
  EXPECT_EQ(absl::GetFlag(FLAGS_softmax), row.softmax);
  EXPECT_EQ(absl::GetFlag(FLAGS_same_update), row.same_update);
  EXPECT_TRUE(absl::GetFlag(FLAGS_save));
  EXPECT_EQ(absl::GetFlag(FLAGS_device), "0");
}

INSTANTIATE_TEST_SUITE_P(
    Eqprop, PublishedCommandLine,
    testing::Values(
        Published{"OneSided",
                  "--model CNN",
                  "--T1 250 --T2 30 --mbs 128 --alg EP --betas 0.0 0.5 --loss "
                  "mse --save --device 0",
                  "CNN",
                  "EP",
                  "mse",
                  30,
                  {0, 0.5},
                  false,
                  false,
                  false,
                  false},
        Published{"RandomSign",
                  "--model CNN",
                  "--T1 250 --T2 30 --mbs 128 --alg EP --betas 0.0 0.5 "
                  "--random-sign --loss mse --save --device 0",
                  "CNN",
                  "EP",
                  "mse",
                  30,
                  {0, 0.5},
                  false,
                  true,
                  false,
                  false},
        Published{"Symmetric",
                  "--model CNN",
                  "--T1 250 --T2 30 --mbs 128 --alg EP --betas 0.0 0.5 "
                  "--thirdphase --loss mse --save --device 0",
                  "CNN",
                  "EP",
                  "mse",
                  30,
                  {0, 0.5},
                  true,
                  false,
                  false,
                  false},
        Published{"Bptt",
                  "--model CNN",
                  "--T1 250 --T2 30 --mbs 128 --alg BPTT --loss mse --save "
                  "--device 0",
                  "CNN",
                  "BPTT",
                  "mse",
                  30,
                  {0, 0.01},
                  false,
                  false,
                  false,
                  false},
        Published{"CrossEntropy",
                  "--model CNN",
                  "--T1 250 --T2 25 --mbs 128 --alg EP --betas 0.0 1.0 "
                  "--thirdphase --loss cel --softmax --save --device 0",
                  "CNN",
                  "EP",
                  "cel",
                  25,
                  {0, 1},
                  true,
                  false,
                  true,
                  false},
        Published{"VectorFieldSameUpdate",
                  "--model VFCNN",
                  "--T1 250 --T2 30 --mbs 128 --alg EP --betas 0.0 1.0 "
                  "--thirdphase --loss cel --softmax --same-update --save "
                  "--device 0",
                  "VFCNN",
                  "EP",
                  "cel",
                  30,
                  {0, 1},
                  true,
                  false,
                  true,
                  true}),
    [](const auto& info) { return info.param.name; });

TEST_F(ReferenceCommandLine, EvaluatesAFolder) {
  Parse(
      "--model CNN --task CIFAR10 --data-aug --todo evaluate --T1 250 --mbs "
      "200 "
      "--thirdphase --loss mse --save --device 0 --load-path "
      "results/EP/mse/2021-01-01/00-00-00_gpu0/");
  EXPECT_EQ(absl::GetFlag(FLAGS_todo), "evaluate");
  EXPECT_EQ(absl::GetFlag(FLAGS_load_path),
            "results/EP/mse/2021-01-01/00-00-00_gpu0/");
}

TEST_F(ReferenceCommandLine, ChecksGradientsWithNegativeBetas) {
  Parse(
      "--model MLP --task MNIST --archi 784 512 10 --act tanh --todo gducheck "
      "--T1 30 --T2 10 --mbs 50 --betas 0.0 -0.1 --loss mse --seed 0 --save");
  EXPECT_EQ(absl::GetFlag(FLAGS_betas).values, (Doubles{0, -0.1}));
  EXPECT_EQ(absl::GetFlag(FLAGS_seed), 0);
}

TEST_F(ReferenceCommandLine, TrainsOnMnist) {
  const ParsedArguments parsed = Parse(
      "--model MLP --task MNIST --archi 784 512 10 --optim adam --lrs 5e-4 "
      "5e-4 "
      "--epochs 2 --act mysig --todo train --betas 0.0 0.1 --T1 30 --T2 10 "
      "--mbs 50 --loss mse --check-thm --save --device 0");
  EXPECT_EQ(absl::GetFlag(FLAGS_archi).values, (Ints{784, 512, 10}));
  EXPECT_EQ(absl::GetFlag(FLAGS_lrs).values, (Doubles{5e-4, 5e-4}));
  EXPECT_TRUE(absl::GetFlag(FLAGS_check_thm));
  EXPECT_TRUE(parsed.Given("archi"));
  EXPECT_FALSE(parsed.Given("wds"));
}

TEST_F(ReferenceCommandLine, TakesArgparsesAbbreviations) {
  Parse(
      "--arch 784 10 --lrs=0.1 --mb 5 --third --rand --same --load=x --sc 0.5");
  EXPECT_EQ(absl::GetFlag(FLAGS_archi).values, (Ints{784, 10}));
  EXPECT_EQ(absl::GetFlag(FLAGS_mbs), 5);
  EXPECT_TRUE(absl::GetFlag(FLAGS_thirdphase));
  EXPECT_TRUE(absl::GetFlag(FLAGS_random_sign));
  EXPECT_TRUE(absl::GetFlag(FLAGS_same_update));
  EXPECT_EQ(absl::GetFlag(FLAGS_load_path), "x");
  EXPECT_EQ(absl::GetFlag(FLAGS_scale), 0.5);
}

TEST_F(ReferenceCommandLine, RefusesAFlagOfAnOldVersion) {
  EXPECT_EQ(ParseCommandLine({"--save-nrn"}, Eqprop()).status().message(),
            "--save-nrn: unknown flag; the nearest is --save (see --help)");
}

TEST_F(ReferenceCommandLine, SetsDecayEpochsAndNegativeSwitches) {
  const Program ftprop = {
      .name = "//ftprop:train",
      .summary = "",
      .groups = {
          {"All", {"lr", "lr_decay", "lr_decay_epochs", "no_val", "use_bn"}}}};
  Parse("--lr 0.001 --lr-decay-epochs 200 250 --use-bn --no-val", ftprop);
  EXPECT_EQ(absl::GetFlag(FLAGS_lr), 0.001);
  EXPECT_EQ(absl::GetFlag(FLAGS_lr_decay_epochs).values, (Ints{200, 250}));
  EXPECT_TRUE(absl::GetFlag(FLAGS_use_bn));
  EXPECT_TRUE(absl::GetFlag(FLAGS_no_val));
}

TEST_F(ReferenceCommandLine, TakesShortOptionsAndPositionals) {
  const ParsedArguments parsed = Parse(
      "-j 8 -b 128 -e --learning-rate 0.01 --dist-url tcp://127.0.0.1:3456 "
      "--lr-milestones [42,57] --epochs=67 /data/imagenet ./logs",
      Imagenet());
  EXPECT_EQ(absl::GetFlag(FLAGS_workers), 8);
  EXPECT_EQ(absl::GetFlag(FLAGS_batch_size), 128);
  EXPECT_TRUE(absl::GetFlag(FLAGS_evaluate));
  EXPECT_EQ(absl::GetFlag(FLAGS_lr), 0.01);
  EXPECT_EQ(absl::GetFlag(FLAGS_dist_url), "tcp://127.0.0.1:3456");
  EXPECT_EQ(absl::GetFlag(FLAGS_lr_milestones).values, (Ints{42, 57}));
  EXPECT_EQ(parsed.positionals, (Strings{"/data/imagenet", "./logs"}));
}

TEST_F(ReferenceCommandLine, LetsASwitchPrecedePositionals) {
  const ParsedArguments parsed = Parse("-e /data/imagenet ./logs", Imagenet());
  EXPECT_EQ(parsed.positionals.size(), 2);
}

TEST_F(ReferenceCommandLine, TakesDeviceListsBetweenFlags) {
  const Program cbp = {
      .name = "//cbp:train",
      .summary = "",
      .groups = {{"All", {"gpu_devices", "batch_size", "model"}}}};
  Parse("--gpu_devices 0 1 2 3 --batch-size 256 --model resnet18", cbp);
  EXPECT_EQ(absl::GetFlag(FLAGS_gpu_devices).values, (Ints{0, 1, 2, 3}));
  EXPECT_EQ(absl::GetFlag(FLAGS_batch_size), 256);
}

}  // namespace
}  // namespace altprop::cli
