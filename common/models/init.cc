#include "common/models/init.h"

#include <cmath>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/ops/empty.h"
#include "common/logging.h"

namespace altprop::models {
namespace {

// Inputs of one unit: in * kh * kw.
double FanIn(at::IntArrayRef shape) {
  CHECK_GE(shape.size(), 2u);
  int64_t fan_in = 1;
  for (const int64_t size : shape.slice(1)) fan_in *= size;
  CHECK_GT(fan_in, 0);
  return static_cast<double>(fan_in);
}

at::Tensor Uniform(at::IntArrayRef shape, double bound,
                   at::Generator& generator) {
  return at::empty(shape, at::kFloat).uniform_(-bound, bound, generator);
}

}  // namespace

at::Generator SeededGenerator(uint64_t seed) {
  return at::detail::createCPUGenerator(seed);
}

at::Tensor KaimingUniformWeight(at::IntArrayRef shape,
                                at::Generator& generator) {
  // torch.nn.init.kaiming_uniform_'s own steps: the bound must round as it
  // does.
  const double a = std::sqrt(5.0);
  const double gain = std::sqrt(2.0 / (1 + a * a));
  const double deviation = gain / std::sqrt(FanIn(shape));
  return Uniform(shape, std::sqrt(3.0) * deviation, generator);
}

at::Tensor KaimingUniformBias(const at::Tensor& weight,
                              at::Generator& generator) {
  const double bound = 1 / std::sqrt(FanIn(weight.sizes()));
  return Uniform({weight.size(0)}, bound, generator);
}

}  // namespace altprop::models
