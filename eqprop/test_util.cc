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
  return tensors;
}

Network Golden::MakeNetwork(Activation activation) const {
  Network network;
  network.activation = activation;
  const std::vector<at::Tensor> tensors = PerParameter("param");
  for (size_t i = 0; i < tensors.size(); i += 2) {
    network.edges.push_back({tensors[i], tensors[i + 1]});
  }
  return network;
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

Backpropagation BackpropagateThroughTime(const Network& network,
                                         const Clamped& input,
                                         const std::vector<State>& states,
                                         const at::Tensor& target,
                                         const Dynamics& dynamics) {
  const auto batch = static_cast<double>(target.size(0));
  const size_t layers = network.edges.size();
  State delta;  // dL/ds
  for (const at::Tensor& s : states.back()) delta.push_back(at::zeros_like(s));
  delta.back() =
      -NudgeForce(dynamics.loss, states.back().back(), target) / batch;
  Backpropagation result;
  for (size_t t = states.size() - 1; t-- > 0;) {
    result.sensitivity.emplace_back();
    for (const at::Tensor& d : delta) {
      result.sensitivity.back().push_back(-batch * d);
    }
    const State& s = states[t];
    const State u = Drive(network, input, s, {}, dynamics.loss);
    State e;
    for (size_t l = 0; l < layers; ++l) {
      const bool linear = dynamics.linear_output && l + 1 == layers;
      e.push_back(linear ? delta[l]
                         : Derivative(network.activation, u[l]) * delta[l]);
    }
    std::vector<at::Tensor>& gradient = result.gradient.emplace_back();
    for (size_t l = 0; l < layers; ++l) {
      gradient.push_back(at::mm(e[l].t(), l == 0 ? input.x : s[l - 1]));
      if (l > 0) gradient.back() += at::mm(s[l].t(), e[l - 1]);
      gradient.push_back(e[l].sum(0));
    }
    for (size_t l = 0; l < layers; ++l) {
      delta[l] = at::zeros_like(s[l]);
      if (l > 0) delta[l] += at::mm(e[l - 1], network.edges[l].weight.t());
      if (l + 1 < layers) {
        delta[l] += at::mm(e[l + 1], network.edges[l + 1].weight);
      }
    }
  }
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
