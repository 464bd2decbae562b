#include "common/training/options.h"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/reflection.h"
#include "common/cli/parse.h"
#include "common/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

cli::Program TestProgram() {
  return {"//test", "", {DataFlagGroup(), RunFlagGroup()}};
}

// The options of a command line; flags go back to their defaults after it.
absl::StatusOr<RunOptions> Options(const std::vector<std::string>& args) {
  const absl::FlagSaver saver;
  const auto parsed = cli::ParseCommandLine(args, TestProgram());
  if (!parsed.ok()) return parsed.status();
  return RunOptionsFromFlags();
}

std::string Message(const std::vector<std::string>& args) {
  const auto options = Options(args);
  EXPECT_EQ(ExitCode(options.status()), 2);
  return std::string(options.status().message());
}

TEST(FlagGroups, ListFlagsThatExist) {
  const absl::Status status = cli::CheckProgram(TestProgram());
  EXPECT_TRUE(status.ok()) << status;
}

TEST(RunOptionsFromFlags, HasTheDocumentedDefaults) {
  const auto o = Options({});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->run_dir, "");
  EXPECT_EQ(o->resume, "");
  EXPECT_EQ(o->threads, 0);
  EXPECT_EQ(o->precision, Precision::kFp32);
  EXPECT_EQ(o->seed, 0u);
  EXPECT_TRUE(o->shuffle);
  EXPECT_TRUE(o->augment);
  EXPECT_FALSE(o->download);
  EXPECT_FALSE(o->check_flags);
}

TEST(RunOptionsFromFlags, ReadsEveryFlag) {
  const auto o = Options({"--run-dir",
                          "r",
                          "--export=e.safetensors",
                          "--device=cpu",
                          "--threads",
                          "2",
                          "--precision=fp64",
                          "--seed=18446744073709551615",
                          "--log-every=3",
                          "--checkpoint-every=4",
                          "--max-steps=5",
                          "--check-flags",
                          "--data-root",
                          "/d",
                          "--download",
                          "--no-shuffle",
                          "--augment=false",
                          "--limit-train=6",
                          "--limit-test=7",
                          "--init-from=/i.pt"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->run_dir, "r");
  EXPECT_THAT(o->export_to, testing::EndsWith("e.safetensors"));
  EXPECT_EQ(o->device, c10::Device(c10::kCPU));
  EXPECT_EQ(o->threads, 2);
  EXPECT_EQ(o->precision, Precision::kFp64);
  EXPECT_EQ(o->seed, 18446744073709551615u);
  EXPECT_EQ(o->log_every, 3);
  EXPECT_EQ(o->checkpoint_every, 4);
  EXPECT_EQ(o->max_steps, 5);
  EXPECT_TRUE(o->check_flags);
  EXPECT_EQ(o->data_root, "/d");
  EXPECT_TRUE(o->download);
  EXPECT_FALSE(o->shuffle);
  EXPECT_FALSE(o->augment);
  EXPECT_EQ(o->limit_train, 6);
  EXPECT_EQ(o->limit_test, 7);
  EXPECT_EQ(o->init_from, "/i.pt");
}

TEST(RunOptionsFromFlags, FindsPathsFromWhereTheUserStands) {
  setenv("BUILD_WORKING_DIRECTORY", "/where/the/user/stands", 1);
  const auto o = Options({"--init_from=a/b.pt", "--data_root=../d"});
  unsetenv("BUILD_WORKING_DIRECTORY");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(std::filesystem::path(o->init_from).lexically_normal(),
            "/where/the/user/stands/a/b.pt");
  EXPECT_EQ(std::filesystem::path(o->data_root).lexically_normal(),
            "/where/the/user/d");
}

TEST(RunOptionsFromFlags, TakesAFolderToResumeForItsCheckpoint) {
  const std::string folder = testing::TempDir() + "/run";
  std::filesystem::create_directories(folder);
  EXPECT_EQ(Options({"--resume=" + folder})->resume, folder + "/checkpoint.pt");
  EXPECT_EQ(Options({"--resume=" + folder + "/best.pt"})->resume,
            folder + "/best.pt");
}

TEST(RunOptionsFromFlags, NamesTheFlagAndWhatItExpects) {
  EXPECT_EQ(Message({"--threads=-5"}), "--threads=-5: must be at least 0");
  for (const char* flag : {"log_every", "checkpoint_every", "max_steps",
                           "limit_train", "limit_test"}) {
    EXPECT_EQ(Message({std::string("--") + flag + "=-1"}),
              std::string("--") + flag + "=-1: must be at least 0");
  }
  EXPECT_EQ(Message({"--precision=half"}),
            "--precision=half: expected fp64, fp32, tf32 or bf16");
  EXPECT_EQ(Message({"--device=tpu"}),
            "--device=tpu: expected auto, cpu, cuda, cuda:N or N");
  EXPECT_EQ(Message({"--resume=a.pt", "--init_from=b.pt"}),
            "--init_from=b.pt: not together with --resume, which has the "
            "parameters");
  EXPECT_EQ(Message({"--paper_accuracy=97"}),
            "--paper_accuracy=97: must be a fraction, from 0 to 1");
}

TEST(ResultFlags, AreThoseThatCanChangeAResult) {
  std::vector<std::string> names;
  for (const auto& [name, value] : ResultFlags(TestProgram())) {
    names.push_back(name);
  }
  EXPECT_THAT(names, testing::ElementsAre("shuffle", "augment", "limit_train",
                                          "limit_test", "threads", "precision",
                                          "seed"));
}

}  // namespace
}  // namespace altprop::training
