#include "common/cli/path.h"

#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace altprop::cli {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

std::string Join(absl::string_view folder, absl::string_view path) {
  return absl::StrCat(folder, absl::EndsWith(folder, "/") ? "" : "/", path);
}

}  // namespace

std::string ResolvePath(absl::string_view path) {
  if (path.empty() || path.front() == '/') return std::string(path);
  if (path == "~" || absl::StartsWith(path, "~/")) {
    const std::string home = Environment("HOME");
    if (!home.empty()) return home + std::string(path.substr(1));
  }
  const std::string user_folder = Environment("BUILD_WORKING_DIRECTORY");
  return user_folder.empty() ? std::string(path) : Join(user_folder, path);
}

}  // namespace altprop::cli
