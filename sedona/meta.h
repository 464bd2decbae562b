// The outer level of the search: the gradient of alpha and beta through a few
// unrolled weight updates.
#ifndef SEDONA_META_H_
#define SEDONA_META_H_

#include <vector>

#include "ATen/core/Tensor.h"
#include "common/training/value.h"
#include "sedona/differentiable.h"
#include "sedona/minibatch.h"
#include "sedona/network.h"
#include "sedona/relaxation.h"

namespace altprop::sedona {

// What the decision variables' gradient is of: the validation loss after the
// inner steps, as the paper says, or the last inner step's composite training
// loss, as the authors' program does.
enum class MetaObjective { kValid, kLastInner };

struct MetaOptions {
  MetaObjective objective = MetaObjective::kValid;
  double smoothing = 0.1;
  DifferentiableOptions inner;
  Mode mode;  // of the inner steps
};

struct MetaResult {
  std::vector<at::Tensor> inner_composite;            // [T]
  std::vector<std::vector<at::Tensor>> inner_losses;  // [T][L]
  std::vector<std::vector<double>> gradient_norms;    // [T][L], of G
  std::vector<std::vector<double>> weight_norms;      // [T][L], after the step
  double validation_loss = 0;                         // V(W_T)
  double validation_error = 0;                        // top 1
  at::Tensor alpha_gradient, beta_gradient;  // beta's undefined without beta
};

// Differentiates through the T inner updates (momentum and decay included),
// batch statistics, the softmaxes and the division by P_i; the scales s_i, the
// start, the running statistics and the data are constants. `supernet` and its
// optimizer's `state` are left as they are. alpha, beta: leaves that require
// gradients. `record_norms`: also fills the norms, which cost a pass over all
// weights.
MetaResult MetaGradient(const Network& supernet, const training::Value& state,
                        const at::Tensor& alpha, const at::Tensor& beta,
                        const std::vector<Minibatch>& inner,
                        const Minibatch& validation, const MetaOptions& options,
                        bool record_norms = false);

}  // namespace altprop::sedona

#endif  // SEDONA_META_H_
