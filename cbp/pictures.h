// What a run under the constraint adds to its folder and its report page.

#ifndef CBP_PICTURES_H_
#define CBP_PICTURES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cbp/learner.h"
#include "cbp/levels.h"
#include "cbp/network.h"
#include "common/training/run_directory.h"

namespace altprop::cbp {

// The distribution of w / s: of all constrained weights, with the levels and
// the free zones' edges at window `u`, as the paper draws it; and of some of
// the layers, as histograms.
absl::Status DrawWeights(const Constrained& constrained, Mode mode, double u,
                         int64_t step, training::RunDirectory& directory);

// progress.txt, as the authors' program writes it: tab-separated, a row of
// zeros and then a row per epoch under the constraint: epoch, top-1 count,
// top-5 count (of `samples` test images), CFS.
absl::Status WriteProgress(int64_t first_epoch, int64_t samples,
                           const training::RunDirectory& directory);

}  // namespace altprop::cbp

#endif  // CBP_PICTURES_H_
