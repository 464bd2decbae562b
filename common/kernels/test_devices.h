// The devices that an operator's test runs on: the CPU, and CUDA where this
// build has its kernels and the machine a GPU.
//
//   INSTANTIATE_TEST_SUITE_P(Devices, AugmentTest,
//                            testing::ValuesIn(TestDevices()), DeviceName);
#ifndef COMMON_KERNELS_TEST_DEVICES_H_
#define COMMON_KERNELS_TEST_DEVICES_H_

#include <ATen/Context.h>
#include <c10/core/Device.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace altprop::kernels {

inline std::vector<at::DeviceType> TestDevices() {
  std::vector<at::DeviceType> devices = {at::kCPU};
  if (at::globalContext().hasCUDA()) devices.push_back(at::kCUDA);
  return devices;
}

inline std::string DeviceName(
    const testing::TestParamInfo<at::DeviceType>& info) {
  return c10::DeviceTypeName(info.param);
}

}  // namespace altprop::kernels

#endif  // COMMON_KERNELS_TEST_DEVICES_H_
