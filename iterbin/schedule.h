// When which layer becomes binary, and the learning rates of the authors'
// programs.

#ifndef ITERBIN_SCHEDULE_H_
#define ITERBIN_SCHEDULE_H_

#include <cstdint>
#include <vector>

#include "iterbin/binarize.h"

namespace altprop::iterbin {

// Layers, as 0-based indices in forward order, in the order in which they
// become binary: a permutation.
using LayerOrder = std::vector<int64_t>;

// m = min(L, k / P + 1): how many of `layers` are binary after `finished`
// epochs, with P `epochs_per_layer`. One is from the very first epoch.
int64_t BinaryLayers(int64_t layers, int64_t finished,
                     int64_t epochs_per_layer);

// B(k) = {o_1, ..., o_m}, the flags of an epoch.
Flags ScheduledFlags(const LayerOrder& order, int64_t finished,
                     int64_t epochs_per_layer);

// Whether there is nothing left for the schedule to do.
bool PastTheEnd(int64_t layers, int64_t finished, int64_t epochs_per_layer);

LayerOrder Reversed(const LayerOrder& order);

// MNIST and CIFAR-10: the schedule advances before an epoch, so a milestone m
// takes effect in the 1-based epoch m. Repeated multiplication by gamma, one
// that is listed n times multiplies by gamma^n at once. Milestone 0 has its
// effect before the first epoch.
double MultiStepRate(double base, const std::vector<int64_t>& milestones,
                     double gamma, int64_t epoch);

// ImageNet: base * 0.1^(milestones <= the 0-based epoch).
double PowerRate(double base, const std::vector<int64_t>& milestones,
                 int64_t epoch);

}  // namespace altprop::iterbin

#endif  // ITERBIN_SCHEDULE_H_
