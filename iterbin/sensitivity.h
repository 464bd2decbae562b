// Sensitivity runs, in which a single layer is ever binary, and the orders that
// follow from them.

#ifndef ITERBIN_SENSITIVITY_H_
#define ITERBIN_SENSITIVITY_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "iterbin/flags.h"
#include "iterbin/network.h"
#include "iterbin/schedule.h"
#include "iterbin/train.h"

namespace altprop::iterbin {

// RUN_DIR/sensitivity.json: what one run found, and what must be equal in runs
// that are compared.
struct Sensitivity {
  std::string network, dataset;
  int64_t layer = 0;  // 0-based
  int64_t epochs = 0;
  double learning_rate = 0;
  uint64_t seed = 0;
  double best_accuracy = 0;  // of the validation split
  int64_t best_epoch = 0;

  bool ComparesWith(const Sensitivity& other) const;
};

// Of a finished run; `layer` became binary in it.
Sensitivity SensitivityOf(const Options& options, int64_t layer,
                          const Best& best);

absl::Status WriteSensitivity(const std::string& run_dir,
                              const Sensitivity& found);
// NotFound where the run has none; errors name the file.
absl::StatusOr<Sensitivity> ReadSensitivity(const std::string& run_dir);

// Those below `folder` (a run each) that compare with `like`, by layer. Where a
// layer has two runs the more accurate one counts.
absl::StatusOr<std::map<int64_t, Sensitivity>> CollectSensitivities(
    const std::string& folder, const Sensitivity& like);

// "rank  layer  ...", the least sensitive layer first.
std::string RankedTable(const Network& network,
                        const std::map<int64_t, Sensitivity>& found);

// Writes FOLDER/NETWORK_layers_ascend.json and _descend.json, and returns their
// names; nothing while a layer is missing.
absl::StatusOr<std::vector<std::string>> WriteGuidedOrders(
    const std::string& folder, const Network& network,
    const std::map<int64_t, Sensitivity>& found);

// After a sensitivity run: its file, the table of all such runs beside it on
// stdout, the orders once all layers are there.
absl::Status ConcludeSensitivity(const Options& options,
                                 const Outcome& outcome);

}  // namespace altprop::iterbin

#endif  // ITERBIN_SENSITIVITY_H_
