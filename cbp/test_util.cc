#include "cbp/test_util.h"

#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/isfinite.h"
#include "ATen/ops/max.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/training/checkpoint.h"
#include "gtest/gtest.h"

namespace altprop::cbp {

Golden::Golden(const std::string& name) : name_(name) {
  auto read = training::LoadCheckpoint(absl::StrCat("cbp/testdata/", name));
  EXPECT_TRUE(read.ok()) << read.status();
  if (read.ok()) root_ = *std::move(read);
}

bool Golden::Has(const std::string& key) const {
  return root_.Find(key) != nullptr;
}

at::Tensor Golden::Get(const std::string& key) const {
  const auto tensor = root_.GetTensor(key);
  EXPECT_TRUE(tensor.ok()) << name_ << ": " << tensor.status();
  return tensor.ok() ? *tensor : at::Tensor();
}

double Golden::Number(const std::string& key) const {
  return Get(key).item().toDouble();
}

training::NamedTensors Golden::Under(const std::string& prefix) const {
  training::NamedTensors found;
  for (const auto& [name, value] : *root_.dict()) {
    if (absl::StartsWith(name, prefix)) {
      found.emplace_back(name.substr(prefix.size()), *value.tensor());
    }
  }
  EXPECT_FALSE(found.empty()) << name_ << ": no " << prefix;
  return found;
}

void ExpectClose(const at::Tensor& actual, const at::Tensor& expected,
                 double absolute, double relative, const std::string& what) {
  ASSERT_TRUE(actual.defined() && expected.defined()) << what;
  ASSERT_EQ(actual.sizes().vec(), expected.sizes().vec()) << what;
  ASSERT_EQ(actual.scalar_type(), expected.scalar_type()) << what;
  const at::Tensor a = actual.detach().to(at::kDouble);
  const at::Tensor b = expected.detach().to(at::kDouble);
  if (a.numel() == 0) return;
  EXPECT_TRUE(at::isfinite(a).all().item<bool>()) << what;
  const at::Tensor excess = (a - b).abs() - b.abs() * relative;
  EXPECT_LE(excess.max().item<double>(), absolute)
      << what << ": largest difference " << (a - b).abs().max().item<double>();
}

void ExpectEqual(const at::Tensor& actual, const at::Tensor& expected,
                 const std::string& what) {
  ExpectClose(actual, expected, 0, 0, what);
}

}  // namespace altprop::cbp
