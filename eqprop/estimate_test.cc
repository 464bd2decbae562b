#include "eqprop/estimate.h"

#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/rand.h"
#include "common/models/init.h"
#include "eqprop/phases.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

struct Kind {
  const char* name;
  Model model;
  const char* pools;
  bool softmax;
};

const Kind kKinds[] = {
    {"cnn", Model::kCnn, "mm", false},
    {"cnn_average", Model::kCnn, "ai", false},
    {"cnn_softmax", Model::kCnn, "mi", true},
    {"vfcnn", Model::kVfCnn, "mm", true},
};

class LaidOutTest : public testing::TestWithParam<Kind> {
 protected:
  LaidOutTest()
      : generator_(models::SeededGenerator(5)),
        network_(ConvertNetwork(
            MakeNetwork(
                Convolutional(GetParam().model, Activation::kMyHardSig, 14,
                              {2, 8, 12}, {3, 3}, {1, 1}, {1, 1},
                              GetParam().pools, {5}, GetParam().softmax),
                std::nullopt, generator_),
            at::kFloat, at::kCPU)),
        input_(Clamp(network_, at::rand({6, 2, 14, 14}, generator_))),
        target_(OneHot(at::rand({6}, generator_).mul(5).to(at::kLong),
                       network_.classes(), input_.x)) {}

  State Settled(double beta) {
    return Relax(network_, input_, ZeroState(network_, input_), 40,
                 NudgeTowards(target_, beta),
                 TrainingDynamics(Loss::kCel, GetParam().softmax));
  }

  at::Generator generator_;
  Network network_;
  Clamped input_;
  at::Tensor target_;
};

// From one contrast, so that nothing but the order of sums can differ.
TEST_P(LaidOutTest, GivesTheSameGradient) {
  const State free = Settled(0);
  const Contrast contrast =
      Between({Settled(0.5), 0.5}, {Settled(-0.5), -0.5}, target_);
  const Contrast laid_out = LaidOut(contrast, Path::kFused);
  EXPECT_TRUE(
      laid_out.a.state[0].is_contiguous(at::MemoryFormat::ChannelsLast));
  const auto expected = GradientOf(network_, input_, free, contrast, Rule());
  const auto gradient = GradientOf(network_, input_, free, laid_out, Rule());
  ASSERT_EQ(gradient.size(), expected.size());
  for (size_t i = 0; i < gradient.size(); ++i) {
    const double scale = expected[i].abs().max().item<double>();
    EXPECT_GT(scale, 0) << i;
    EXPECT_LT((gradient[i] - expected[i]).abs().max().item<double>(),
              2e-5 * scale)
        << Parameters(network_)[i].first;
    EXPECT_TRUE(gradient[i].is_contiguous());
  }
}

TEST_P(LaidOutTest, LeavesThePlainPathAlone) {
  const State state = Settled(0);
  const Contrast contrast =
      LaidOut(Between({state, 1}, {state, 0}, target_), Path::kPlain);
  EXPECT_TRUE(contrast.a.state[0].is_same(state[0]));
}

INSTANTIATE_TEST_SUITE_P(, LaidOutTest, testing::ValuesIn(kKinds),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace altprop::eqprop
