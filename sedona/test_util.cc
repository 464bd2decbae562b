#include "sedona/test_util.h"

#include <cmath>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/linalg_vector_norm.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"

namespace altprop::sedona {
namespace {

uint32_t Hash(uint32_t i, uint32_t t) {
  uint32_t x = (i + 1) * 0x9E3779B1U + (t + 1) * 0x85EBCA77U;
  x ^= x >> 15;
  x *= 0x2C1B3C6DU;
  x ^= x >> 12;
  x *= 0x297A2D39U;
  x ^= x >> 15;
  return x;
}

}  // namespace

Golden::Golden(const std::string& name) {
  auto root = training::LoadCheckpoint(absl::StrCat("sedona/testdata/", name));
  CHECK(root.ok()) << root.status();
  root_ = *std::move(root);
}

bool Golden::Has(const std::string& key) const {
  return root_.Find(key) != nullptr;
}

at::Tensor Golden::Get(const std::string& key) const {
  auto tensor = root_.GetTensor(key);
  CHECK(tensor.ok()) << tensor.status();
  return *tensor;
}

double Golden::Number(const std::string& key) const {
  return Get(key).item<double>();
}

std::vector<int64_t> Golden::Integers(const std::string& key) const {
  const at::Tensor tensor = Get(key).to(at::kLong).contiguous();
  return {tensor.const_data_ptr<int64_t>(),
          tensor.const_data_ptr<int64_t>() + tensor.numel()};
}

training::NamedTensors Golden::Below(const std::string& prefix) const {
  training::NamedTensors found;
  for (const auto& [key, value] : *root_.dict()) {
    if (absl::StartsWith(key, prefix)) {
      found.emplace_back(key.substr(prefix.size()), *value.tensor());
    }
  }
  return found;
}

void ExpectClose(const at::Tensor& actual, const at::Tensor& expected,
                 double tolerance, const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const at::Tensor a = actual.detach().to(at::kDouble);
  const at::Tensor b = expected.detach().to(at::kDouble);
  if (b.numel() == 0) return;
  const double largest = b.abs().max().item<double>();
  const double difference = (a - b).abs().max().item<double>();
  EXPECT_LE(difference, tolerance * largest + 1e-13)
      << what << ", largest " << largest;
}

void ExpectClose(double actual, double expected, double tolerance,
                 const std::string& what) {
  EXPECT_LE(std::abs(actual - expected), tolerance * std::abs(expected))
      << what << ": " << actual << " for " << expected;
}

at::Tensor HashUniform(int64_t n, int64_t t) {
  at::Tensor values = at::empty({n}, at::kDouble);
  auto* out = values.mutable_data_ptr<double>();
  for (int64_t i = 0; i < n; ++i) {
    out[i] = (Hash(static_cast<uint32_t>(i), static_cast<uint32_t>(t)) + 0.5) /
             4294967296.0;
  }
  return values;
}

void FillByHash(Network& network) {
  ConvertTo(network, at::kDouble, at::kCPU);
  int64_t t = 0;
  const auto fill = [&](const std::string& name, at::Tensor& tensor,
                        bool parameter) {
    if (!parameter) return;
    const at::Tensor v = HashUniform(tensor.numel(), t++) - 0.5;
    if (tensor.dim() >= 2) {
      const int64_t weights = tensor.numel() / tensor.size(0);
      const auto fan_in = static_cast<double>(weights);
      tensor.copy_(
          (v * (std::sqrt(12.0) * std::sqrt(2 / fan_in))).view(tensor.sizes()));
    } else {
      tensor.copy_(absl::EndsWith(name, "weight") ? 1 + 0.2 * v : 0.2 * v);
    }
  };
  Visit(network, fill);
}

at::Tensor HashImages(int64_t n, int64_t t, int64_t size) {
  return ((HashUniform(n * 3 * size * size, t) - 0.5) * std::sqrt(12.0))
      .view({n, 3, size, size});
}

at::Tensor HashLabels(int64_t n, int64_t o, int64_t classes) {
  return (at::arange(n, at::kLong) * 7 + o).remainder(classes);
}

at::Tensor Norms(const std::vector<at::Tensor>& tensors) {
  at::Tensor norms =
      at::zeros({static_cast<int64_t>(tensors.size())}, at::kDouble);
  for (size_t i = 0; i < tensors.size(); ++i) {
    norms.mutable_data_ptr<double>()[i] = NormOf({tensors[i]});
  }
  return norms;
}

double NormOf(const std::vector<at::Tensor>& tensors) {
  double sum = 0;
  for (const at::Tensor& tensor : tensors) {
    const double norm =
        at::linalg_vector_norm(tensor.detach().to(at::kDouble)).item<double>();
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

at::Tensor Stack(const std::vector<at::Tensor>& scalars) {
  return at::stack(scalars).detach();
}

std::vector<double> Doubles(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(),
          flat.const_data_ptr<double>() + flat.numel()};
}

}  // namespace altprop::sedona
