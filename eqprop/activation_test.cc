#include "eqprop/activation.h"

#include <string>

#include "ATen/TensorOperators.h"
#include "ATen/ops/linspace.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

class ActivationTest : public testing::TestWithParam<Activation> {
 protected:
  std::string name() const { return std::string(ActivationName(GetParam())); }
};

TEST_P(ActivationTest, EqualsTheReferenceInFloat64) {
  const Golden golden("activations.pt");
  ExpectClose(Activate(GetParam(), golden.Get("u")),
              golden.Get("out." + name()), 1e-15);
}

TEST_P(ActivationTest, EqualsTheReferenceInFloat32) {
  const Golden golden("activations.pt");
  ExpectClose(Activate(GetParam(), golden.Get("u").to(at::kFloat)),
              golden.Get("out32." + name()), 1e-7);
}

// The grid holds the kinks of the clamps, where the derivative is 0.
TEST_P(ActivationTest, DerivativeEqualsTheReference) {
  const Golden golden("activations.pt");
  ExpectClose(Derivative(GetParam(), golden.Get("u")),
              golden.Get("derivative." + name()), 1e-15);
}

TEST_P(ActivationTest, InPlaceWritesWhereItReads) {
  at::Tensor u = at::linspace(-3, 3, 25, at::kDouble);
  const at::Tensor expected = Activate(GetParam(), u);
  const void* memory = u.data_ptr();
  ActivateInPlace(GetParam(), u);
  EXPECT_EQ(u.data_ptr(), memory);
  ExpectClose(u, expected, 0);
}

// u in (0, 1/2) is inside every clamp's linear piece.
TEST_P(ActivationTest, InverseUndoesIt) {
  const at::Tensor u = at::linspace(0.01, 0.49, 25, at::kDouble);
  ExpectClose(Inverse(GetParam(), Activate(GetParam(), u)), u, 1e-14);
}

TEST_P(ActivationTest, PotentialHasTheInverseAsDerivative) {
  const at::Tensor s =
      Activate(GetParam(), at::linspace(0.01, 0.49, 25, at::kDouble));
  constexpr double kStep = 1e-5;
  const at::Tensor slope =
      (Potential(GetParam(), s + kStep) - Potential(GetParam(), s - kStep)) /
      (2 * kStep);
  // Truncation rho'''/6 step^2 < 1e-8 here, rounding 1e-16 / step.
  ExpectClose(slope, Inverse(GetParam(), s), 1e-8);
}

TEST_P(ActivationTest, KeepsNotANumber) {
  EXPECT_TRUE(Activate(GetParam(), Vector({NAN})).isnan().item<bool>());
}

TEST_P(ActivationTest, IsFoundByItsName) {
  const auto parsed = ParseActivation(name());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(*parsed, GetParam());
}

INSTANTIATE_TEST_SUITE_P(, ActivationTest, testing::ValuesIn(kActivations),
                         [](const auto& info) {
                           return std::string(ActivationName(info.param));
                         });

TEST(PotentialTest, IsFiniteAtTheEndsOfTheRange) {
  EXPECT_EQ(Potential(Activation::kMysig, Vector({0})).item<double>(), 0);
  EXPECT_EQ(Potential(Activation::kMysig, Vector({1})).item<double>(), 0.5);
}

TEST(ParseActivationTest, UnknownNameIsAnErrorThatListsTheKnown) {
  const auto parsed = ParseActivation("relu");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().message(),
            "'relu': expected one of mysig, sigmoid, tanh, hard_sigmoid, "
            "my_hard_sig, ctrd_hard_sig");
}

}  // namespace
}  // namespace altprop::eqprop
