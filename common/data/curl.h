// libcurl as a table of functions, opened at run time.
#ifndef COMMON_DATA_CURL_H_
#define COMMON_DATA_CURL_H_

#include <curl/curl.h>

#include <string>

#include "absl/status/statusor.h"

namespace altprop::data {

struct CurlApi {
  decltype(&::curl_easy_init) init;
  decltype(&::curl_easy_setopt) setopt;
  decltype(&::curl_easy_perform) perform;
  decltype(&::curl_easy_cleanup) cleanup;
  decltype(&::curl_easy_strerror) strerror;
};

// `library`: a soname, "libcurl.so.4". It stays loaded. The error says what to
// install.
absl::StatusOr<CurlApi> LoadCurl(const std::string& library);

}  // namespace altprop::data

#endif  // COMMON_DATA_CURL_H_
