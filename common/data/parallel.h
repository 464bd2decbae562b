// Independent pieces of file reading on a few threads of their own. Not
// at::parallel_for: its threads are for arithmetic, and it would start them.
#ifndef COMMON_DATA_PARALLEL_H_
#define COMMON_DATA_PARALLEL_H_

#include <cstddef>

#include "absl/functional/function_ref.h"

namespace altprop::data {

// Calls work(0) .. work(count - 1), each once, on up to as many threads as the
// machine has cores; returns when all are done. `work` must not throw.
void ParallelFor(size_t count, absl::FunctionRef<void(size_t)> work);

}  // namespace altprop::data

#endif  // COMMON_DATA_PARALLEL_H_
