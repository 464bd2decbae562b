#include "common/training/environment.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "ATen/Version.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace altprop::training {
namespace {

constexpr char kCommit[] = "0123456789abcdef0123456789abcdef01234567";

// A folder of the test's own, with the files given as {path, contents}.
std::string Tree(const std::string& name,
                 const std::map<std::string, std::string>& files) {
  const std::filesystem::path root = testing::TempDir() + "/" + name;
  for (const auto& [path, contents] : files) {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << contents;
  }
  return root;
}

TEST(GitRevision, ReadsALooseBranch) {
  const std::string root =
      Tree("loose", {{".git/HEAD", "ref: refs/heads/main\n"},
                     {".git/refs/heads/main", std::string(kCommit) + "\n"}});
  EXPECT_EQ(GitRevision(root), kCommit);
}

TEST(GitRevision, ReadsAPackedBranch) {
  const std::string root = Tree(
      "packed",
      {{".git/HEAD", "ref: refs/heads/main\n"},
       {".git/packed-refs", "# pack-refs with: peeled fully-peeled sorted \n" +
                                std::string(40, 'f') + " refs/heads/domain\n" +
                                kCommit + " refs/heads/main\n"}});
  EXPECT_EQ(GitRevision(root), kCommit);
}

TEST(GitRevision, ReadsADetachedHead) {
  const std::string root =
      Tree("detached", {{".git/HEAD", std::string(kCommit) + "\n"}});
  EXPECT_EQ(GitRevision(root), kCommit);
}

TEST(GitRevision, FollowsALinkedWorkTree) {
  const std::string root = Tree(
      "linked", {{"tree/.git", "gitdir: ../main/.git/worktrees/tree\n"},
                 {"main/.git/worktrees/tree/HEAD", "ref: refs/heads/side\n"},
                 {"main/.git/worktrees/tree/commondir", "../..\n"},
                 {"main/.git/refs/heads/side", std::string(kCommit) + "\n"}});
  EXPECT_EQ(GitRevision(root + "/tree"), kCommit);
}

TEST(GitRevision, IsUnknownWithoutARepositoryOrACommit) {
  EXPECT_EQ(GitRevision(testing::TempDir() + "/nothing"), "unknown");
  EXPECT_EQ(
      GitRevision(Tree("unborn", {{".git/HEAD", "ref: refs/heads/main\n"}})),
      "unknown");
}

TEST(EnvironmentJson, SaysWhatTheBytesDependOn) {
  const std::string text = EnvironmentJson();
  const auto json = nlohmann::ordered_json::parse(text);
  std::string keys;
  for (const auto& [key, value] : json.items()) {
    keys += key + " ";
    EXPECT_FALSE(value.get<std::string>().empty()) << key;
  }
  EXPECT_EQ(keys,
            "torch cpu cpu_capability cores threads gpu gpu_driver os compiler "
            "revision ");
  EXPECT_TRUE(absl::StartsWith(json["torch"].get<std::string>(), "2."));
  EXPECT_EQ(json["cpu_capability"], at::get_cpu_capability());
  EXPECT_EQ(text.back(), '\n');
}

}  // namespace
}  // namespace altprop::training
