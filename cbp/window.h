// When the multipliers are updated and how the window shrinks (the paper's
// section 3.3 and its algorithm): a state machine of an epoch's Lagrangian sum.

#ifndef CBP_WINDOW_H_
#define CBP_WINDOW_H_

#include <cstdint>

namespace altprop::cbp {

struct Window {
  int64_t g = 1;       // the free zone of an interval is d_k / g wide
  int64_t p = 0;       // epochs since the last update
  double lpre = kFar;  // the Lagrangian sum of the epoch before

  static constexpr double kFar = 1e10;

  double u() const { return 1 - 1 / static_cast<double>(g); }
};

// The rates fall to a tenth once, when g becomes this.
inline constexpr int64_t kDropAt = 20;
inline constexpr double kDrop = 0.1;

// After an epoch of Lagrangian sum `lsum` (finite): p grows by one; where the
// sum did not fall or p is `period`, g grows by 1 up to 10, then by 10, and
// true says that the multipliers are to be updated under the new window.
bool AdvanceWindow(double lsum, int64_t period, Window& window);

// The rate in force: `initial`, or a tenth of it from g = 20 on.
double LearningRate(double initial, const Window& window);

}  // namespace altprop::cbp

#endif  // CBP_WINDOW_H_
