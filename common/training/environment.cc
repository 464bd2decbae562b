#include "common/training/environment.h"

#include <sys/utsname.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "ATen/Parallel.h"
#include "ATen/Version.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/training/threads.h"
#include "nlohmann/json.hpp"
#include "torch/version.h"

namespace altprop::training {
namespace {

constexpr absl::string_view kUnknown = "unknown";

// The whole file, or "" where it cannot be read.
std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

// The value of the first line "key<spaces>: value" of `path`.
std::string Entry(const std::string& path, absl::string_view key) {
  const std::string contents = ReadFile(path);
  for (absl::string_view line : absl::StrSplit(contents, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (absl::StripAsciiWhitespace(parts.first) == key) {
      return std::string(absl::StripAsciiWhitespace(parts.second));
    }
  }
  return std::string(kUnknown);
}

// What the NVIDIA kernel driver says, which needs no CUDA library: the same
// program tells it with and without one.
std::string Gpus() {
  std::vector<std::string> models;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    models.push_back(Entry(entry.path() / "information", "Model"));
  }
  return models.empty() ? "none" : absl::StrJoin(models, ", ");
}

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul ..."
std::string GpuDriver() {
  const std::string version = ReadFile("/proc/driver/nvidia/version");
  for (absl::string_view word :
       absl::StrSplit(version, absl::ByAnyChar(" \t\n"), absl::SkipEmpty())) {
    if (std::isdigit(word[0]) && absl::StrContains(word, '.')) {
      return std::string(word);
    }
  }
  return "none";
}

std::string System() {
  utsname name;
  if (uname(&name) != 0) return std::string(kUnknown);
  return absl::StrCat(name.sysname, " ", name.release, " ", name.machine);
}

bool IsObjectName(absl::string_view text) {
  return text.size() >= 40 &&
         text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

// `reference` ("refs/heads/main") among the packed ones.
std::string PackedReference(const std::string& git,
                            absl::string_view reference) {
  const std::string packed = ReadFile(absl::StrCat(git, "/packed-refs"));
  for (absl::string_view line : absl::StrSplit(packed, '\n')) {
    if (absl::ConsumeSuffix(&line, absl::StrCat(" ", reference))) {
      return std::string(line);
    }
  }
  return "";
}

// The repository of work tree `root`: .git, or the folder that a file .git (a
// linked work tree) names.
std::string GitFolder(absl::string_view root) {
  std::string git = absl::StrCat(root, "/.git");
  const std::string contents = ReadFile(git);
  absl::string_view target = contents;
  if (!absl::ConsumePrefix(&target, "gitdir: ")) return git;
  target = absl::StripAsciiWhitespace(target);
  return absl::StartsWith(target, "/") ? std::string(target)
                                       : absl::StrCat(root, "/", target);
}

std::string SourceRevision() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  return workspace == nullptr ? std::string(kUnknown) : GitRevision(workspace);
}

}  // namespace

std::string GitRevision(absl::string_view root) {
  const std::string git = GitFolder(root);
  const std::string head = ReadFile(absl::StrCat(git, "/HEAD"));
  absl::string_view value = absl::StripAsciiWhitespace(head);
  if (IsObjectName(value)) return std::string(value);
  if (!absl::ConsumePrefix(&value, "ref: ")) return std::string(kUnknown);
  // A linked work tree keeps its branches in the main repository.
  std::string shared = ReadFile(absl::StrCat(git, "/commondir"));
  absl::StripAsciiWhitespace(&shared);
  for (const std::string& folder :
       {git, absl::StartsWith(shared, "/") ? shared
                                           : absl::StrCat(git, "/", shared)}) {
    std::string commit = ReadFile(absl::StrCat(folder, "/", value));
    absl::StripAsciiWhitespace(&commit);
    if (commit.empty()) commit = PackedReference(folder, value);
    if (IsObjectName(commit)) return commit;
  }
  return std::string(kUnknown);
}

std::vector<std::pair<std::string, std::string>> Environment() {
  return {
      {"torch", TORCH_VERSION},
      {"cpu", Entry("/proc/cpuinfo", "model name")},
      {"cpu_capability", at::get_cpu_capability()},
      {"cores", absl::StrCat(AvailableCores())},
      {"threads", absl::StrCat(at::get_num_threads())},
      {"gpu", Gpus()},
      {"gpu_driver", GpuDriver()},
      {"os", System()},
      {"compiler", absl::StrCat("g++ ", __VERSION__)},
      {"revision", SourceRevision()},
  };
}

std::string EnvironmentJson() {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : Environment()) json[name] = value;
  const auto replace = nlohmann::ordered_json::error_handler_t::replace;
  return json.dump(2, ' ', false, replace) + "\n";
}

}  // namespace altprop::training
