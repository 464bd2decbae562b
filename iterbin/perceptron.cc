#include "iterbin/perceptron.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "ATen/core/grad_mode.h"
#include "ATen/ops/exp.h"
#include "ATen/ops/full.h"
#include "ATen/ops/linear.h"
#include "ATen/ops/log_softmax.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/native_batch_norm.h"
#include "ATen/ops/native_batch_norm_backward.h"
#include "ATen/ops/nll_loss.h"
#include "ATen/ops/threshold_backward.h"
#include "common/logging.h"

namespace altprop::iterbin {
namespace {

// Of a layer, from its forward pass.
struct Trace {
  at::Tensor input;         // [B, in]
  at::Tensor sum;           // [B, out], before the batch norm
  at::Tensor mean, invstd;  // the batch's, [out]
};

Trace ForwardLayer(const Weights& w, size_t i, at::Tensor input,
                   at::Tensor& output) {
  const models::BatchNorm& norm = w.norms[i];
  Trace trace;
  trace.input = std::move(input);
  trace.sum = at::linear(trace.input, w.weight[i], w.bias[i]);
  at::Tensor batches = norm.num_batches_tracked;
  batches.add_(1);
  std::tie(output, trace.mean, trace.invstd) = at::native_batch_norm(
      trace.sum, norm.weight, norm.bias, norm.running_mean, norm.running_var,
      /*training=*/true, norm.momentum, norm.eps);
  return trace;
}

// d(mean of -log p)/d(what is before the log-softmax).
at::Tensor LossGradient(const at::Tensor& log_p, const at::Tensor& labels) {
  const auto batch = static_cast<double>(log_p.size(0));
  at::Tensor d = at::exp(log_p).div_(batch);
  const at::Tensor one =
      at::full({log_p.size(0), 1}, -1 / batch, log_p.options());
  d.scatter_add_(1, labels.unsqueeze(1), one);
  return d;
}

}  // namespace

bool IsPerceptron(const Network& network) {
  return network.kind == Kind::kPlain &&
         network.norms.size() == network.layers.size() &&
         std::all_of(network.layers.begin(), network.layers.end(),
                     [](const Layer& l) {
                       return l.weight.dim() == 2 && l.bias.defined();
                     });
}

Gradients PerceptronGradients(const Network& network, const Flags& binary,
                              const at::Tensor& x, const at::Tensor& labels) {
  CHECK(IsPerceptron(network));
  const at::NoGradGuard no_grad;
  const Weights w = EffectiveWeights(network, binary);
  const size_t layers = w.weight.size();
  std::vector<Trace> traces;
  at::Tensor h = x.flatten(1);
  for (size_t i = 0; i < layers; ++i) {
    at::Tensor output;
    traces.push_back(ForwardLayer(w, i, std::move(h), output));
    h = i + 1 < layers ? output.relu_() : output;
  }
  const at::Tensor log_p = at::log_softmax(h, 1);
  Gradients result;
  result.output = log_p;
  result.loss = at::nll_loss(log_p, labels).item().toDouble();

  // Weight, bias, batch norm's weight and bias of each layer, last one first.
  result.gradients.resize(4 * layers);
  at::Tensor d = LossGradient(log_p, labels);
  for (size_t i = layers; i-- > 0;) {
    const Trace& t = traces[i];
    const models::BatchNorm& norm = w.norms[i];
    auto [sum, scale, shift] = at::native_batch_norm_backward(
        d, t.sum, norm.weight, norm.running_mean, norm.running_var, t.mean,
        t.invstd, /*train=*/true, norm.eps, {true, true, true});
    at::Tensor* out = &result.gradients[4 * i];
    out[0] = at::mm(sum.t(), t.input);
    out[1] = sum.sum(0);
    out[2] = std::move(scale);
    out[3] = std::move(shift);
    // The input is what a ReLU let through.
    if (i > 0) {
      d = at::threshold_backward(at::mm(sum, w.weight[i]), t.input, 0);
    }
  }
  return result;
}

}  // namespace altprop::iterbin
