#include "eqprop/test_util.h"

#include <cmath>
#include <optional>

#include "ATen/TensorOperators.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randint.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/models/init.h"
#include "eqprop/bptt.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

training::Value Load(const std::string& name) {
  auto root = training::LoadCheckpoint("eqprop/testdata/" + name);
  CHECK(root.ok()) << root.status();
  return *std::move(root);
}

}  // namespace

Golden::Golden(const std::string& name) : root_(Load(name)) {}

at::Tensor Golden::Get(const std::string& key) const {
  const auto tensor = root_.GetTensor(key);
  CHECK(tensor.ok()) << tensor.status();
  return *tensor;
}

double Golden::Number(const std::string& key) const {
  return Get(key).item().toDouble();
}

State Golden::Layers(const std::string& prefix) const {
  State layers;
  while (root_.Find(absl::StrCat(prefix, ".", layers.size())) != nullptr) {
    layers.push_back(Get(absl::StrCat(prefix, ".", layers.size())));
  }
  CHECK(!layers.empty()) << prefix;
  return layers;
}

std::vector<at::Tensor> Golden::PerParameter(const std::string& prefix) const {
  std::vector<at::Tensor> tensors;
  for (int i = 0;; ++i) {
    const std::string name = absl::StrCat(prefix, ".synapses.", i);
    if (root_.Find(name + ".weight") == nullptr) break;
    tensors.push_back(Get(name + ".weight"));
    tensors.push_back(Get(name + ".bias"));
  }
  CHECK(!tensors.empty()) << prefix;
  for (int j = 0;; ++j) {
    const std::string name = absl::StrCat(prefix, ".B_syn.", j, ".weight");
    if (root_.Find(name) == nullptr) break;
    tensors.push_back(Get(name));
  }
  return tensors;
}

Network Golden::MakeNetwork(Activation activation) const {
  Architecture mlp;
  mlp.activation = activation;
  for (size_t i = 0;; ++i) {
    const std::string name = absl::StrCat("param.synapses.", i, ".weight");
    if (root_.Find(name) == nullptr) break;
    const at::Tensor weight = Get(name);
    if (i == 0) mlp.archi.push_back(weight.size(1));
    mlp.archi.push_back(weight.size(0));
  }
  return MakeNetwork(mlp);
}

Network Golden::MakeNetwork(const Architecture& architecture) const {
  Network network =
      ConvertNetwork(eqprop::MakeNetwork(architecture, std::nullopt,
                                         models::SeededGenerator(0)),
                     at::kDouble, at::kCPU);
  for (auto& [name, tensor] : Parameters(network)) {
    tensor.copy_(Get(absl::StrCat("param.", name)));
  }
  return network;
}

Architecture Convolutional(Model model, Activation activation, int64_t size,
                           std::vector<int64_t> channels,
                           std::vector<int64_t> kernels,
                           std::vector<int64_t> strides,
                           std::vector<int64_t> paddings,
                           const std::string& pools, std::vector<int64_t> fc,
                           bool softmax) {
  Architecture a;
  a.model = model;
  a.activation = activation;
  a.input_size = size;
  a.input_channels = channels.front();
  channels.erase(channels.begin());
  a.channels = std::move(channels);
  a.kernels = std::move(kernels);
  a.strides = std::move(strides);
  a.paddings = std::move(paddings);
  for (const char letter : pools) {
    a.pools.push_back(letter == 'm'   ? Pool::kMax
                      : letter == 'a' ? Pool::kAverage
                                      : Pool::kNone);
  }
  a.fc = std::move(fc);
  a.softmax = softmax;
  return a;
}

at::Tensor Vector(std::initializer_list<double> values) {
  return at::tensor(at::ArrayRef<double>(values), at::kDouble);
}

at::Tensor Matrix(std::initializer_list<std::initializer_list<double>> rows) {
  std::vector<double> values;
  for (const auto& row : rows) values.insert(values.end(), row);
  const auto height = static_cast<int64_t>(rows.size());
  return at::tensor(values, at::kDouble).view({height, -1});
}

