#ifndef COMMON_TRAINING_STOP_H_
#define COMMON_TRAINING_STOP_H_

#include <csignal>

namespace altprop::training {

// Turns SIGINT and SIGTERM into a request that the training loop sees between
// two steps. The first signal says so on stderr and is remembered; a second
// one, of either kind, ends the process at once. The destructor puts the
// previous handlers back. One object at a time (CHECKed).
//
//   StopSignal stop;
//   for (...) {
//     Step();
//     if (stop.Requested() != 0) {
//       ... write the checkpoint ...
//       return InterruptedError(stop.Requested());
//     }
//   }
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The signal that asked for the end, 0 while there was none.
  int Requested() const;

 private:
  struct sigaction previous_int_ = {};
  struct sigaction previous_term_ = {};
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_STOP_H_
