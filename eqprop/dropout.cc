#include "eqprop/dropout.h"

#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/rand.h"
#include "common/logging.h"
#include "common/models/init.h"
#include "common/random.h"

namespace altprop::eqprop {

std::vector<double> DropoutFactors(const std::vector<double>& keep,
                                   bool linear_output, Semantics semantics) {
  CHECK_GE(keep.size(), 2u);
  std::vector<double> factors(keep.begin() + 1, keep.end());
  if (!linear_output && semantics == Semantics::kReference) {
    factors.back() = keep[keep.size() - 2];
  }
  return factors;
}

DroppedInput DrawDropout(const Network& network, const at::Tensor& x,
                         const std::vector<double>& keep,
                         std::vector<double> factors, uint64_t seed,
                         int64_t step) {
  CHECK_EQ(keep.size(), network.layers() + 1);
  CounterRandom random(seed, RandomStream("dropout"), 0,
                       static_cast<uint64_t>(step));
  at::Generator generator = models::SeededGenerator(random.Next());
  // Drawn on the CPU in float32 whatever the run's type and device.
  const auto mask = [&](at::IntArrayRef shape, double q) {
    return at::rand(shape, generator, at::kFloat)
        .lt(q)
        .to(x.device(), x.scalar_type())
        .div_(q);
  };
  DroppedInput dropped;
  dropped.x = keep[0] == 1 ? x : x * mask(x.sizes(), keep[0]);
  dropped.dropout.keep = std::move(factors);
  std::vector<std::vector<int64_t>> shapes = LayerShapes(network, x.sizes());
  for (size_t l = 0; l < shapes.size(); ++l) {
    shapes[l].insert(shapes[l].begin(), x.size(0));
    dropped.dropout.masks.push_back(mask(shapes[l], keep[l + 1]));
  }
  return dropped;
}

}  // namespace altprop::eqprop
