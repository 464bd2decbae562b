#include "iterbin/text_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace altprop::iterbin {

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  constexpr uintmax_t kMost = uintmax_t{64} << 20;
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  }
  if (!std::filesystem::is_regular_file(status)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  }
  if (std::filesystem::file_size(path, error) > kMost) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": larger than 64 MiB"));
  }
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) {
    return absl::UnavailableError(
        absl::StrCat(path, ": cannot read: ", std::strerror(errno)));
  }
  return text.str();
}

}  // namespace altprop::iterbin
