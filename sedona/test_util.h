// What the tests share: recordings, and the weights and inputs that both sides
// make by formula.
#ifndef SEDONA_TEST_UTIL_H_
#define SEDONA_TEST_UTIL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "common/training/value.h"
#include "sedona/network.h"

namespace altprop::sedona {

// A flat file of tensors under sedona/testdata (README.md there).
class Golden {
 public:
  explicit Golden(const std::string& name);

  bool Has(const std::string& key) const;
  at::Tensor Get(const std::string& key) const;
  double Number(const std::string& key) const;
  std::vector<int64_t> Integers(const std::string& key) const;
  // Every key that begins with `prefix`, without it, and its tensor.
  training::NamedTensors Below(const std::string& prefix) const;

 private:
  training::Value root_;
};

// Fails the test where max |a - b| > tolerance max |b| + 1e-13, or shapes
// differ. (A bias in front of batch norm has a gradient of 0 but for rounding.)
void ExpectClose(const at::Tensor& actual, const at::Tensor& expected,
                 double tolerance, const std::string& what = "");
void ExpectClose(double actual, double expected, double tolerance,
                 const std::string& what = "");

// u(i, t), i = 0 .. n - 1: uniform numbers by a hash, float64 [n].
at::Tensor HashUniform(int64_t n, int64_t t);

// Weights of parameter t from u(., t); batch norm statistics 0 and 1. Makes the
// network float64.
void FillByHash(Network& network);
// Images of stream t, float64 [n, 3, size, size], and labels (7 i + o) mod C.
at::Tensor HashImages(int64_t n, int64_t t, int64_t size = 32);
at::Tensor HashLabels(int64_t n, int64_t o, int64_t classes = 10);

// Euclidean norms, float64 [n].
at::Tensor Norms(const std::vector<at::Tensor>& tensors);
double NormOf(const std::vector<at::Tensor>& tensors);

at::Tensor Stack(const std::vector<at::Tensor>& scalars);
std::vector<double> Doubles(const at::Tensor& tensor);

}  // namespace altprop::sedona

#endif  // SEDONA_TEST_UTIL_H_
