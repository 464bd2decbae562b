// What the tests share: recordings of the authors' program, and the number
// sequence that their networks are filled from.

#ifndef FTPROP_TEST_UTIL_H_
#define FTPROP_TEST_UTIL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "common/training/value.h"

namespace altprop::ftprop {

// A flat file of tensors in ftprop/testdata (README.md there).
class Golden {
 public:
  explicit Golden(const std::string& name);

  bool Has(const std::string& key) const;
  at::Tensor Get(const std::string& key) const;
  double Number(const std::string& key) const;
  std::vector<std::string> Keys() const;

  // Holds `actual` against what stands under `key`, whole or as a summary (a
  // sample, the norm and two projections): |error| <= tolerance max(1, |golden|
  // at its largest), or without the 1 where `relative`.
  void Expect(const std::string& key, const at::Tensor& actual,
              double tolerance, bool relative = false) const;

 private:
  std::string name_;
  training::Value root_;
};

// |actual - expected| <= tolerance max(1, max |expected|), NaN nowhere.
void ExpectNear(const at::Tensor& actual, const at::Tensor& expected,
                double tolerance, const std::string& what);

// The generator of the recordings: s <- 1664525 s + 1013904223 mod 2^32 before
// each draw, v = 2 s / 2^32 - 1. float64, of `shape`.
at::Tensor Sequence(uint32_t seed, at::IntArrayRef shape);

// Fills tensor j = 1, 2, ... from seed j: convolutions and linear layers with
// v / sqrt(fan_in), batch norm with 0.75 + 0.25 v and 0.1 v. `parameters`: in
// order, weight before bias.
void Fill(const training::NamedTensors& parameters);

}  // namespace altprop::ftprop

#endif  // FTPROP_TEST_UTIL_H_
