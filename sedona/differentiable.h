// Optimizers whose updates stay in the graph, so that what follows can be
// differentiated with respect to what the gradients depended on.
#ifndef SEDONA_DIFFERENTIABLE_H_
#define SEDONA_DIFFERENTIABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "common/training/value.h"

namespace altprop::sedona {

struct DifferentiableOptions {
  bool adam = false;
  double learning_rate = 0;
  double weight_decay = 0;
  double momentum = 0;  // SGD's
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

// SGD:   g <- G + decay w;  m <- momentum m + g;  w <- w - rate m
// Adam:  g as above;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
//        w <- w - rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps),
//        the form that adds eps to the uncorrected root; entries with v = 0
//        stay where they are and pass no gradient through the root.
class DifferentiableOptimizer {
 public:
  // Moments start as constants: zero, or what `state` (an Optimizer's State())
  // holds under `names`, one per parameter.
  DifferentiableOptimizer(const DifferentiableOptions& options,
                          const training::Value& state,
                          const std::vector<std::string>& names);

  // The weights after one step, out of place. An undefined gradient leaves its
  // weight as it is.
  std::vector<at::Tensor> Step(const std::vector<at::Tensor>& weights,
                               const std::vector<at::Tensor>& gradients);

 private:
  at::Tensor SgdStep(size_t i, const at::Tensor& w, const at::Tensor& g);
  at::Tensor AdamStep(size_t i, const at::Tensor& w, const at::Tensor& g);

  DifferentiableOptions options_;
  // Undefined: zero.
  std::vector<at::Tensor> first_, second_;
  std::vector<int64_t> steps_;
};

}  // namespace altprop::sedona

#endif  // SEDONA_DIFFERENTIABLE_H_
