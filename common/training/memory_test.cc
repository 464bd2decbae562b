#include "common/training/memory.h"

#include <malloc.h>

#include <cstdlib>
#include <cstring>

#include "gtest/gtest.h"

namespace altprop::training {
namespace {

// Bytes that the process keeps for malloc, in use or free.
size_t Held() {
  const struct mallinfo2 info = mallinfo2();
  return info.arena + info.hblkhd;
}

TEST(KeepFreedMemory, WhatIsFreedStays) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers bring an allocator of their own";
#endif
  KeepFreedMemory();
  constexpr size_t kSize = 16 << 20;
  const size_t before = Held();
  // Volatile, or a compiler may leave a block out that nobody reads.
  char* volatile block = static_cast<char*>(std::malloc(kSize));
  std::memset(block, 1, kSize);
  EXPECT_GE(Held(), before + kSize);
  std::free(block);
  EXPECT_GE(Held(), before + kSize);
}

}  // namespace
}  // namespace altprop::training
