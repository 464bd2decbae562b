#include "common/training/schedule.h"

#include <cmath>
#include <utility>
#include <vector>

#include "common/training/checkpoint.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

TEST(CosineAnnealing, HasTheValuesWorkedOutByHand) {
  // lr0 = 1, eta_min = 0: (1 + cos(pi e / 4)) / 2.
  EXPECT_EQ(CosineAnnealing(1, 0, 4, 0), 1);
  EXPECT_NEAR(CosineAnnealing(1, 1, 4, 0), (1 + std::sqrt(0.5)) / 2, 1e-15);
  EXPECT_NEAR(CosineAnnealing(1, 2, 4, 0), 0.5, 1e-15);
  EXPECT_EQ(CosineAnnealing(1, 4, 4, 0), 0);
}

TEST(CosineAnnealing, StaysAtTheMinimum) {
  EXPECT_EQ(CosineAnnealing(0.25, 100), 1e-5);
  EXPECT_EQ(CosineAnnealing(0.25, 119), 1e-5);
}

TEST(MultiStep, MultipliesAtTheStartOfAMilestone) {
  const std::vector<int64_t> milestones = {200, 250};
  for (const auto& [epoch, rate] :
       std::vector<std::pair<int64_t, double>>{{1, 2.5e-4},
                                               {199, 2.5e-4},
                                               {200, 2.5e-4 * 0.1},
                                               {249, 2.5e-4 * 0.1},
                                               {250, 2.5e-4 * 0.1 * 0.1},
                                               {300, 2.5e-4 * 0.1 * 0.1}}) {
    EXPECT_EQ(MultiStep(2.5e-4, 0.1, milestones, epoch), rate) << epoch;
  }
}

TEST(MultiStep, WithoutMilestonesIsConstant) {
  EXPECT_EQ(MultiStep(0.3, 0.1, {}, 1000), 0.3);
  EXPECT_EQ(MultiStepPow(0.3, 0.1, {}, 1000), 0.3);
}

TEST(MultiStepPow, RoundsThePowerAlone) {
  const std::vector<int64_t> milestones = {1, 2, 3};
  EXPECT_EQ(MultiStepPow(0.7, 0.1, milestones, 3), 0.7 * std::pow(0.1, 3));
  // Three roundings against two: the reason for the two functions.
  EXPECT_NE(MultiStep(0.7, 0.1, milestones, 3),
            MultiStepPow(0.7, 0.1, milestones, 3));
}

// schedules.pt: torch 2.11's CosineAnnealingLR(100, 1e-5), recorded by the
// authors' training loop: [130 epochs, 5 groups]. Its recursive form rounds
// differently, so 1e-12 relative.
TEST(CosineAnnealing, AgreesWithTorchsSchedule) {
  const auto golden = LoadCheckpoint("common/training/testdata/schedules.pt");
  ASSERT_TRUE(golden.ok()) << golden.status();
  const at::Tensor rates = *golden->GetTensor("learning_rates");
  const at::Tensor expected = *golden->GetTensor("cosine");
  ASSERT_EQ(expected.sizes(), at::IntArrayRef({130, 5}));
  for (int64_t epoch = 0; epoch < 130; ++epoch) {
    for (int64_t group = 0; group < 5; ++group) {
      const double want = expected[epoch][group].item().toDouble();
      EXPECT_NEAR(CosineAnnealing(rates[group].item().toDouble(), epoch), want,
                  1e-12 * want)
          << "epoch " << epoch << ", group " << group;
    }
  }
}

}  // namespace
}  // namespace altprop::training
