// Every published script starts: one minibatch of it with its own flags, on a
// few images.

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/testing/files.h"
#include "common/testing/subprocess.h"
#include "gtest/gtest.h"

namespace altprop::iterbin {
namespace {

constexpr char kScripts[] = "iterbin/scripts/";

struct Script {
  std::string path;                    // "mnist/300/run/layer"
  std::vector<std::string> arguments;  // their names
};

std::vector<Script> Scripts() {
  std::vector<Script> scripts;
  const std::string usages = testing::ReadFile("iterbin/scripts_usages.txt");
  for (const auto line : absl::StrSplit(usages, '\n', absl::SkipEmpty())) {
    std::vector<std::string> words = absl::StrSplit(line, ' ');
    Script& script = scripts.emplace_back();
    script.path = words.front();
    script.arguments.assign(words.begin() + 1, words.end());
  }
  return scripts;
}

std::string NetworkOf(const std::string& path) {
  for (const char* network : {"vgg5", "vgg9", "resnet20", "784"}) {
    if (absl::StrContains(path, network)) return network;
  }
  return absl::StrContains(path, "vgg") ? "vgg9" : "300";
}

std::string Value(const Script& script, const std::string& argument) {
  const std::string network = NetworkOf(script.path);
  const bool perceptron = absl::StartsWith(script.path, "mnist");
  if (argument == "name") return "full";
  if (argument == "model") return network + "_layer";
  if (argument == "order") return perceptron ? "132" : "ascend";
  if (argument == "orderfile") {
    return absl::StrCat(perceptron ? "mlp3" : network, "_layers_reverse.json");
  }
  if (argument == "i") return "2";
  if (argument == "epochs") return "3";
  if (argument == "P") return "2";
  if (argument == "milestones") return "[2,3]";
  if (argument == "lr") return "0.01";
  if (argument == "seed") return "1";
  if (argument == "splitfile") {
    return "iterbin/testdata/cli_cifar_resnet20_layer/data/split.json";
  }
  EXPECT_EQ(argument, "gpu");
  return "0";
}

std::string File(const Script& script) {
  return absl::StrCat(kScripts, script.path, ".sh");
}

class ScriptTest : public ::testing::TestWithParam<Script> {};

TEST_P(ScriptTest, Starts) {
  const Script& script = GetParam();
  if (absl::StartsWith(script.path, "imagenet")) {
    GTEST_SKIP() << "in imagenet_test";
  }
  const bool mnist = absl::StartsWith(script.path, "mnist");
  const std::string run_dir = testing::NewFolder("script") + "/run";
  std::vector<std::string> command = {File(script)};
  for (const std::string& argument : script.arguments) {
    command.push_back(Value(script, argument));
  }
  command.push_back(absl::StrCat(
      "--data_root=iterbin/testdata/",
      mnist ? "cli_mnist300_layer/data" : "cli_cifar_resnet20_layer/data"));
  if (!mnist) {
    command.push_back(
        "--dataset-indices="
        "iterbin/testdata/cli_cifar_resnet20_layer/data/split.json");
  }
  command.insert(command.end(),
                 {"--limit_train=8", "--limit_test=8", "--max_steps=1",
                  "--threads=1", absl::StrCat("--run_dir=", run_dir)});
  const auto result = testing::RunProgram(command);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(testing::Exists(run_dir + "/checkpoint.pt"));
  // An evaluation on the split that the script names.
  const bool validates = absl::StrContains(script.path, "val") ||
                         absl::StrContains(script.path, "sensitivity");
  EXPECT_TRUE(absl::StrContains(result.out,
                                validates ? "Prefix val/," : "Prefix test/,"))
      << result.out;
  EXPECT_EQ(absl::StrContains(result.out, "Prefix train/,"), !validates);
  const std::string flags = testing::ReadFile(run_dir + "/flags.txt");
  EXPECT_TRUE(absl::StrContains(flags, "--log_interval=150"));
}

TEST_P(ScriptTest, WrongCountPrintsTheUsage) {
  const Script& script = GetParam();
  for (const size_t count :
       {script.arguments.size() - 1, script.arguments.size() + 1}) {
    std::vector<std::string> command = {File(script)};
    command.insert(command.end(), count, "x");
    const auto result = testing::RunProgram(command);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_TRUE(absl::StrContains(
        result.err, absl::StrCat("-- ", absl::StrJoin(script.arguments, " "))))
        << result.err;
    EXPECT_TRUE(absl::StartsWith(result.err, "usage: bazel run //iterbin"));
  }
}

INSTANTIATE_TEST_SUITE_P(, ScriptTest, ::testing::ValuesIn(Scripts()),
                         [](const auto& info) {
                           return absl::StrJoin(
                               absl::StrSplit(info.param.path, '/'), "_");
                         });

TEST(Scripts, AreAllThere) { EXPECT_EQ(Scripts().size(), 51u); }

// The run directory, where nothing else says so, is the authors' folder.
TEST(Scripts, NameTheFolderAsTheAuthorsDo) {
  const std::string folder = testing::NewFolder("folder");
  const std::string data = absl::StrCat(
      std::getenv("TEST_SRCDIR"), "/", std::getenv("TEST_WORKSPACE"),
      "/iterbin/testdata/cli_mnist300_layer/data");
  const auto result = testing::RunProgram(
      {std::string(kScripts) + "mnist/300/run/layer.sh", "full", "132", "0.1",
       "316", "0", absl::StrCat("--data_root=", data), "--limit_train=8",
       "--limit_test=8", "--max_steps=1", "--threads=1"},
      {{"BUILD_WORKING_DIRECTORY", folder}});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(testing::Exists(absl::StrCat(
      folder,
      "/logs/mnist/run/full/300_layer-lr0.1-seed316-ep450-eplayer150-"
      "mlp3_layers_132.json/checkpoint.pt")));
}

}  // namespace
}  // namespace altprop::iterbin
