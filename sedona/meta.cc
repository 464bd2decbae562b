#include "sedona/meta.h"

#include <cmath>
#include <string>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/linalg_vector_norm.h"
#include "ATen/ops/zeros_like.h"
#include "common/logging.h"
#include "common/training/position.h"
#include "sedona/greedy.h"
#include "sedona/losses.h"
#include "sedona/supernet.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::sedona {
namespace {

using torch::autograd::grad;

// A copy of a supernet that computes with whatever weights it is given.
class FastNetwork {
 public:
  explicit FastNetwork(const Network& network)
      : network_(Clone(network)), unit_(UnitOfParameters(network)) {
    Visit(network_,
          [&](const std::string& name, at::Tensor& tensor, bool parameter) {
            if (!parameter) return;
            names_.push_back(name);
            weights_.push_back(tensor.set_requires_grad(true));
          });
  }

  const Network& network() const { return network_; }
  const std::vector<at::Tensor>& weights() const { return weights_; }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<size_t>& unit() const { return unit_; }

  void SetWeights(std::vector<at::Tensor> weights) {
    weights_ = std::move(weights);
    size_t next = 0;
    Visit(network_,
          [&](const std::string&, at::Tensor& tensor, bool parameter) {
            if (parameter) tensor = weights_[next++];
          });
  }

 private:
  Network network_;
  std::vector<size_t> unit_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> weights_;
};

std::vector<double> NormsByUnit(const std::vector<at::Tensor>& tensors,
                                const std::vector<size_t>& unit, size_t units) {
  std::vector<double> squares(units, 0);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].defined()) continue;
    const double norm =
        at::linalg_vector_norm(tensors[i].detach()).item<double>();
    squares[unit[i]] += norm * norm;
  }
  for (double& square : squares) square = std::sqrt(square);
  return squares;
}

// What alpha and beta get from `objective`; a beta that it does not depend on
// gets zeros.
void SetGradients(const at::Tensor& objective, const at::Tensor& alpha,
                  const at::Tensor& beta, MetaResult& result) {
  std::vector<at::Tensor> inputs = {alpha};
  const bool with_beta = beta.defined() && beta.size(1) > 0;
  if (with_beta) inputs.push_back(beta);
  const auto gradients = grad({objective}, inputs, {}, /*retain_graph=*/false,
                              /*create_graph=*/false, /*allow_unused=*/true);
  const auto or_zero = [](const at::Tensor& gradient, const at::Tensor& like) {
    return gradient.defined() ? gradient : at::zeros_like(like).detach();
  };
  result.alpha_gradient = or_zero(gradients[0], alpha);
  if (with_beta) result.beta_gradient = or_zero(gradients[1], beta);
}

}  // namespace

MetaResult MetaGradient(const Network& supernet, const training::Value& state,
                        const at::Tensor& alpha, const at::Tensor& beta,
                        const std::vector<Minibatch>& inner,
                        const Minibatch& validation, const MetaOptions& options,
                        bool record_norms) {
  CHECK(!inner.empty());
  const at::AutoGradMode record(true);
  const bool last_inner = options.objective == MetaObjective::kLastInner;
  MetaResult result;
  FastNetwork fast(supernet);
  const size_t units = supernet.units.size();
  const Relaxation relaxation = Relax(alpha, beta);
  DifferentiableOptimizer optimizer(options.inner, state, fast.names());
  for (size_t t = 0; t < inner.size(); ++t) {
    SupernetOutput output =
        Forward(fast.network(), inner[t].x, inner[t].labels, relaxation,
                options.smoothing, options.mode);
    const at::Tensor composite = CompositeLoss(relaxation, output.losses);
    // The last update does not bear on the last inner loss: no graph of it.
    const bool last = t + 1 == inner.size();
    std::vector<at::Tensor> gradients =
        grad({composite}, fast.weights(), {}, /*retain_graph=*/true,
             /*create_graph=*/!(last && last_inner), /*allow_unused=*/true);
    if (last && last_inner) SetGradients(composite, alpha, beta, result);
    const at::AutoGradMode update(!(last && last_inner));
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined()) continue;
      gradients[i] = gradients[i] / relaxation.P[fast.unit()[i]];
    }
    fast.SetWeights(optimizer.Step(fast.weights(), gradients));
    result.inner_composite.push_back(composite.detach());
    std::vector<at::Tensor>& losses = result.inner_losses.emplace_back();
    for (const at::Tensor& loss : output.losses) {
      losses.push_back(loss.detach());
    }
    if (record_norms) {
      result.gradient_norms.push_back(
          NormsByUnit(gradients, fast.unit(), units));
      result.weight_norms.push_back(
          NormsByUnit(fast.weights(), fast.unit(), units));
    }
  }
  const at::AutoGradMode outer(!last_inner);
  const at::Tensor logits = HeadLogits(fast.network(), validation.x, Mode());
  const at::Tensor v =
      SmoothCrossEntropy(logits, validation.labels, options.smoothing);
  if (!last_inner) SetGradients(v, alpha, beta, result);
  training::Score score;
  AddScore(logits.detach(), logits.detach(), validation.labels,
           options.smoothing, score);
  result.validation_loss = v.item<double>();
  result.validation_error = 1 - score.accuracy();
  return result;
}

}  // namespace altprop::sedona
