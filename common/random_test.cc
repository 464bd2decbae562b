#include "common/random.h"

#include <array>
#include <cstdint>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace altprop {
namespace {

// Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds).
TEST(Philox4x32, GivesThePublishedKnownAnswers) {
  constexpr uint32_t kOnes = 0xFFFFFFFF;
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(Philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (PhiloxCounter{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(Philox4x32({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344},
                       {0xA4093822, 0x299F31D0}),
            (PhiloxCounter{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

// The first two outputs of the generator from state 0, as published.
TEST(SplitMix64, GivesThePublishedKnownAnswers) {
  EXPECT_EQ(SplitMix64(0), 0xE220A8397B1DCDAF);
  EXPECT_EQ(SplitMix64(0x9E3779B97F4A7C15), 0x6E789E6AA1B965F4);
}

TEST(MixSeed, TellsStreamsAndSeedsApart) {
  EXPECT_NE(MixSeed(0, RandomStream("a")), MixSeed(0, RandomStream("b")));
  EXPECT_NE(MixSeed(1, 2), MixSeed(2, 1));
}

TEST(CounterRandom, DependsOnEachOfItsCoordinates) {
  constexpr uint64_t kStream = RandomStream("test");
  const auto first = [](uint64_t seed, uint64_t stream, uint32_t a,
                        uint64_t b) {
    return CounterRandom(seed, stream, a, b).Next();
  };
  const std::set<uint32_t> distinct = {
      first(1, kStream, 0, 0),     first(2, kStream, 0, 0),
      first(1, kStream + 1, 0, 0), first(1, kStream, 1, 0),
      first(1, kStream, 0, 1),     first(1, kStream, 0, uint64_t{1} << 32)};
  EXPECT_EQ(distinct.size(), 6);
  EXPECT_EQ(first(1, kStream, 0, 0), first(1, kStream, 0, 0));
}

TEST(CounterRandom, GoesThroughItsBlocksInOrder) {
  CounterRandom random(7, RandomStream("test"), 3, 5);
  const uint64_t mixed = MixSeed(7, RandomStream("test"));
  const PhiloxKey key = {static_cast<uint32_t>(mixed),
                         static_cast<uint32_t>(mixed >> 32)};
  for (uint32_t block = 0; block < 3; ++block) {
    for (const uint32_t expected : Philox4x32({block, 3, 5, 0}, key)) {
      EXPECT_EQ(random.Next(), expected);
    }
  }
}

// A count of n / 5 with n = 50000 has a deviation of 89: 6 of them are 537.
TEST(CounterRandom, BelowIsUniform) {
  CounterRandom random(1, RandomStream("test"), 0, 0);
  std::array<int, 5> counts{};
  for (int i = 0; i < 50000; ++i) ++counts.at(random.Below(5));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 537);
}

TEST(CounterRandom, BelowOneIsZero) {
  CounterRandom random(1, RandomStream("test"), 0, 0);
  EXPECT_EQ(random.Below(1), 0);
}

// Bounds just above 2^31 reject nearly half of the draws.
TEST(CounterRandom, BelowStaysBelowLargeBounds) {
  CounterRandom random(1, RandomStream("test"), 0, 0);
  constexpr uint32_t kBound = (uint32_t{1} << 31) + 1;
  for (int i = 0; i < 1000; ++i) EXPECT_LT(random.Below(kBound), kBound);
}

// The mean of 100000 uniforms has a deviation of 9.1e-4: 6 of them.
TEST(CounterRandom, UniformFillsTheUnitInterval) {
  CounterRandom random(1, RandomStream("test"), 0, 0);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const float value = random.Uniform();
    ASSERT_GE(value, 0.0F);
    ASSERT_LT(value, 1.0F);
    sum += value;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 5.5e-3);
}

}  // namespace
}  // namespace altprop
