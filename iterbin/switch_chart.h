// The report's chart of a run: accuracy, with a mark where a layer switches.

#ifndef ITERBIN_SWITCH_CHART_H_
#define ITERBIN_SWITCH_CHART_H_

#include <vector>

#include "common/training/metrics.h"
#include "common/training/report_chart.h"
#include "iterbin/flags.h"
#include "iterbin/state.h"

namespace altprop::iterbin {

// From the run's metrics so far: the accuracy of each split by epoch, and a
// dotted vertical line at the first epoch of each layer that became binary.
training::Chart SwitchChart(const Options& options, const State& state,
                            const std::vector<training::MetricsLine>& lines);

}  // namespace altprop::iterbin

#endif  // ITERBIN_SWITCH_CHART_H_
