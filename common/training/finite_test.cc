#include "common/training/finite.h"

#include <limits>

#include "gtest/gtest.h"

namespace altprop::training {
namespace {

TEST(CheckFinite, PassesNumbers) {
  EXPECT_TRUE(CheckFinite("loss", 0, 1, 1).ok());
  EXPECT_TRUE(CheckFinite("loss", -1e308, 1, 1).ok());
}

TEST(CheckFinite, NamesTheStep) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(CheckFinite("loss", nan, 2, 12).message(),
            "loss is nan at step 12 (epoch 2): training diverged; the "
            "checkpoint of the last good step is kept");
  EXPECT_EQ(CheckFinite("g", -inf, 1, 3).message(),
            "g is -inf at step 3 (epoch 1): training diverged; the checkpoint "
            "of the last good step is kept");
  EXPECT_FALSE(CheckFinite("g", inf, 1, 3).ok());
}

}  // namespace
}  // namespace altprop::training
