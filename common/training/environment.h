#ifndef COMMON_TRAINING_ENVIRONMENT_H_
#define COMMON_TRAINING_ENVIRONMENT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace altprop::training {

// What the bytes of a result depend on beside the flags, in the order of
// environment.json: torch, cpu, cpu_capability (the instruction set that
// torch's kernels picked), cores, threads, gpu, gpu_driver, os, compiler,
// revision. What cannot be found out is "none" (a GPU) or "unknown".
std::vector<std::pair<std::string, std::string>> Environment();

// The same as a JSON object, one line per entry, ending with a newline.
std::string EnvironmentJson();

// The commit checked out in the git work tree `root`, with "unknown" for none.
// Reads .git itself: the program carries no stamp, so builds stay reproducible.
std::string GitRevision(absl::string_view root);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_ENVIRONMENT_H_
