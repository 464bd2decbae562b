#include "common/training/device.h"

#include <string>

#include "ATen/Context.h"
#include "ATen/Parallel.h"
#include "common/status.h"
#include "common/training/precision.h"
#include "common/training/threads.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

TEST(ParseDevice, TakesTheCpuByName) {
  EXPECT_EQ(*ParseDevice("cpu"), at::Device(at::kCPU));
  EXPECT_EQ(*ParseDevice("CPU"), at::Device(at::kCPU));
}

TEST(ParseDevice, AutoIsTheFirstGpuOrTheCpu) {
  const at::Device expected =
      CudaDeviceCount() > 0 ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  EXPECT_EQ(*ParseDevice("auto"), expected);
}

TEST(ParseDevice, ANumberFallsBackOnTheCpu) {
  if (CudaDeviceCount() > 0) {
    EXPECT_EQ(*ParseDevice("0"), at::Device(at::kCUDA, 0));
  } else {
    EXPECT_EQ(*ParseDevice("0"), at::Device(at::kCPU));
    EXPECT_EQ(*ParseDevice("3"), at::Device(at::kCPU));
  }
}

TEST(ParseDevice, RefusesAnAbsentGpu) {
  if (CudaDeviceCount() > 0) {
    EXPECT_FALSE(ParseDevice("cuda:99").ok());
    return;
  }
  for (const std::string text : {"cuda", "cuda:0", "CUDA:1"}) {
    const auto device = ParseDevice(text);
    EXPECT_EQ(ExitCode(device.status()), 2);
    EXPECT_EQ(device.status().message(),
              "--device=" + text +
                  ": no CUDA here (a build without --config=cuda, or no GPU or "
                  "driver); expected auto or cpu");
  }
}

TEST(ParseDevice, RefusesWhatIsNoDevice) {
  for (const std::string text :
       {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "-1", "1.5", "cuda:4096",
        "99999999999999999999", " cpu"}) {
    const auto device = ParseDevice(text);
    EXPECT_EQ(ExitCode(device.status()), 2) << text;
    EXPECT_EQ(device.status().message(),
              "--device=" + text + ": expected auto, cpu, cuda, cuda:N or N");
  }
}

TEST(ParsePrecision, TakesTheFourNamesInAnyCase) {
  EXPECT_EQ(*ParsePrecision("fp64"), Precision::kFp64);
  EXPECT_EQ(*ParsePrecision("FP32"), Precision::kFp32);
  EXPECT_EQ(*ParsePrecision("tf32"), Precision::kTf32);
  EXPECT_EQ(*ParsePrecision("bf16"), Precision::kBf16);
}

TEST(ParsePrecision, RefusesAnythingElse) {
  const auto precision = ParsePrecision("fp16");
  EXPECT_EQ(ExitCode(precision.status()), 2);
  EXPECT_EQ(precision.status().message(),
            "--precision=fp16: expected fp64, fp32, tf32 or bf16");
}

TEST(DtypeOf, IsDoubleForFp64Alone) {
  EXPECT_EQ(DtypeOf(Precision::kFp64), at::kDouble);
  EXPECT_EQ(DtypeOf(Precision::kFp32), at::kFloat);
  EXPECT_EQ(DtypeOf(Precision::kTf32), at::kFloat);
  EXPECT_EQ(DtypeOf(Precision::kBf16), at::kFloat);
  EXPECT_EQ(OperandDtypeOf(Precision::kBf16), at::kBFloat16);
  EXPECT_EQ(OperandDtypeOf(Precision::kFp64), at::kDouble);
}

TEST(ApplyPrecision, SwitchesTf32) {
  ApplyPrecision(Precision::kTf32);
  EXPECT_TRUE(at::globalContext().allowTF32CuBLAS());
  ApplyPrecision(Precision::kFp32);
  EXPECT_FALSE(at::globalContext().allowTF32CuBLAS());
  EXPECT_FALSE(at::globalContext().allowTF32CuDNN());
}

TEST(CheckThreads, NamesTheFlagAndTheBound) {
  EXPECT_TRUE(CheckThreads(0).ok());
  EXPECT_TRUE(CheckThreads(4096).ok());
  EXPECT_EQ(ExitCode(CheckThreads(-5)), 2);
  EXPECT_EQ(CheckThreads(-5).message(), "--threads=-5: must be at least 0");
  EXPECT_EQ(CheckThreads(4097).message(),
            "--threads=4097: must be at most 4096");
}

TEST(ApplyThreads, SetsTorchsNumber) {
  ApplyThreads(3);
  EXPECT_EQ(at::get_num_threads(), 3);
  ApplyThreads(0);
  EXPECT_EQ(at::get_num_threads(), AvailableCores());
}

}  // namespace
}  // namespace altprop::training
