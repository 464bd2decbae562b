// The values that constrained weights may take.
//
// A layer of scale s has levels q_k = s f_k, q_1 < ... < q_n, and between two
// neighbours the midpoint m_k = s b_k; the gap is d_k = q_{k+1} - q_k. All f_k
// are sums of powers of two, so every level is exact in floating point.

#ifndef CBP_LEVELS_H_
#define CBP_LEVELS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::cbp {

enum class Mode {
  kBinary,       // bin:  -1, 1
  kTernary,      // ter:  -1, 0, 1
  kOneBitShift,  // 1bit: -1, -1/2, 0, 1/2, 1
  kTwoBitShift,  // 2bit: -1, -1/2, -1/4, 0, 1/4, 1/2, 1
};

inline constexpr int kMostLevels = 7;

struct LevelSet {
  int size;                               // n
  std::array<double, kMostLevels> f;      // levels / s; n entries
  std::array<double, kMostLevels - 1> b;  // midpoints / s; n - 1 entries
  int bits;                               // to store a level's index

  constexpr double gap(int k) const { return f[k + 1] - f[k]; }  // d_k / s
};

constexpr LevelSet LevelsOf(Mode mode) {
  switch (mode) {
    case Mode::kBinary:
      return {2, {-1, 1}, {0}, 1};
    case Mode::kTernary:
      return {3, {-1, 0, 1}, {-0.5, 0.5}, 2};
    case Mode::kOneBitShift:
      return {5, {-1, -0.5, 0, 0.5, 1}, {-0.75, -0.25, 0.25, 0.75}, 3};
    case Mode::kTwoBitShift:
      break;
  }
  return {7,
          {-1, -0.5, -0.25, 0, 0.25, 0.5, 1},
          {-0.75, -0.375, -0.125, 0.125, 0.375, 0.75},
          3};
}

// The authors' names: "bin", "ter", "1bit", "2bit".
absl::string_view ModeName(Mode mode);
const std::vector<Mode>& AllModes();

// Any other text than such a name is InvalidArgument without the flag's name.
absl::StatusOr<Mode> ParseMode(absl::string_view text);

}  // namespace altprop::cbp

#endif  // CBP_LEVELS_H_
