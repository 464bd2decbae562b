#include "ftprop/loss.h"

#include <cmath>
#include <string>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/full_like.h"
#include "ATen/ops/log_softmax.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "ftprop/test_util.h"
#include "gtest/gtest.h"
#include "torch/csrc/autograd/autograd.h"
#include "torch/csrc/autograd/variable.h"

namespace altprop::ftprop {
namespace {

struct ValueAndGradient {
  double value;
  at::Tensor dz;
};

ValueAndGradient Evaluate(Loss loss, const at::Tensor& z,
                          const at::Tensor& labels) {
  const at::Tensor leaf = z.detach().clone().set_requires_grad(true);
  const at::Tensor value = OutputLoss(loss, leaf, labels);
  return {value.item<double>(), torch::autograd::grad({value}, {leaf})[0]};
}

TEST(OutputLoss, EqualsTheAuthorsProgram) {
  const Golden golden("losses.pt");
  for (const auto& [name, loss] : std::vector<std::pair<std::string, Loss>>{
           {"crossent", Loss::kCrossEntropy},
           {"hinge", Loss::kHinge},
           {"hingeSM", Loss::kHingeSM},
           {"hingeTrunc", Loss::kHingeTrunc},
           {"squared_hinge", Loss::kHingeL2},
           {"hingeTruncSM", Loss::kHingeTruncSM}}) {
    const auto got = Evaluate(loss, golden.Get("z"), golden.Get("label"));
    const double value = golden.Number(name + "/value");
    EXPECT_NEAR(got.value, value, 1e-14 * std::max(1.0, std::abs(value)))
        << name;
    ExpectNear(got.dz, golden.Get(name + "/dz"), 1e-14, name);
  }
}

// z = (2, -.5, .3), label 0, and (-1.5, .2, 3.5), label 1.
TEST(OutputLoss, HasTheValuesWorkedOutByHand) {
  const at::Tensor z =
      at::tensor({2.0, -0.5, 0.3, -1.5, 0.2, 3.5}).view({2, 3});
  const at::Tensor labels = at::tensor({0, 1}, at::kLong);
  const auto value = [&](Loss loss) { return Evaluate(loss, z, labels).value; };
  EXPECT_NEAR(value(Loss::kCrossEntropy), 1.7887928129, 1e-10);
  EXPECT_NEAR(value(Loss::kHinge), 3.55, 1e-14);
  EXPECT_NEAR(value(Loss::kHingeTrunc), 2.3, 1e-14);
  EXPECT_NEAR(value(Loss::kHingeSM), 3.2674445597, 1e-10);
  EXPECT_NEAR(value(Loss::kHingeL2), 11.415, 1e-13);
  ExpectNear(Evaluate(Loss::kHingeL2, z, labels).dz,
             at::tensor({0.0, .5, 1.3, 0.0, -.8, 4.5}).view({2, 3}), 1e-14,
             "hingeL2");
}

TEST(OutputLoss, CountsClassesAtZero) {
  const at::Tensor z = at::zeros({4, 7}, at::kDouble);
  const at::Tensor labels = at::tensor({0, 3, 6, 3}, at::kLong);
  EXPECT_EQ(OutputLoss(Loss::kHinge, z, labels).item<double>(), 7);
  EXPECT_EQ(OutputLoss(Loss::kHingeTrunc, z, labels).item<double>(), 7);
  EXPECT_NEAR(OutputLoss(Loss::kCrossEntropy, z, labels).item<double>(),
              std::log(7.0), 1e-15);
}

// hingeSM = 1 + crossent + mean_i sum over the other classes of
// max(0, 1 + log p_ij), since the label's term is 1 - log p >= 1.
TEST(OutputLoss, HingeOfLogSoftmaxContainsCrossEntropy) {
  const at::Tensor z = 3 * Sequence(7, {20, 6});
  const at::Tensor labels = (Sequence(8, {20}) * 3 + 3).to(at::kLong);
  at::Tensor others = (1 + at::log_softmax(z, 1)).clamp_min(0);
  others.scatter_(1, labels.unsqueeze(1), 0);
  EXPECT_NEAR(OutputLoss(Loss::kHingeSM, z, labels).item<double>(),
              1 + OutputLoss(Loss::kCrossEntropy, z, labels).item<double>() +
                  others.sum().item<double>() / 20,
              1e-13);
}

TEST(OutputLoss, KeepsTheTypeOfTheLogits) {
  const at::Tensor labels = at::tensor({1, 0}, at::kLong);
  for (const auto type : {at::kFloat, at::kDouble}) {
    const at::Tensor z = Sequence(9, {2, 3}).to(type);
    for (const Loss loss : {Loss::kCrossEntropy, Loss::kHinge, Loss::kHingeSM,
                            Loss::kHingeTrunc, Loss::kHingeL2}) {
      EXPECT_EQ(OutputLoss(loss, z, labels).scalar_type(), type);
    }
  }
}

TEST(OutputLoss, HasNames) {
  for (const char* name :
       {"crossent", "hinge", "hingeL2", "hingeSM", "hingeTrunc"}) {
    EXPECT_EQ(LossName(*ParseLoss(name)), name);
  }
  EXPECT_FALSE(ParseLoss("mse").ok());
}

TEST(HiddenLoss, EqualsTheAuthorsProgram) {
  const Golden golden("hidden_losses.pt");
  const at::Tensor z = golden.Get("z");
  int compared = 0;
  for (const Rule rule : Rules()) {
    for (const auto& [suffix, t] :
         {std::pair{"/t+1", 1.0}, std::pair{"/t-1", -1.0},
          std::pair{"/t+0", 0.0}}) {
      const std::string key = absl::StrCat(std::string(RuleName(rule)), suffix);
      const auto loss = HiddenLoss(rule, z, at::full_like(z, t));
      ASSERT_EQ(loss.ok(), golden.Has(key)) << key;
      if (!loss.ok()) continue;
      ExpectNear(*loss, golden.Get(key), 1e-14, key);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 57);
}

}  // namespace
}  // namespace altprop::ftprop
