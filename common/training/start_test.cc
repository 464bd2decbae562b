#include "common/training/start.h"

#include <limits>
#include <string>

#include "ATen/ops/equal.h"
#include "ATen/ops/full.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/zeros.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "common/cli/program.h"
#include "common/testing/files.h"
#include "common/training/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

ABSL_FLAG(int64_t, layers, 1, "for this test");
ABSL_FLAG(int64_t, epochs, 1, "for this test");

namespace altprop::training {
namespace {

using ::testing::HasSubstr;

std::string Saved(const std::string& name, const Value& root) {
  const std::string file = testing::NewFolder(name) + "/checkpoint.pt";
  const absl::Status saved = SaveCheckpoint(file, root);
  EXPECT_TRUE(saved.ok()) << saved;
  return file;
}

cli::ParsedArguments Parsed(const std::vector<std::string>& arguments) {
  const auto parsed = cli::ParseCommandLine(
      arguments, {"//test", "", {{"All", {"layers", "epochs"}}}});
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return *parsed;
}

TEST(ReadStart, NoFileIsAStartFromNothing) {
  const auto start = ReadStart("");
  ASSERT_TRUE(start.ok());
  EXPECT_FALSE(start->resumes());
  EXPECT_FALSE(ReadStart("/no/such/file").ok());
}

TEST(RestoreFlags, TakesWhatTheCommandLineLeavesOpen) {
  const absl::FlagSaver saver;
  const auto start = ReadStart(Saved(
      "flags", Dict{{"flags", FlagDict({{"layers", "7"}, {"epochs", "40"}})}}));
  ASSERT_TRUE(start.ok()) << start.status();

  ASSERT_TRUE(RestoreFlags(*start, Parsed({"--layers=3"})).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_layers), 3);
  EXPECT_EQ(absl::GetFlag(FLAGS_epochs), 40);

  absl::SetFlag(&FLAGS_epochs, 2);
  ASSERT_TRUE(RestoreFlags(*start, Parsed({}), {"epochs"}).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_layers), 7);
  EXPECT_EQ(absl::GetFlag(FLAGS_epochs), 2);
}

TEST(RestoreFlags, ErrorsNameTheFile) {
  const absl::FlagSaver saver;
  for (const Value& root :
       {Value(Dict{{"epoch", 1}}), Value(Dict{{"flags", Dict{{"layers", 3}}}}),
        Value(Dict{{"flags", FlagDict({{"layers", "many"}})}})}) {
    const auto start = ReadStart(Saved("bad_flags", root));
    ASSERT_TRUE(start.ok()) << start.status();
    const absl::Status restored = RestoreFlags(*start, Parsed({}));
    EXPECT_THAT(restored.message(), HasSubstr(start->file));
  }
}

TEST(LoadModel, TheCheckpointComesBeforeInitFrom) {
  const Dict ones = ModelDict({{"w", at::ones({2})}});
  const auto start = ReadStart(Saved("model", Dict{{"model", ones}}));
  const std::string other = testing::NewFolder("init") + "/weights.safetensors";
  ASSERT_TRUE(ExportSafetensors(other, {{"w", at::full({2}, 5.0)}}, {}).ok());

  const at::Tensor w = at::zeros({2});
  ASSERT_TRUE(LoadModel(Start(), "", {{"w", w}}).ok());
  EXPECT_TRUE(at::equal(w, at::zeros({2})));
  ASSERT_TRUE(LoadModel(Start(), other, {{"w", w}}).ok());
  EXPECT_TRUE(at::equal(w, at::full({2}, 5.0)));
  ASSERT_TRUE(LoadModel(*start, other, {{"w", w}}).ok());
  EXPECT_TRUE(at::equal(w, at::ones({2})));
}

TEST(LoadModel, FilesWithoutAModelAreRefused) {
  const std::string file = Saved("no_model", Dict{{"epoch", 1}});
  EXPECT_THAT(LoadModel(Start(), file, {}).message(), HasSubstr(file));
  const auto start = ReadStart(file);
  ASSERT_TRUE(start.ok());
  EXPECT_THAT(LoadModel(*start, "", {}).message(), HasSubstr("no \"model\""));
  Optimizer optimizer = Optimizer::Sgd({}, 0);
  EXPECT_THAT(LoadOptimizer(*start, optimizer).message(),
              HasSubstr("no \"optimizer\""));
}

TEST(SaveFinite, KeepsTheGoodFile) {
  const std::string file = testing::NewFolder("finite") + "/checkpoint.pt";
  const NamedTensors good = {{"w", at::ones({2})}};
  ASSERT_TRUE(SaveFinite(file, good, 1, Dict{{"model", ModelDict(good)}}).ok());
  const std::string before = testing::ReadFile(file);
  const NamedTensors bad = {
      {"w", at::full({2}, std::numeric_limits<double>::quiet_NaN())}};
  const absl::Status refused =
      SaveFinite(file, bad, 2, Dict{{"model", ModelDict(bad)}});
  EXPECT_THAT(refused.message(), HasSubstr("w is not finite after step 2"));
  EXPECT_EQ(testing::ReadFile(file), before);
}

}  // namespace
}  // namespace altprop::training
