#include "common/training/metrics.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace altprop::training {
namespace {

TEST(MetricsJson, WritesTheFieldsThenTheValuesInOrder) {
  const MetricsLine line{
      "test", 2, 480, {{"loss", 0.25}, {"accuracy", 1}}, 1.5};
  EXPECT_EQ(MetricsJson(line),
            R"({"split":"test","epoch":2,"step":480,"wall_time":1.5,)"
            R"("loss":0.25,"accuracy":1.0})");
}

TEST(MetricsJson, WritesNullForWhatIsNotFinite) {
  const double inf = std::numeric_limits<double>::infinity();
  const MetricsLine line{"train", 1, 3, {{"loss", NAN}, {"phi", -inf}}, 0};
  EXPECT_EQ(MetricsJson(line),
            R"({"split":"train","epoch":1,"step":3,"wall_time":0.0,)"
            R"("loss":null,"phi":null})");
}

TEST(ParseMetricsJson, ReturnsTheSameDoubles) {
  const MetricsLine line{
      "a \"b\"", 1, int64_t{1} << 60, {{"x", 0.1}, {"y", 5e-324}}, 1.0 / 3};
  const auto read = ParseMetricsJson(MetricsJson(line));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->split, line.split);
  EXPECT_EQ(read->epoch, line.epoch);
  EXPECT_EQ(read->step, line.step);
  EXPECT_EQ(read->wall_time, line.wall_time);
  EXPECT_EQ(read->values, line.values);
}

TEST(ParseMetricsJson, ReadsNullAsNan) {
  const auto read = ParseMetricsJson(
      R"({"split":"t","epoch":1,"step":1,"wall_time":0,"loss":null})");
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->values.size(), 1u);
  EXPECT_TRUE(std::isnan(read->values[0].second));
}

TEST(ParseMetricsJson, RefusesATornLine) {
  const std::string whole =
      MetricsJson({"train", 1, 2, {{"loss", 0.5}, {"accuracy", 0.5}}, 3});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseMetricsJson(whole.substr(0, size)).ok()) << size;
  }
}

TEST(ParseMetricsJson, RefusesOtherJson) {
  for (const char* text :
       {"[]", "null", "3", "{}", R"({"split":"t","epoch":1,"step":1})",
        R"({"split":1,"epoch":1,"step":1,"wall_time":0})",
        R"({"split":"t","epoch":1.5,"step":1,"wall_time":0})"}) {
    EXPECT_FALSE(ParseMetricsJson(text).ok()) << text;
  }
}

}  // namespace
}  // namespace altprop::training
