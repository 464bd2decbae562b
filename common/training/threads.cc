#include "common/training/threads.h"

#include <sched.h>

#include <algorithm>
#include <thread>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status.h"

namespace altprop::training {
namespace {

constexpr int kMostThreads = 4096;

}  // namespace

int AvailableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    return std::max(1, CPU_COUNT(&set));
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

absl::Status CheckThreads(int threads) {
  if (threads >= 0 && threads <= kMostThreads) return absl::OkStatus();
  return FlagError("threads", absl::StrCat(threads),
                   threads < 0
                       ? "must be at least 0"
                       : absl::StrCat("must be at most ", kMostThreads));
}

void ApplyThreads(int threads) {
  CHECK(CheckThreads(threads).ok()) << threads;
  at::set_num_threads(threads == 0 ? AvailableCores() : threads);
}

}  // namespace altprop::training
