// What the method's own theory is about, per hidden layer: do the units'
// outputs agree with the targets that come from above, do they still change,
// and does a gradient reach their weights.

#ifndef FTPROP_STATISTICS_H_
#define FTPROP_STATISTICS_H_

#include <optional>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "common/training/value.h"
#include "ftprop/loss.h"
#include "ftprop/network.h"

namespace altprop::ftprop {

struct LayerStatistics {
  std::string layer;
  // Mean over units with a target t = sign(-g), t != 0, of how far the output
  // is from where t wants it, as a share of the range: for a step the share of
  // units with the other sign. None without a bounded range (relu), or where no
  // unit has a target.
  std::optional<double> disagreement;
  // Share of units whose output is another than after the last epoch; none
  // after the first.
  std::optional<double> flips;
  // Share of units that a gradient reaches (g != 0) and none leaves: saturated
  // for good as far as this input goes.
  double saturated = 0;
};

// Measures a network on the same few samples after each epoch, in evaluation
// mode, so that nothing of the run changes.
class StatisticsProbe {
 public:
  // x: network inputs [N, C, H, W]; labels: int64 [N], on its device.
  StatisticsProbe(at::Tensor x, at::Tensor labels, Loss loss)
      : x_(std::move(x)), labels_(std::move(labels)), loss_(loss) {}

  std::vector<LayerStatistics> Measure(const Network& network, bool bf16);

  // The outputs that the next flips are counted against, for a checkpoint: at
  // most kKeptUnits evenly spaced ones of each layer, by name; empty before the
  // first Measure(). The reverse: an error if a tensor is missing or of another
  // size.
  training::Dict State() const;
  absl::Status LoadState(const training::Value& state, const Network& network);

 private:
  at::Tensor x_, labels_;
  Loss loss_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> last_;  // float32, one per layer
};

inline constexpr int64_t kKeptUnits = 8192;
inline constexpr int64_t kProbeSamples = 16;

}  // namespace altprop::ftprop

#endif  // FTPROP_STATISTICS_H_
