#include "iterbin/test_util.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"

namespace altprop::iterbin {
namespace {

training::Value Load(const std::string& name) {
  auto root = training::LoadCheckpoint("iterbin/testdata/" + name);
  CHECK(root.ok()) << root.status();
  return *std::move(root);
}

}  // namespace

Golden::Golden(const std::string& name) : root_(Load(name)) {}

bool Golden::Has(const std::string& key) const {
  return root_.Find(key) != nullptr;
}

at::Tensor Golden::Get(const std::string& key) const {
  const auto tensor = root_.GetTensor(key);
  CHECK(tensor.ok()) << tensor.status();
  return *tensor;
}

double Golden::Number(const std::string& key) const {
  return Get(key).item().toDouble();
}

std::vector<std::string> Golden::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : *root_.dict()) keys.push_back(key);
  return keys;
}

double Deviation(const at::Tensor& actual, const at::Tensor& expected) {
  const double infinite = std::numeric_limits<double>::infinity();
  if (actual.sizes() != expected.sizes()) return infinite;
  if (actual.numel() == 0) return 0;
  const at::Tensor want = expected.to(at::kDouble);
  const double difference =
      (actual.to(at::kDouble) - want).abs().max().item<double>();
  if (std::isnan(difference)) return infinite;
  return difference / std::max(1.0, want.abs().max().item<double>());
}

void ExpectClose(const at::Tensor& actual, const at::Tensor& expected,
                 double tolerance, const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  EXPECT_LE(Deviation(actual, expected), tolerance) << what;
}

at::Tensor HashFill(at::IntArrayRef shape, int64_t stream, double scale) {
  at::Tensor tensor = at::empty(shape, at::kDouble);
  auto* out = tensor.mutable_data_ptr<double>();
  for (int64_t k = 0; k < tensor.numel(); ++k) {
    auto h = static_cast<uint32_t>(k + 1 + 1000003 * stream);
    h *= 2654435761U;
    h ^= h >> 15;
    h *= 2246822519U;
    h ^= h >> 13;
    out[k] = static_cast<float>(scale * (2 * (h + 0.5) / 4294967296.0 - 1));
  }
  return tensor;
}

void FillByHash(Network& network) {
  network.State().ConvertTo(at::kDouble, at::kCPU);
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    const auto stream = static_cast<int64_t>(i) + 1;
    const double fan_in = static_cast<double>(layer.weight.numel()) /
                          static_cast<double>(layer.weight.size(0));
    const double scale = 1 / std::sqrt(fan_in);
    layer.weight.copy_(HashFill(layer.weight.sizes(), stream, scale));
    if (layer.bias.defined()) {
      layer.bias.copy_(HashFill(layer.bias.sizes(), 100 + stream, scale));
    }
  }
}

void FillFrom(const Golden& golden, const std::string& prefix,
              Network& network) {
  models::StateDict state = network.State();
  state.ConvertTo(at::kDouble, at::kCPU);
  for (const auto& [name, tensor] : state.entries()) {
    const at::Tensor value = golden.Get(prefix + name);
    CHECK(value.sizes() == tensor.sizes()) << name;
    tensor.copy_(value);
  }
}

Flags FlagSet(const std::string& name, size_t layers) {
  Flags flags(layers, name == "all");
  if (name == "first") flags.front() = true;
  if (name == "last_two") flags[layers - 1] = flags[layers - 2] = true;
  return flags;
}

at::Tensor CountingLabels(int64_t count, int64_t a, int64_t b, int64_t c,
                          int64_t classes) {
  at::Tensor labels = at::empty({count}, at::kLong);
  for (int64_t n = 0; n < count; ++n) {
    labels[n] = (a * n + (b == 0 ? 0 : n / b) + c) % classes;
  }
  return labels;
}

}  // namespace altprop::iterbin
