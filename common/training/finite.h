#ifndef COMMON_TRAINING_FINITE_H_
#define COMMON_TRAINING_FINITE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace altprop::training {

// OK for a finite `value`, else the error that ends the run:
//   "loss is nan at step 12 (epoch 0): training diverged; the checkpoint of the
//    last good step is kept"
// `what`: the quantity's name. `step`: the step that produced it, 1-based.
absl::Status CheckFinite(absl::string_view what, double value, int64_t epoch,
                         int64_t step);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_FINITE_H_