RandomProblem MakeProblem(const std::vector<int64_t>& sizes, int64_t batch,
                          Activation activation, at::ScalarType dtype,
                          uint64_t seed) {
  at::Generator generator = models::SeededGenerator(seed);
  const auto uniform = [&](at::IntArrayRef shape) {
    return at::rand(shape, generator, at::kDouble).to(dtype);
  };
  RandomProblem problem;
  problem.network = ConvertNetwork(
      MakeMlp(sizes, activation, std::nullopt, generator), dtype, at::kCPU);
  problem.input = Clamp(problem.network, uniform({batch, sizes.front()}));
  for (size_t l = 1; l < sizes.size(); ++l) {
    problem.state.push_back(uniform({batch, sizes[l]}));
  }
  problem.labels = at::randint(0, sizes.back(), {batch}, generator, at::kLong);
  problem.target = OneHot(problem.labels, sizes.back(), problem.input.x);
  return problem;
}

void ExpectClose(const at::Tensor& actual, const at::Tensor& expected,
                 double tolerance, const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  ASSERT_EQ(actual.scalar_type(), expected.scalar_type()) << what;
  if (actual.numel() == 0) return;
  const at::Tensor difference =
      (actual.to(at::kDouble) - expected.to(at::kDouble)).abs();
  // Written so that NaN fails.
  const double largest = difference.max().item<double>();
  EXPECT_TRUE(largest <= tolerance)
      << what << ": differs by " << largest << ", more than " << tolerance;
}

void ExpectClose(const std::vector<at::Tensor>& actual,
                 const std::vector<at::Tensor>& expected, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i) {
    ExpectClose(actual[i], expected[i], tolerance, absl::StrCat(what, " ", i));
  }
}

double RelativeError(const std::vector<at::Tensor>& a,
                     const std::vector<at::Tensor>& b) {
  CHECK_EQ(a.size(), b.size());
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const at::Tensor reference = b[i].to(at::kDouble);
    difference +=
        (a[i].to(at::kDouble) - reference).square().sum().item<double>();
    norm += reference.square().sum().item<double>();
  }
  return std::sqrt(difference / norm);
}

std::vector<at::Tensor> ContrastGradient(const Network& network,
                                         const Clamped& input, const State& a,
                                         double beta_a, const State& b,
                                         double beta_b, ContrastOrder order) {
  return ContrastGradient(
      network, input, Between({a, beta_a}, {b, beta_b}, at::Tensor()), order);
}

double LogLogSlope(const std::vector<double>& x, const std::vector<double>& y) {
  double mean_x = 0, mean_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mean_x += std::log(x[i]) / x.size();
    mean_y += std::log(y[i]) / y.size();
  }
  double covariance = 0, variance = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    covariance += (std::log(x[i]) - mean_x) * (std::log(y[i]) - mean_y);
    variance += (std::log(x[i]) - mean_x) * (std::log(x[i]) - mean_x);
  }
  return covariance / variance;
}

Backpropagation BackpropagateThroughTime(const Network& network,
                                         const Clamped& input,
                                         const State& start, int64_t steps,
                                         const at::Tensor& target,
                                         const Dynamics& dynamics) {
  const auto batch = static_cast<double>(target.size(0));
  Backpropagation result;
  BackpropagateSteps(network, input, start, steps, {}, target, dynamics,
                     [&](BackwardStep step) {
                       result.gradient.push_back(std::move(step.gradient));
                       State& s = result.sensitivity.emplace_back();
                       for (const at::Tensor& d : step.delta) {
                         s.push_back(-batch * d);
                       }
                     });
  return result;
}

std::vector<at::Tensor> Total(
    const std::vector<std::vector<at::Tensor>>& contributions) {
  std::vector<at::Tensor> total;
  for (const at::Tensor& term : contributions.front()) {
    total.push_back(at::zeros_like(term));
  }
  for (const std::vector<at::Tensor>& step : contributions) {
    for (size_t i = 0; i < step.size(); ++i) total[i] += step[i];
  }
  return total;
}

}  // namespace altprop::eqprop
