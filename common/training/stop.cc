#include "common/training/stop.h"

#include <unistd.h>

#include "common/logging.h"

namespace altprop::training {
namespace {

volatile sig_atomic_t g_signal = 0;
bool g_installed = false;

// Async-signal-safe: a store, a write and sigaction.
void Handle(int signal) {
  g_signal = signal;
  struct sigaction fallback = {};
  fallback.sa_handler = SIG_DFL;
  sigaction(SIGINT, &fallback, nullptr);
  sigaction(SIGTERM, &fallback, nullptr);
  constexpr char kNote[] =
      "\nstopping after this step; a second signal ends at once\n";
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, kNote, sizeof(kNote) - 1);
}

}  // namespace

StopSignal::StopSignal() {
  CHECK(!g_installed) << "a second StopSignal";
  g_installed = true;
  g_signal = 0;
  struct sigaction action = {};
  action.sa_handler = Handle;
  action.sa_flags = SA_RESTART;  // a read or write that is under way goes on
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGINT);
  sigaddset(&action.sa_mask, SIGTERM);
  sigaction(SIGINT, &action, &previous_int_);
  sigaction(SIGTERM, &action, &previous_term_);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &previous_int_, nullptr);
  sigaction(SIGTERM, &previous_term_, nullptr);
  g_installed = false;
}

int StopSignal::Requested() const { return g_signal; }

}  // namespace altprop::training
