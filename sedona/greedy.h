// Greedy block-wise learning: every block has a loss of its own, and no
// gradient crosses from one block into another.
#ifndef SEDONA_GREEDY_H_
#define SEDONA_GREEDY_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "ATen/core/Tensor.h"
#include "common/training/position.h"
#include "common/training/value.h"
#include "sedona/decoupling.h"
#include "sedona/layers.h"
#include "sedona/network.h"

namespace altprop::sedona {

// Units `first` to `last`, which carries an auxiliary network or the head.
struct Block {
  size_t first = 0, last = 0;
};
std::vector<Block> Blocks(const Network& network);

// Which auxiliary networks make the blocks that `cuts` describes. Of a
// decoupling with candidates each cut keeps the one chosen; `baseline` is for
// one without.
std::vector<AuxChoice> ChooseAux(const Architecture& architecture,
                                 const Decoupling& cuts, AuxKind baseline);

// All parameters of a block: its units' and its auxiliary network's.
training::NamedTensors BlockParameters(const Network& network,
                                       const Block& block);

struct LossOptions {
  double smoothing = 0.1;
  // The whole network is trained as PredSim's authors do: no smoothing.
  bool predsim = false;
};

// The loss of a block with this output.
at::Tensor LocalLoss(const LocalOutput& output, const at::Tensor& labels,
                     const LossOptions& options);

struct BlockOutput {
  at::Tensor h;       // [N, C, S, S], still in the graph
  LocalOutput local;  // of the auxiliary network or the head
};
BlockOutput Forward(const Network& network, const Block& block,
                    const at::Tensor& x, const Mode& mode);

// One block's part of a training step.
struct BlockStep {
  at::Tensor passed_on;  // its output for the next block, without a graph
  at::Tensor loss;       // a scalar, without a graph
  at::Tensor logits;     // [N, classes], without a graph
  std::vector<at::Tensor> gradients;  // in the order of `parameters`
};

using PassOn = std::function<void(const at::Tensor&)>;

// Forward and backward of one block; the graph is gone when this returns, so
// that blocks one after the other need one block's memory. `scale` multiplies
// the loss before it goes back (loss scaling); 1: none. `pass_on`, where it is
// set, gets the output before the way back begins.
BlockStep ForwardBackward(const Network& network, const Block& block,
                          const at::Tensor& x, const at::Tensor& labels,
                          const std::vector<at::Tensor>& parameters,
                          const LossOptions& options, const Mode& mode,
                          double scale = 1, const PassOn& pass_on = {});

// Logits of every block in evaluation mode, the head's last. [N, classes] each.
std::vector<at::Tensor> EvaluationLogits(const Network& network,
                                         const at::Tensor& x);

// The sum of log softmax over the last `count` blocks: an ensemble.
at::Tensor EnsembleScores(const std::vector<at::Tensor>& logits, int64_t count);

// Adds a batch: the smoothed cross-entropy of `logits`, and for how many
// samples the label is the largest, and among the five largest, of `scores`.
void AddScore(const at::Tensor& logits, const at::Tensor& scores,
              const at::Tensor& labels, double smoothing,
              training::Score& score);

std::vector<at::Tensor> TensorsOf(const training::NamedTensors& named);
// The same storages, of which autograd knows nothing.
training::NamedTensors Detached(const training::NamedTensors& named);

}  // namespace altprop::sedona

#endif  // SEDONA_GREEDY_H_
