#include "cbp/window.h"

namespace altprop::cbp {

bool AdvanceWindow(double lsum, int64_t period, Window& window) {
  ++window.p;
  if (lsum < window.lpre && window.p < period) {
    window.lpre = lsum;
    return false;
  }
  window.g += window.g < 10 ? 1 : 10;
  // So the epoch after an update never triggers by its sum.
  window.lpre = Window::kFar;
  window.p = 0;
  return true;
}

double LearningRate(double initial, const Window& window) {
  return window.g >= kDropAt ? initial * kDrop : initial;
}

}  // namespace altprop::cbp
