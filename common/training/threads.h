#ifndef COMMON_TRAINING_THREADS_H_
#define COMMON_TRAINING_THREADS_H_

#include "absl/status/status.h"

namespace altprop::training {

// OK for a number of threads from 0 to 4096, else an error naming --threads.
absl::Status CheckThreads(int threads);

// Lets operators use `threads` threads; 0 means AvailableCores(). Results
// depend on this number in their last bits, so it stands in environment.json.
// Call once, before the first operator. CHECKs CheckThreads(threads).
void ApplyThreads(int threads);

// Cores this process may run on (its CPU affinity), at least 1.
int AvailableCores();

}  // namespace altprop::training

#endif  // COMMON_TRAINING_THREADS_H_
