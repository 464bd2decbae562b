// Random numbers as a pure function of where they are used.
//
// A sequential generator makes a draw depend on every draw before it, hence on
// batch size, worker count and where a run was resumed. Here a draw depends on
// (seed, stream, a, b, how many were taken) only: `stream` says what for, `a`
// and `b` say where (epoch and sample, say). The generator is Philox4x32-10
// (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011), which needs no state beyond the counter and passes BigCrush.
#ifndef COMMON_RANDOM_H_
#define COMMON_RANDOM_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace altprop {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

// 128 random bits for this counter and key; equals Random123's philox4x32.
constexpr PhiloxCounter Philox4x32(PhiloxCounter counter, PhiloxKey key) {
  constexpr uint64_t kMultiply0 = 0xD2511F53, kMultiply1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiply0 * counter[0];
    const uint64_t product1 = kMultiply1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

// What a draw is for, from its name (FNV-1a, 64 bits): RandomStream("shuffle").
constexpr uint64_t RandomStream(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  }
  return hash;
}

// SplitMix64: a bijection of 64 bits that looks random.
constexpr uint64_t SplitMix64(uint64_t z) {
  z += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// A seed for `stream` out of the run's seed. For one stream this is a
// bijection: two seeds never give the same result.
constexpr uint64_t MixSeed(uint64_t seed, uint64_t stream) {
  return SplitMix64(SplitMix64(seed) + stream);
}

// The numbers at (seed, stream, a, b), in order: at most 2^34 of them.
class CounterRandom {
 public:
  constexpr CounterRandom(uint64_t seed, uint64_t stream, uint32_t a,
                          uint64_t b)
      : counter_{0, a, static_cast<uint32_t>(b),
                 static_cast<uint32_t>(b >> 32)} {
    const uint64_t mixed = MixSeed(seed, stream);
    key_ = {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
  }

  // 32 uniform bits.
  constexpr uint32_t Next() {
    if (used_ == 4) {
      block_ = Philox4x32(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }

  // Uniform on 0 .. bound - 1 without bias (Lemire 2019). `bound`: at least 1.
  constexpr uint32_t Below(uint32_t bound) {
    uint64_t product = uint64_t{Next()} * bound;
    if (static_cast<uint32_t>(product) < bound) {
      const uint32_t threshold = -bound % bound;
      while (static_cast<uint32_t>(product) < threshold) {
        product = uint64_t{Next()} * bound;
      }
    }
    return static_cast<uint32_t>(product >> 32);
  }

  // Uniform on [0, 1): a multiple of 2^-24.
  constexpr float Uniform() {
    return static_cast<float>(Next() >> 8) * 0x1p-24F;
  }

  // Uniform on [low, high), rounded to float.
  constexpr float Uniform(float low, float high) {
    return low + (high - low) * Uniform();
  }

 private:
  PhiloxCounter counter_;
  PhiloxKey key_{};
  PhiloxCounter block_{};
  int used_ = 4;
};

}  // namespace altprop

#endif  // COMMON_RANDOM_H_
