#include "common/training/device.h"

#include <string>

#include "ATen/Context.h"
#include "ATen/detail/CUDAHooksInterface.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status.h"

namespace altprop::training {
namespace {

absl::StatusOr<c10::Device> Cuda(absl::string_view text, int index) {
  const int devices = CudaDeviceCount();
  if (devices == 0) {
    return FlagError("device", text,
                     "no CUDA here (a build without --config=cuda, or no GPU "
                     "or driver); expected auto or cpu");
  }
  if (index >= devices) {
    return FlagError(
        "device", text,
        absl::StrCat("there are ", devices, " CUDA devices, numbered from 0"));
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

// A device number: up to three decimal digits, so that it fits c10's type.
bool ParseIndex(absl::string_view text, int* index) {
  return !text.empty() && text.size() <= 3 &&
         text.find_first_not_of("0123456789") == absl::string_view::npos &&
         absl::SimpleAtoi(text, index) && *index < 128;
}

}  // namespace

int CudaDeviceCount() {
  if (!at::globalContext().hasCUDA()) return 0;
  return at::detail::getCUDAHooks().deviceCount();
}

absl::StatusOr<c10::Device> ParseDevice(absl::string_view text) {
  const std::string name = absl::AsciiStrToLower(text);
  int index = 0;
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name == "auto") {
    return CudaDeviceCount() > 0 ? c10::Device(c10::kCUDA, 0)
                                 : c10::Device(c10::kCPU);
  }
  if (name == "cuda") return Cuda(text, 0);
  if (ParseIndex(name, &index)) {
    if (CudaDeviceCount() == 0) return c10::Device(c10::kCPU);
    return Cuda(text, index);
  }
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, "cuda:") && ParseIndex(rest, &index)) {
    return Cuda(text, index);
  }
  return FlagError("device", text, "expected auto, cpu, cuda, cuda:N or N");
}

}  // namespace altprop::training
