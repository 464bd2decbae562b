#ifndef COMMON_TRAINING_DEVICE_H_
#define COMMON_TRAINING_DEVICE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "c10/core/Device.h"

namespace altprop::training {

// The device that --device=`text` names:
//   auto      the first CUDA device where there is one, else the CPU
//   cpu
//   cuda[:N]  CUDA device N (0 when left out); an error where it is absent
//   N         CUDA device N, or the CPU where there is none (how the papers'
//   own
//             programs read the flag)
// Anything else, and a CUDA device that is not there, is a UsageError.
absl::StatusOr<c10::Device> ParseDevice(absl::string_view text);

// The number of CUDA devices this build can use; 0 in a CPU-only build.
int CudaDeviceCount();

}  // namespace altprop::training

#endif  // COMMON_TRAINING_DEVICE_H_
