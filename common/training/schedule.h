#ifndef COMMON_TRAINING_SCHEDULE_H_
#define COMMON_TRAINING_SCHEDULE_H_

#include <cstdint>
#include <vector>

namespace altprop::training {

// Cosine annealing (Loshchilov & Hutter 2017, without restarts):
//
//   lr(e) = eta_min + (lr0 - eta_min) (1 + cos(pi min(e, t_max) / t_max)) / 2
//
// `epoch`: 0-based, counted from the start of training, not of a resumed run.
// At and after `t_max` the rate is exactly `eta_min`. CHECKs epoch >= 0, t_max
// > 0.
double CosineAnnealing(double lr0, int64_t epoch, int64_t t_max = 100,
                       double eta_min = 1e-5);

// Step decay: `lr0` times `gamma` for every milestone that `epoch` has reached,
//
//   lr(e) = lr0 gamma^k,  k = #{i : milestones[i] <= e}.
//
// `epoch` counts from where the milestones count from: 0 as in torch's
// MultiStepLR, 1 in programs that number their epochs from 1. The order of
// `milestones` does not matter; one that stands there twice counts twice.
//
// MultiStep multiplies k times, one rounding each, as a loop does that sets
// lr *= gamma when it gets to a milestone (torch's chainable schedules too).
double MultiStep(double lr0, double gamma,
                 const std::vector<int64_t>& milestones, int64_t epoch);

// The same with the power taken first: lr0 * pow(gamma, k).
double MultiStepPow(double lr0, double gamma,
                    const std::vector<int64_t>& milestones, int64_t epoch);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_SCHEDULE_H_
