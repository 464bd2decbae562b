// Small data sets in their official formats, and folders to put them in.

#ifndef COMMON_TESTING_FILES_H_
#define COMMON_TESTING_FILES_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace altprop::testing {

// A new folder of this test, below its temporary directory.
std::string NewFolder(absl::string_view name);

void WriteFile(const std::string& path, absl::string_view contents);
std::string ReadFile(const std::string& path);
bool Exists(const std::string& path);

// MNIST's four IDX files in `folder`. Digit d is a bright bar at rows 2 d + 4
// and 2 d + 5 on noise from `seed`: easy to learn, no two images equal.
void WriteMnist(const std::string& folder, int train, int test,
                uint32_t seed = 0);

}  // namespace altprop::testing

#endif  // COMMON_TESTING_FILES_H_
