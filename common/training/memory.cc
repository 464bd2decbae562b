#include "common/training/memory.h"

#include <limits>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace altprop::training {

void KeepFreedMemory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}

}  // namespace altprop::training
