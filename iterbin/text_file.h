// A small text file in memory.

#ifndef ITERBIN_TEXT_FILE_H_
#define ITERBIN_TEXT_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace altprop::iterbin {

// The contents of `path`, a file of at most 64 MiB. Errors begin with `path`.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

}  // namespace altprop::iterbin

#endif  // ITERBIN_TEXT_FILE_H_
