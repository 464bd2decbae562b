// What the command lines of both kinds of programs have, MNIST and CIFAR-10
// (main) and ImageNet: --semantics, and checks of values.

#ifndef ITERBIN_SHARED_FLAGS_H_
#define ITERBIN_SHARED_FLAGS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "iterbin/binarize.h"

namespace altprop::iterbin {

// Errors are usage errors that name the flag, its value and what was expected.
absl::StatusOr<int64_t> AtLeast(absl::string_view flag, int64_t value,
                                int64_t least);
absl::Status CheckRange(absl::string_view flag, double value, double low,
                        double high);
// Whole numbers that do not fall (`strictly`: that rise).
absl::Status CheckMilestones(absl::string_view flag,
                             const std::vector<int64_t>& milestones,
                             bool strictly);
// A usage error where a launcher has started several of us (torchrun sets
// WORLD_SIZE): each would do the whole run.
absl::Status CheckOneProcess();
// Where --semantics says nothing, this.
void SetDefaultSemantics(Semantics semantics);
absl::StatusOr<Semantics> SemanticsFromFlag();
absl::string_view SemanticsName(Semantics semantics);

}  // namespace altprop::iterbin

#endif  // ITERBIN_SHARED_FLAGS_H_
