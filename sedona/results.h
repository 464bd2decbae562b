// What a greedy training leaves behind beside its run directory, under the
// names that the authors' program gives it.
#ifndef SEDONA_RESULTS_H_
#define SEDONA_RESULTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/training/position.h"
#include "common/training/report_chart.h"
#include "common/training/value.h"
#include "sedona/flags.h"
#include "sedona/network.h"

namespace altprop::sedona {

// "<name>_<K>_ckpt.pth.tar" and "<name>_<K>_model_best.pth.tar" in
// <ckpt-dir>/<dataset>.
std::string CheckpointFile(const Options& options, int64_t k, bool best);
absl::Status WriteModel(const Options& options, int64_t k,
                        const training::Value& model);

// <result-dir>/<dataset>/<feat-mult>/<name>/<K>/results.json, of an ensemble
// ensemble_<N>.json: block_indices, decoder_configs, loss, err@1, err@5.
absl::Status WriteResults(const Options& options, int64_t k,
                          const Network& network, const training::Score& test);

// Where the units end blocks: "5, 9, 15".
std::string BlockText(const Network& network);
// The depth of each auxiliary network; 0 of those that have none (MLP-SR).
std::vector<int64_t> AuxDepths(const Network& network);

// The decoupling drawn over the network: the parameters of every unit, a curve
// for each block.
training::Chart DecouplingChart(const Network& network);

}  // namespace altprop::sedona

#endif  // SEDONA_RESULTS_H_
