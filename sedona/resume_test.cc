// A run that was stopped and continued ends with the bytes of one that never
// was.

#include <csignal>
#include <string>

#include "ATen/TensorOperators.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"
#include "sedona/program_test_util.h"
#include "sedona/variables.h"

namespace altprop::sedona {
namespace {

using testing::NewFolder;
using testing::ProgramResult;

std::string Bytes(const std::string& run_dir) {
  return testing::ReadFile(run_dir + "/checkpoint.pt");
}

// Stopped after `steps`, then continued with nothing but --resume.
void ExpectSameBytes(const std::string& program, const Arguments& flags,
                     int steps, const std::string& root,
                     const Arguments& places) {
  const std::string whole = root + "/whole", part = root + "/part";
  ProgramResult result = Start(program, Small(whole) + flags);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  result = Start(program, Small(part) + flags +
                              Arguments{absl::StrCat("--max_steps=", steps)});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(Bytes(part) != Bytes(whole));
  result = Start(program, Arguments{"--resume", part, "--threads=1"} + places);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(Bytes(part) == Bytes(whole)) << flags.front() << " " << root;
}

TEST(Resume, GreedyTrainingEndsWithTheSameBytes) {
  const Arguments kKinds[] = {
      {"--name=vgg11", "--target-num-blocks=3"},
      {"--name=resnet18-predsim", "--target-num-blocks=4",
       "--baseline-dec-type=predsim", "--optim=adam", "--lr=1e-3",
       "--classes-per-batch=4", "--classes-per-batch-until-iter=6"},
      {"--name=vgg19", "--target-num-blocks=2", "--pipeline=threads",
       "--eval-base-dir=sedona_outputs/vgg19"},
      {"--name=vgg19", "--eval-continuous", "--feat-mult=0.25",
       "--eval-base-dir=sedona_outputs/vgg19"}};
  for (const auto& kind : kKinds) {
    const std::string root = NewFolder("resume");
    ExpectSameBytes(
        "evaluate",
        kind + Folders(root) + Arguments{"--train-iters=9", "--valid-freq=4"},
        6, root, Folders(root));
  }
}

TEST(Resume, PretrainingEndsWithTheSameBytes) {
  const std::string root = NewFolder("resume");
  ExpectSameBytes("init_memory",
                  {"--name=resnet18", "--train-iters=7", "--memory-size=3",
                   "--max-dec-depth=2", "--mem-dir=" + root},
                  4, root, {"--mem-dir=" + root});
}

TEST(Resume, ASearchEndsWithTheSameBytes) {
  for (const bool memory : {false, true}) {
    const std::string root = NewFolder("resume");
    Arguments flags = {
        "--name=resnet18",     "--train-iters=4",   "--meta-train-iters=4",
        "--num-inner-steps=2", "--max-dec-depth=2", "--memory-size=3",
        "--mem-dir=" + root,   "--out-dir=" + root, "--lr=0.02"};
    if (!memory) flags.push_back("--not-load-memory");
    ExpectSameBytes("search", flags, 2, root,
                    {"--mem-dir=" + root, "--out-dir=" + root});
    const auto found = ReadVariables(root + "/resnet18");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_GT(found->alpha.abs().min().item<double>(), 0);
    EXPECT_GT(found->beta.abs().max().item<double>(), 0);
  }
}

TEST(Resume, AfterASignal) {
  const std::string root = NewFolder("signal");
  const std::string whole = root + "/whole", hit = root + "/hit";
  const Arguments longer = {"--train-iters=150", "--valid-freq=5"};
  ASSERT_EQ(Start("evaluate", SmallTraining(root, whole) + longer).exit_code,
            0);
  testing::Subprocess process(
      Command("evaluate", SmallTraining(root, hit) + longer));
  ASSERT_TRUE(testing::WaitForFile(hit + "/best.pt", absl::Seconds(60)));
  process.Signal(SIGTERM);
  const ProgramResult stopped = process.Wait();
  ASSERT_EQ(stopped.exit_code, 128 + SIGTERM) << stopped.err;
  EXPECT_TRUE(absl::StrContains(stopped.err, "--resume=")) << stopped.err;
  const ProgramResult result = Start(
      "evaluate", Arguments{"--resume", hit, "--threads=1"} + Folders(root));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(Bytes(hit) == Bytes(whole));
}

}  // namespace
}  // namespace altprop::sedona
