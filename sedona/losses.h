// The losses of blocks, heads and auxiliary networks.
#ifndef SEDONA_LOSSES_H_
#define SEDONA_LOSSES_H_

#include "ATen/core/Tensor.h"

namespace altprop::sedona {

// Cross-entropy with the smoothed target 1 - epsilon at the label and
// epsilon / (C - 1) elsewhere, mean over the batch. (A library's label
// smoothing spreads epsilon / C over all classes, the label's too.)
// logits: [N, C], labels: int64 [N]; returns a scalar.
at::Tensor SmoothCrossEntropy(const at::Tensor& logits,
                              const at::Tensor& labels, double epsilon);

// Cosine similarities of the rows' deviations from their means, clamped to
// [-1, 1]: [N, N]. x: [N, ...]. An image [N, C, H, W] with C > 3 and H > 1 is
// taken as the standard deviation of each of its channels (unbiased) if
// `use_std`; everything else is flattened (Nokland & Eidnes 2019).
at::Tensor SimilarityMatrix(const at::Tensor& x, bool use_std);

// The same of one-hot labels: 1 for equal ones, else -1 / (classes - 1). `like`
// gives the type and the device.
at::Tensor LabelSimilarity(const at::Tensor& labels, int64_t classes,
                           const at::Tensor& like);

// 0.01 CE(logits) + 0.99 MSE(similarity, that of the labels): the loss of a
// PredSim auxiliary network, without smoothing.
at::Tensor PredSimLoss(const at::Tensor& logits, const at::Tensor& similarity,
                       const at::Tensor& labels);

}  // namespace altprop::sedona

#endif  // SEDONA_LOSSES_H_
