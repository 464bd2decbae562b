#include "iterbin/schedule.h"

#include <algorithm>
#include <cmath>

#include "common/logging.h"

namespace altprop::iterbin {

int64_t BinaryLayers(int64_t layers, int64_t finished,
                     int64_t epochs_per_layer) {
  CHECK_GT(epochs_per_layer, 0);
  return std::min(layers, finished / epochs_per_layer + 1);
}

Flags ScheduledFlags(const LayerOrder& order, int64_t finished,
                     int64_t epochs_per_layer) {
  Flags flags(order.size(), false);
  const int64_t binary = BinaryLayers(static_cast<int64_t>(order.size()),
                                      finished, epochs_per_layer);
  for (int64_t j = 0; j < binary; ++j) flags[order[j]] = true;
  return flags;
}

bool PastTheEnd(int64_t layers, int64_t finished, int64_t epochs_per_layer) {
  CHECK_GT(epochs_per_layer, 0);
  return finished / epochs_per_layer >= layers;
}

LayerOrder Reversed(const LayerOrder& order) {
  return {order.rbegin(), order.rend()};
}

double MultiStepRate(double base, const std::vector<int64_t>& milestones,
                     double gamma, int64_t epoch) {
  std::vector<int64_t> sorted = milestones;
  std::sort(sorted.begin(), sorted.end());
  double rate = base;
  for (size_t i = 0; i < sorted.size();) {
    size_t same = i;
    while (same < sorted.size() && sorted[same] == sorted[i]) ++same;
    if (sorted[i] <= epoch) {
      rate *= std::pow(gamma, static_cast<double>(same - i));
    }
    i = same;
  }
  return rate;
}

double PowerRate(double base, const std::vector<int64_t>& milestones,
                 int64_t epoch) {
  const auto passed = std::count_if(milestones.begin(), milestones.end(),
                                    [&](int64_t m) { return m <= epoch; });
  return base * std::pow(0.1, static_cast<double>(passed));
}

}  // namespace altprop::iterbin
