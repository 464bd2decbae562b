#ifndef COMMON_TRAINING_SCHEDULE_H_
#define COMMON_TRAINING_SCHEDULE_H_

#include <cstdint>

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

}  // namespace altprop::training

#endif  // COMMON_TRAINING_SCHEDULE_H_
