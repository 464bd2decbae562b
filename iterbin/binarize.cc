#include "iterbin/binarize.h"

#include <algorithm>

#include "ATen/ops/eq.h"
#include "ATen/ops/gt.h"
#include "ATen/ops/max.h"
#include "ATen/ops/min.h"
#include "ATen/ops/ne.h"
#include "ATen/ops/sign.h"
#include "ATen/ops/sum.h"
#include "common/logging.h"

namespace altprop::iterbin {

at::Tensor Effective(const at::Tensor& master, bool binary) {
  return binary ? at::sign(master.detach()) : master.detach();
}

LastForward RememberForward(const std::vector<at::Tensor>& masters,
                            const Flags& binary) {
  CHECK_EQ(masters.size(), binary.size());
  LastForward last;
  last.reserve(masters.size());
  for (size_t i = 0; i < masters.size(); ++i) {
    last.push_back(binary[i] ? Effective(masters[i], true)
                             : masters[i].detach().clone());
  }
  return last;
}

void AdoptForward(const LastForward& last,
                  const std::vector<at::Tensor>& masters) {
  CHECK_EQ(masters.size(), last.size());
  for (size_t i = 0; i < masters.size(); ++i) {
    masters[i].detach().copy_(last[i]);
  }
}

WeightStatistics Statistics(const std::vector<at::Tensor>& effective,
                            const Flags& binary) {
  CHECK_EQ(effective.size(), binary.size());
  WeightStatistics result;
  for (size_t i = 0; i < effective.size(); ++i) {
    const at::Tensor& e = effective[i];
    result.max = std::max(result.max, e.max().item().toDouble());
    result.min = std::min(result.min, e.min().item().toDouble());
    result.num_zeros += e.eq(0).sum().item<int64_t>();
    if (binary[i]) result.num_binary += e.numel();
  }
  return result;
}

std::vector<at::Tensor> SignsOf(const std::vector<at::Tensor>& weights) {
  std::vector<at::Tensor> signs;
  signs.reserve(weights.size());
  for (const at::Tensor& w : weights) signs.push_back(w.detach().gt(0));
  return signs;
}

double FlippedShare(const std::vector<at::Tensor>& before,
                    const std::vector<at::Tensor>& weights,
                    const Flags& binary) {
  CHECK_EQ(before.size(), weights.size());
  int64_t flipped = 0;
  int64_t count = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!binary[i]) continue;
    flipped += weights[i].detach().gt(0).ne(before[i]).sum().item<int64_t>();
    count += weights[i].numel();
  }
  return count == 0 ? 0 : static_cast<double>(flipped) / count;
}

}  // namespace altprop::iterbin
