#include "sedona/losses.h"

#include "ATen/TensorOperators.h"
#include "ATen/ops/clamp.h"
#include "ATen/ops/eye.h"
#include "ATen/ops/linalg_vector_norm.h"
#include "ATen/ops/log_softmax.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/mse_loss.h"
#include "ATen/ops/one_hot.h"
#include "ATen/ops/std.h"

namespace altprop::sedona {
namespace {

// Of the similarity in a PredSim loss; the rest is the cross-entropy's.
constexpr double kSimilarityShare = 0.99;

}  // namespace

at::Tensor SmoothCrossEntropy(const at::Tensor& logits,
                              const at::Tensor& labels, double epsilon) {
  const at::Tensor log_p = at::log_softmax(logits, 1);
  const at::Tensor at_label = log_p.gather(1, labels.unsqueeze(1)).squeeze(1);
  if (epsilon == 0) return -at_label.mean();
  const double other = epsilon / static_cast<double>(logits.size(1) - 1);
  return -(at_label * (1 - epsilon) + (log_p.sum(1) - at_label) * other).mean();
}

at::Tensor SimilarityMatrix(const at::Tensor& x, bool use_std) {
  at::Tensor rows;
  if (x.dim() == 4 && use_std && x.size(1) > 3 && x.size(2) > 1) {
    rows = x.flatten(2).std(2, /*unbiased=*/true);
  } else {
    rows = x.flatten(1);
  }
  const at::Tensor centred = rows - rows.mean(1, /*keepdim=*/true);
  const at::Tensor length =
      at::linalg_vector_norm(centred, 2, at::IntArrayRef{1}, true) + 1e-8;
  const at::Tensor unit = centred / length;
  return at::matmul(unit, unit.t()).clamp(-1, 1);
}

at::Tensor LabelSimilarity(const at::Tensor& labels, int64_t classes,
                           const at::Tensor& like) {
  return SimilarityMatrix(
      at::one_hot(labels, classes).to(like.device(), like.scalar_type()),
      /*use_std=*/false);
}

at::Tensor PredSimLoss(const at::Tensor& logits, const at::Tensor& similarity,
                       const at::Tensor& labels) {
  const at::Tensor target =
      LabelSimilarity(labels, logits.size(1), similarity).detach();
  return SmoothCrossEntropy(logits, labels, 0) * (1 - kSimilarityShare) +
         at::mse_loss(similarity, target) * kSimilarityShare;
}

}  // namespace altprop::sedona
