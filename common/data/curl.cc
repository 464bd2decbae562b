#include "common/data/curl.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"

namespace altprop::data {
namespace {

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

}  // namespace

absl::StatusOr<CurlApi> LoadCurl(const std::string& library) {
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--download needs ", library,
        ", which is not installed (Debian and Ubuntu: apt-get install "
        "libcurl4; Fedora: dnf install libcurl)"));
  }
  CurlApi api{};
  decltype(&::curl_global_init) global_init = nullptr;
  if (!Find(handle, "curl_global_init", &global_init) ||
      !Find(handle, "curl_easy_init", &api.init) ||
      !Find(handle, "curl_easy_setopt", &api.setopt) ||
      !Find(handle, "curl_easy_perform", &api.perform) ||
      !Find(handle, "curl_easy_cleanup", &api.cleanup) ||
      !Find(handle, "curl_easy_strerror", &api.strerror)) {
    return absl::FailedPreconditionError(
        absl::StrCat("--download: ", library, " is not libcurl"));
  }
  // Counted by libcurl: more than once does no harm.
  if (global_init(CURL_GLOBAL_ALL) != CURLE_OK) {
    return absl::InternalError(
        absl::StrCat("--download: ", library, " cannot start"));
  }
  return api;
}

}  // namespace altprop::data
