#include "common/training/schedule.h"

#include <algorithm>
#include <cmath>

#include "common/logging.h"

namespace altprop::training {
namespace {

int64_t Reached(const std::vector<int64_t>& milestones, int64_t epoch) {
  return std::count_if(milestones.begin(), milestones.end(),
                       [epoch](int64_t m) { return m <= epoch; });
}

}  // namespace

double CosineAnnealing(double lr0, int64_t epoch, int64_t t_max,
                       double eta_min) {
  CHECK_GE(epoch, 0);
  CHECK_GT(t_max, 0);
  if (epoch >= t_max) return eta_min;
  const double phase =
      M_PI * static_cast<double>(epoch) / static_cast<double>(t_max);
  return eta_min + (lr0 - eta_min) * (1 + std::cos(phase)) / 2;
}

double MultiStep(double lr0, double gamma,
                 const std::vector<int64_t>& milestones, int64_t epoch) {
  double lr = lr0;
  for (int64_t k = Reached(milestones, epoch); k > 0; --k) lr *= gamma;
  return lr;
}

double MultiStepPow(double lr0, double gamma,
                    const std::vector<int64_t>& milestones, int64_t epoch) {
  return lr0 * std::pow(gamma, static_cast<double>(Reached(milestones, epoch)));
}

}  // namespace altprop::training
