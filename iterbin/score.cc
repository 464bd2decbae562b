#include "iterbin/score.h"

#include <algorithm>
#include <tuple>

#include "ATen/ops/argmax.h"
#include "ATen/ops/eq.h"
#include "ATen/ops/sum.h"
#include "ATen/ops/topk.h"

namespace altprop::iterbin {

training::Score ScoreOf(const at::Tensor& output, const at::Tensor& labels,
                        double loss, bool top5) {
  training::Score score;
  score.samples = labels.size(0);
  score.loss_sum = loss * static_cast<double>(score.samples);
  score.correct = output.argmax(1).eq(labels).sum().item<int64_t>();
  if (top5) {
    const at::Tensor largest =
        std::get<1>(output.topk(std::min<int64_t>(5, output.size(1)), 1));
    score.correct5 =
        largest.eq(labels.unsqueeze(1)).any(1).sum().item<int64_t>();
  }
  return score;
}

}  // namespace altprop::iterbin
