// --diagnostics: histograms of what goes into and comes out of every hard
// threshold, of a few minibatches and a few of their elements.

#ifndef FTPROP_DIAGNOSTICS_H_
#define FTPROP_DIAGNOSTICS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/training/run_directory.h"
#include "ftprop/evaluation.h"
#include "ftprop/flags.h"
#include "ftprop/network.h"

namespace altprop::ftprop {

class Diagnostics {
 public:
  // Keeps references.
  Diagnostics(const Options& options, const Network& network)
      : options_(options), network_(network) {}

  // Whether to keep this minibatch: never without --diagnostics, else with
  // probability 1 - tb_drop_pct, drawn from (seed, split, epoch, batch).
  bool Wants(absl::string_view split, int64_t epoch, int64_t batch) const;

  // Keeps a share of the elements.
  void Take(const std::vector<at::Tensor>& inputs,
            const std::vector<at::Tensor>& outputs);

  // For Evaluate().
  HiddenObserver Observer(const std::string& split, int64_t epoch);

  // Writes what was taken as SPLIT/step_input/LAYER and SPLIT/step_output/LAYER
  // and forgets it.
  absl::Status Log(absl::string_view split, int64_t step,
                   training::RunDirectory& directory);

 private:
  at::Tensor Sample(const at::Tensor& values);

  const Options& options_;
  const Network& network_;
  uint64_t taken_ = 0;
  // Per layer that is a hard threshold: its name, and pieces.
  struct Layer {
    std::vector<at::Tensor> inputs, outputs;
  };
  std::vector<Layer> layers_;
};

}  // namespace altprop::ftprop

#endif  // FTPROP_DIAGNOSTICS_H_
