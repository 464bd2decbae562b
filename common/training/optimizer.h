#ifndef COMMON_TRAINING_OPTIMIZER_H_
#define COMMON_TRAINING_OPTIMIZER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/training/value.h"

namespace altprop::training {

// Parameters that share a learning rate and a weight decay.
struct ParameterGroup {
  NamedTensors parameters;  // updated in place
  double learning_rate = 0;
  double weight_decay = 0;  // L2: weight_decay * theta is added to the gradient
};

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  // eps joins the square root of v itself, not of the corrected v, as in torch
  // before 1.3 (and in Kingma & Ba's remark on efficiency):
  //   theta <- theta - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)
  bool legacy_eps = false;
};

struct RmsPropOptions {
  double alpha = 0.99, eps = 1e-8;
};

// torch.optim's SGD, Adam and RMSprop, SGD and Adam each group in one fused
// call.
//
//   Sgd:  g <- grad + wd theta;  v <- momentum v + g, first step v = g;
//         theta <- theta - lr v
//   Adam: g <- grad + wd theta;  m <- b1 m + (1 - b1) g;
//         v <- b2 v + (1 - b2) g^2;
//         theta <- theta - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)
//         (Kingma & Ba 2015).
//   RmsProp:  g <- grad + wd theta;  v <- alpha v + (1 - alpha) g^2;
//         theta <- theta - lr g / (sqrt(v) + eps)
//
// Elementwise, so the same bytes come out of every run with the same number of
// threads.
class Optimizer {
 public:
  static Optimizer Sgd(std::vector<ParameterGroup> groups, double momentum);
  static Optimizer Adam(std::vector<ParameterGroup> groups,
                        const AdamOptions& options = {});
  static Optimizer RmsProp(std::vector<ParameterGroup> groups,
                           const RmsPropOptions& options = {});

  // One step. `gradients`: one per parameter, of its shape and type, in the
  // order of the groups and of the parameters in them (CHECKed).
  void Step(const std::vector<at::Tensor>& gradients);

  // CHECKs group < groups().size().
  void set_learning_rate(size_t group, double learning_rate);
  const std::vector<ParameterGroup>& groups() const { return groups_; }

  // For a checkpoint: {"name": "adam", "state": {parameter: {"step", "exp_avg",
  // "exp_avg_sq"}, {"momentum_buffer"} or {"step", "square_avg"}},
  // "param_groups": [{"lr",
  // "weight_decay", "params": [names]}]}. The tensors are the optimizer's own:
  // write them before the next Step.
  Value State() const;

  // The reverse: moments and step counts. Learning rates and decays stay as
  // they are, since flags and schedules set them. `state` may also be what
  // Python's optimizer.state_dict() gave, with parameters by number. Errors
  // name `file`, the parameter and what was expected; then nothing has been
  // changed.
  absl::Status LoadState(const Value& state, const std::string& file);

 private:
  enum class Rule { kSgd, kAdam, kRmsProp };

  // Of one group; parallel to its parameters.
  struct Moments {
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> first;  // Adam's m; SGD's v, empty without momentum
    std::vector<at::Tensor> second;  // Adam's and RMSprop's v
  };

  Optimizer(Rule rule, std::vector<ParameterGroup> groups, double momentum,
            const AdamOptions& adam = {}, const RmsPropOptions& rmsprop = {});

  absl::string_view Name() const;
  at::Tensor Count(int64_t steps) const;  // as the fused operator wants it
  void StepGroup(size_t g, const std::vector<at::Tensor>& gradients);
  void AdamStep(size_t g, const std::vector<at::Tensor>& gradients);
  void RmsPropStep(size_t g, const std::vector<at::Tensor>& gradients);
  absl::Status ReadState(const Value& entries, std::vector<Moments>& moments,
                         std::optional<int64_t>& steps) const;
  absl::Status ReadEntry(const Value& entry, size_t i, Moments& moments,
                         std::optional<int64_t>& steps) const;

  Rule rule_;
  std::vector<ParameterGroup> groups_;
  std::vector<Moments> moments_;
  double momentum_;
  AdamOptions adam_;
  RmsPropOptions rmsprop_;
  int64_t steps_ = 0;
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_OPTIMIZER_H_
