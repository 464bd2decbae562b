// Counting what a network got right.

#ifndef ITERBIN_SCORE_H_
#define ITERBIN_SCORE_H_

#include "ATen/core/Tensor.h"
#include "common/training/position.h"

namespace altprop::iterbin {

// Of a minibatch: `output` [B, classes], `labels` [B], `loss` its mean. With
// `top5` also the labels among the five largest outputs.
training::Score ScoreOf(const at::Tensor& output, const at::Tensor& labels,
                        double loss, bool top5 = false);

}  // namespace altprop::iterbin

#endif  // ITERBIN_SCORE_H_
