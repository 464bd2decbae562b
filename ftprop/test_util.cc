#include "ftprop/test_util.h"

#include <algorithm>
#include <cmath>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/dot.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/stack.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"

namespace altprop::ftprop {
namespace {

constexpr uint32_t kFirstProjection = 9001, kSecondProjection = 9002;

training::Value Load(const std::string& name) {
  auto root = training::LoadCheckpoint(absl::StrCat("ftprop/testdata/", name));
  CHECK(root.ok()) << root.status();
  return *std::move(root);
}

// Evenly spaced elements: floor(k numel / size).
at::Tensor Sample(const at::Tensor& tensor, int64_t size) {
  const at::Tensor indices =
      (at::arange(size, at::kLong) * tensor.numel()).floor_divide(size);
  return tensor.flatten().index_select(0, indices);
}

}  // namespace

Golden::Golden(const std::string& name) : name_(name), root_(Load(name)) {}

bool Golden::Has(const std::string& key) const {
  return root_.Find(key) != nullptr;
}

at::Tensor Golden::Get(const std::string& key) const {
  const auto tensor = root_.GetTensor(key);
  CHECK(tensor.ok()) << name_ << ": " << tensor.status();
  return *tensor;
}

double Golden::Number(const std::string& key) const {
  return Get(key).item<double>();
}

std::vector<std::string> Golden::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : *root_.dict()) keys.push_back(key);
  return keys;
}

void Golden::Expect(const std::string& key, const at::Tensor& actual,
                    double tolerance, bool relative) const {
  const std::string what = absl::StrCat(name_, ": ", key);
  const at::Tensor values = actual.detach().to(at::kDouble).contiguous();
  if (Has(key)) {
    // Some recordings are flattened.
    const at::Tensor expected = Get(key).view(values.sizes());
    if (!relative) return ExpectNear(values, expected, tolerance, what);
    const double largest = expected.abs().max().item<double>();
    ASSERT_EQ(values.sizes(), expected.sizes()) << what;
    EXPECT_LE((values - expected).abs().max().item<double>(),
              tolerance * largest)
        << what;
    return;
  }
  // A projection sums many rounded terms, so its error grows with the norm.
  const double norm = Number(key + "/norm");
  const double scale = relative ? norm : std::max(1.0, norm);
  EXPECT_NEAR(values.norm().item<double>(), norm, tolerance * scale) << what;
  const at::Tensor flat = values.flatten();
  const at::Tensor projections = Get(key + "/proj");
  int64_t i = 0;
  for (const uint32_t seed : {kFirstProjection, kSecondProjection}) {
    EXPECT_NEAR(flat.dot(Sequence(seed, flat.sizes())).item<double>(),
                projections[i++].item<double>(),
                tolerance * scale * std::sqrt(double(flat.numel())))
        << what;
  }
  if (!Has(key + "/sample")) return;
  const at::Tensor sample = Get(key + "/sample");
  const double largest = sample.abs().max().item<double>();
  EXPECT_LE(
      (Sample(values, sample.numel()) - sample).abs().max().item<double>(),
      tolerance * (relative ? largest : std::max(1.0, largest)))
      << what;
}

void ExpectNear(const at::Tensor& actual, const at::Tensor& expected,
                double tolerance, const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const at::Tensor wanted = expected.to(at::kDouble);
  const at::Tensor error =
      (actual.detach().to(at::kDouble).cpu() - wanted).abs();
  const double scale = std::max(1.0, wanted.abs().max().item<double>());
  // Not EXPECT_LE: NaN must fail.
  EXPECT_TRUE(error.max().item<double>() <= tolerance * scale)
      << what << ": error " << error.max().item<double>() << " at "
      << error.argmax().item<int64_t>();
}

at::Tensor Sequence(uint32_t seed, at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape, at::kDouble);
  auto* out = values.mutable_data_ptr<double>();
  uint32_t state = seed;
  for (int64_t i = 0; i < values.numel(); ++i) {
    state = 1664525 * state + 1013904223;
    out[i] = state / 4294967296.0 * 2 - 1;
  }
  return values;
}

void Fill(const training::NamedTensors& parameters) {
  const at::NoGradGuard no_grad;
  uint32_t seed = 0;
  double fan_in = 0;  // of the layer whose weight came last; 0: batch norm
  for (auto [name, tensor] : parameters) {
    const at::Tensor v = Sequence(++seed, tensor.sizes());
    const bool weight = name.ends_with("weight");
    if (weight) {
      fan_in = tensor.dim() > 1
                   ? static_cast<double>(tensor.numel() / tensor.size(0))
                   : 0;
    }
    if (fan_in > 0) {
      tensor.copy_(v / std::sqrt(fan_in));
    } else {
      tensor.copy_(weight ? 0.75 + 0.25 * v : 0.1 * v);
    }
  }
}

}  // namespace altprop::ftprop
