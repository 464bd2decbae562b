// What the tests of the mathematics share.

#ifndef ITERBIN_TEST_UTIL_H_
#define ITERBIN_TEST_UTIL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "common/training/value.h"
#include "iterbin/network.h"

namespace altprop::iterbin {

// A flat file of tensors under iterbin/testdata (README.md there).
class Golden {
 public:
  explicit Golden(const std::string& name);

  bool Has(const std::string& key) const;
  at::Tensor Get(const std::string& key) const;
  double Number(const std::string& key) const;
  std::vector<std::string> Keys() const;

 private:
  training::Value root_;
};

// max|a - b| / max(1, max|b|); infinite for other shapes and for NaN.
double Deviation(const at::Tensor& actual, const at::Tensor& expected);

// Fails the test where Deviation is above `tolerance`.
void ExpectClose(const at::Tensor& actual, const at::Tensor& expected,
                 double tolerance, const std::string& what = "");

// Values that need no generator: element k of stream s is a hash of both,
// uniform in +-`scale`, rounded to float32 and then of type double.
at::Tensor HashFill(at::IntArrayRef shape, int64_t stream, double scale);

// In double; weight of layer j from stream j, bias from stream 100 + j, in
// +-1/sqrt(fan_in); batch norm as it begins.
void FillByHash(Network& network);

// The parameters and buffers in `golden` under `prefix`NAME, in double.
void FillFrom(const Golden& golden, const std::string& prefix,
              Network& network);

// Layers that are binary in a flag set of the recordings: none, first,
// last_two, all.
Flags FlagSet(const std::string& name, size_t layers);

// 0-based labels (`a` n + n / `b` + `c`) mod classes; b = 0: without n / b.
at::Tensor CountingLabels(int64_t count, int64_t a, int64_t b, int64_t c,
                          int64_t classes);

}  // namespace altprop::iterbin

#endif  // ITERBIN_TEST_UTIL_H_
