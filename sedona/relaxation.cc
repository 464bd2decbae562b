#include "sedona/relaxation.h"

#include "ATen/TensorOperators.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/softmax.h"
#include "common/logging.h"

namespace altprop::sedona {
namespace {

constexpr double kScaleEpsilon = 1e-5;

}  // namespace

Relaxation Relax(const at::Tensor& alpha, const at::Tensor& beta) {
  Relaxation relaxation;
  const at::Tensor weights = at::softmax(alpha, 1);
  relaxation.p = weights.select(1, 0);
  relaxation.q = weights.select(1, 1);
  if (beta.defined() && beta.size(1) > 0) relaxation.b = at::softmax(beta, 1);
  relaxation.P = {at::ones({}, alpha.options().requires_grad(false))};
  const at::Tensor p = relaxation.p.detach().cpu().to(at::kDouble);
  for (int64_t i = 0; i < alpha.size(0); ++i) {
    relaxation.P.push_back(relaxation.P.back() * relaxation.q[i]);
    relaxation.scales.push_back(1 / (p[i].item<double>() + kScaleEpsilon));
  }
  relaxation.scales.push_back(1);
  return relaxation;
}

at::Tensor CompositeLoss(const Relaxation& relaxation,
                         const std::vector<at::Tensor>& losses) {
  CHECK_EQ(losses.size(), relaxation.P.size());
  at::Tensor composite = losses.back();
  for (size_t i = losses.size() - 1; i-- > 0;) {
    const auto row = static_cast<int64_t>(i);
    composite = relaxation.q[row] * composite + relaxation.p[row] * losses[i];
  }
  return composite;
}

}  // namespace altprop::sedona
