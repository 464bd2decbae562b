// The hidden non-linearities, and the names of the target-propagation rules,
// with which rule goes with which non-linearity.
//
// Friesen & Domingos 2018, "Deep Learning as a Mixed Convex-Combinatorial
// Optimization Problem": hidden units are hard thresholds; a rule turns the
// gradient at a unit's output into one at its input.

#ifndef FTPROP_NONLINEARITY_H_
#define FTPROP_NONLINEARITY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::ftprop {

enum class Family {
  kStep11,        // +1 if x > 0, else -1 (also for 0 and NaN)
  kStep01,        // 1 if x > 0, else 0
  kStaircase,     // low + (high - low) / n min(max(ceil((n - 1) x'), 0), n),
                  // x' = (x - low) / (high - low): n thresholds, n + 1 levels
  kOldStaircase,  // low + (high - low) / n sum_i 1[x - low - i d > 0],
                  // d = (high - low) / (n - 1); each step with its own rule
  kRelu,          // max(x, 0)
  kThreshRelu,    // min(max(x, 0), high)
  kHardTanh,      // min(max(x, -1), 1)
  kClippedAbs,    // min(|x|, 1)
  kHardSigmoid,   // min(max((x + 1) / 2, 0), 1)
};

struct Nonlinearity {
  Family family = Family::kStep11;
  int64_t steps = 0;         // staircases: n
  double low = 0, high = 1;  // staircases: the range; kThreshRelu: high
  double truncation = 2;     // staircases: width of TruncWtHinge's loss, in
                             // units of the range (the authors' trunc_thresh)

  // Whether the true derivative is 0 almost everywhere, so that a rule acts.
  bool hard() const {
    return family == Family::kStep11 || family == Family::kStep01 ||
           staircase();
  }
  bool staircase() const {
    return family == Family::kStaircase || family == Family::kOldStaircase;
  }
  friend bool operator==(const Nonlinearity&, const Nonlinearity&) = default;
};

// "step11", "step01", "staircase" (n = 5), "staircase3", "relu", "threshrelu";
// the others of the authors' factory ("staircase7", "staircase100",
// "staircase11_3", "staircase_t2", "oldstaircase...", "hardtanh", "cabs",
// "threshrelu2", "hardsigmoid"); and any staircase as "staircase:N" or
// "staircase:N:LOW:HIGH", "oldstaircase:..." likewise, 2 <= N < 255.
// InvalidArgument with what was expected; the caller names the flag.
absl::StatusOr<Nonlinearity> ParseNonlinearity(absl::string_view text);

// A name that ParseNonlinearity() reads back.
std::string NonlinearityName(const Nonlinearity& nonlinearity);

// The factory's names, in its order.
const std::vector<std::string>& NonlinearityNames();

// The numbers are those of the authors' enumeration.
enum class Rule {
  kWtHinge = 0,
  kWeightedPerceptron = 2,
  kAdaline = 3,
  kSte = 4,
  kSste = 5,
  kTruncWtHinge = 8,
  kLogWtHinge = 14,
  kTruncWtL2Hinge = 15,
  kTruncLogWtHinge = 16,
  kTruncWtPerceptron = 17,
  kSigmoid = 18,
  kLogLoss = 19,
  kTruncLogLoss = 20,
  kSquareLoss = 21,
  kTruncSquareLoss = 22,
  kTruncWtHinge2 = 23,
  kSigmoid2_2 = 24,
  kLogSigmoid = 25,
  kTruncWtHinge11 = 26,
  kSoftHinge = 27,
  kSoftHinge2 = 28,
  kSigmoid3_2 = 29,
  kSsteV2 = 30,
  kLeCunTanh = 31,
  kRamp = 32,
};

// The 25 of them, in the order of their numbers.
const std::vector<Rule>& Rules();
absl::string_view RuleName(Rule rule);
// InvalidArgument with the names; the caller names the flag.
absl::StatusOr<Rule> ParseRule(absl::string_view name);

// Whether a gradient at the output of `nonlinearity` can be taken to its input
// by `rule`, weighted by the gradient's magnitude (`scaled`) or not. Where the
// authors' program fails in its first forward or backward pass, InvalidArgument
// says why. Differentiable non-linearities need no rule and take any.
absl::Status CheckRule(const Nonlinearity& nonlinearity, Rule rule,
                       bool scaled);

// What one hidden layer does, forward and backward.
struct Threshold {
  Nonlinearity nonlinearity;
  Rule rule = Rule::kSoftHinge;
  bool scaled = true;  // importance weighting: the hidden loss times |g|
  // SSTEv2 scaled as the authors' code has it, N g |g| on its window, in place
  // of g (README, "Where we differ").
  bool sste_v2_as_coded = false;
};

}  // namespace altprop::ftprop

#endif  // FTPROP_NONLINEARITY_H_
