#include "common/training/schedule.h"

#include <cmath>

#include "common/logging.h"

namespace altprop::training {

double CosineAnnealing(double lr0, int64_t epoch, int64_t t_max,
                       double eta_min) {
  CHECK_GE(epoch, 0);
  CHECK_GT(t_max, 0);
  if (epoch >= t_max) return eta_min;
  const double phase =
      M_PI * static_cast<double>(epoch) / static_cast<double>(t_max);
  return eta_min + (lr0 - eta_min) * (1 + std::cos(phase)) / 2;
}

}  // namespace altprop::training
