// The state that training moves besides the network: optimizers, multipliers,
// window. One call is one line of the paper's algorithm.

#ifndef CBP_LEARNER_H_
#define CBP_LEARNER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "cbp/flags.h"
#include "cbp/network.h"
#include "cbp/window.h"
#include "common/training/optimizer.h"
#include "common/training/value.h"

namespace altprop::cbp {

struct LearnerOptions {
  Mode mode = Mode::kBinary;
  Ablation ablation = Ablation::kCbp;
  double learning_rate = 0;
  double weight_decay = 0;
  double lr_lambda = 0;
  int64_t period = 20;
  bool fused = true;
};

inline constexpr double kMomentum = 0.9;

// How far the constrained weights are from their levels.
struct Closeness {
  double cfs = 0;         // mean of Y(w), the constraint-failure score
  double cfs_over_s = 0;  // mean of Y(w) / s, s of its layer
  double within5 = 0;     // share of weights within 0.05 s of a level
  double lambda_max = 0;
};
Closeness Measure(const Constrained& constrained, Mode mode);

class Learner {
 public:
  // Keeps a reference to `network`, which is in full precision until Begin().
  Learner(Network& network, const LearnerOptions& options);

  // One step in full precision, by `loss` of the last forward pass: SGD with
  // momentum and weight decay.
  void PlainStep(const at::Tensor& loss, double learning_rate);

  // From full precision to levels: the scales, Q(w), multipliers of zero, no
  // momentum, and the first multiplier update (u = 0).
  absl::Status Begin();

  // One iteration under the constraint, by the mean cross-entropy `loss`: the
  // gradient of L = C + sum lambda cs, clipped to [-1, 1]; SGD; constrained
  // weights clipped to [-1, 1]. Returns sum lambda cs before the step.
  double ConstrainedStep(const at::Tensor& loss);

  // The rule at the end of an epoch of Lagrangian sum `lsum`; whether window,
  // rate and multipliers were updated.
  bool EndEpoch(double lsum);

  const Window& window() const { return window_; }
  // What the constraint is evaluated with: 1 where the ablation says so.
  double u() const;
  double learning_rate() const;
  int64_t multiplier_updates() const { return updates_; }

  // A checkpoint's entries "optimizer" (momentum by parameter name) and, under
  // the constraint, "multiplier_optimizer" (Adam's moments by layer), "lambda"
  // (by layer) and "window".
  training::Dict State() const;
  // The reverse; puts the network under the constraint where the checkpoint is.
  // The network's State() is to be filled after it. Errors lack the file's
  // name.
  absl::Status Restore(const training::Value& checkpoint);

 private:
  void UseConstrained();
  void Ascend();
  void UpdateFree(const std::vector<at::Tensor>& gradients);
  double UpdateConstrained(const std::vector<at::Tensor>& gradients);
  absl::Status RestoreMomentum(const training::Value& checkpoint);
  absl::Status RestoreMultipliers(const training::Value& checkpoint);

  Network& network_;
  LearnerOptions options_;
  training::Optimizer plain_;  // in full precision: of everything
  // Under the constraint: what is free, weights first, and its momentum.
  training::NamedTensors free_;
  size_t free_weights_ = 0;
  std::vector<at::Tensor> free_v_;
  Window window_;
  int64_t updates_ = 0;  // Adam's t
  int64_t steps_ = 0;    // under the constraint
};

}  // namespace altprop::cbp

#endif  // CBP_LEARNER_H_
