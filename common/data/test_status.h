// Matchers for the one-line errors of the readers.
#ifndef COMMON_DATA_TEST_STATUS_H_
#define COMMON_DATA_TEST_STATUS_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace altprop::data {

// A status whose message is exactly `line`.
MATCHER_P(FailsWith, line, absl::StrCat("fails with \"", line, "\"")) {
  if (arg.status().ok()) {
    *result_listener << "but is OK";
    return false;
  }
  const std::string message(arg.status().message());
  *result_listener << "but fails with \"" << message << "\"";
  return message == std::string(line);
}

// Any error of one line about `path`.
MATCHER_P(FailsNaming, path, absl::StrCat("fails in one line naming ", path)) {
  if (arg.status().ok()) {
    *result_listener << "but is OK";
    return false;
  }
  const std::string message(arg.status().message());
  *result_listener << "but fails with \"" << message << "\"";
  return message.find(std::string(path)) == 0 &&
         message.find('\n') == std::string::npos;
}

}  // namespace altprop::data

#endif  // COMMON_DATA_TEST_STATUS_H_
