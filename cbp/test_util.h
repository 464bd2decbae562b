// Golden files and closeness, for the tests of the mathematics.

#ifndef CBP_TEST_UTIL_H_
#define CBP_TEST_UTIL_H_

#include <string>

#include "ATen/core/Tensor.h"
#include "common/training/value.h"

namespace altprop::cbp {

// A flat file of tensors under cbp/testdata (README.md there).
class Golden {
 public:
  explicit Golden(const std::string& name);

  bool Has(const std::string& key) const;
  at::Tensor Get(const std::string& key) const;
  double Number(const std::string& key) const;
  // Of the entries whose names begin with `prefix`, the names after it.
  training::NamedTensors Under(const std::string& prefix) const;

 private:
  std::string name_;
  training::Value root_;
};

// Fails the test where some |a - b| > absolute + relative |b|, where shapes or
// types differ, or a number is not one.
void ExpectClose(const at::Tensor& actual, const at::Tensor& expected,
                 double absolute, double relative, const std::string& what);
// Equal values; zeros of either sign.
void ExpectEqual(const at::Tensor& actual, const at::Tensor& expected,
                 const std::string& what);

}  // namespace altprop::cbp

#endif  // CBP_TEST_UTIL_H_
