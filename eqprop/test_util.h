// What the tests of the mathematics share: golden files, small networks, and
// backpropagation through time as a slow oracle.

#ifndef EQPROP_TEST_UTIL_H_
#define EQPROP_TEST_UTIL_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "common/training/checkpoint.h"
#include "eqprop/equilibrium.h"
#include "eqprop/network.h"

namespace altprop::eqprop {

// A flat file of tensors under eqprop/testdata (README.md there).
class Golden {
 public:
  explicit Golden(const std::string& name);

  at::Tensor Get(const std::string& key) const;
  double Number(const std::string& key) const;
  // `prefix`.0, `prefix`.1, ...
  State Layers(const std::string& prefix) const;
  // `prefix`.synapses.0.weight, .bias, ..., B_syn.0.weight, ...: the order of
  // Parameters().
  std::vector<at::Tensor> PerParameter(const std::string& prefix) const;
  // The parameters in param.*, of an MLP or of `architecture`.
  Network MakeNetwork(Activation activation) const;
  Network MakeNetwork(const Architecture& architecture) const;

 private:
  training::Value root_;
};

// A CNN or VFCNN on square images.
Architecture Convolutional(Model model, Activation activation, int64_t size,
                           std::vector<int64_t> channels,  // input's first
                           std::vector<int64_t> kernels,
                           std::vector<int64_t> strides,
                           std::vector<int64_t> paddings,
                           const std::string& pools, std::vector<int64_t> fc,
                           bool softmax);

// float64 tensors from literals.
at::Tensor Vector(std::initializer_list<double> values);
at::Tensor Matrix(std::initializer_list<std::initializer_list<double>> rows);

// Layers of `sizes` with parameters, states and inputs from a seeded stream,
// states inside (0, 1).
struct RandomProblem {
  Network network;
  Clamped input;
  State state;
  at::Tensor labels;
  at::Tensor target;
};
RandomProblem MakeProblem(const std::vector<int64_t>& sizes, int64_t batch,
                          Activation activation, at::ScalarType dtype,
                          uint64_t seed);

// Fails the test where some |a - b| > tolerance, shapes or types differ, or a
// number is not one.
void ExpectClose(const at::Tensor& actual, const at::Tensor& expected,
                 double tolerance, const std::string& what = "");
void ExpectClose(const std::vector<at::Tensor>& actual,
                 const std::vector<at::Tensor>& expected, double tolerance,
                 const std::string& what = "");

// The contrast of two phases without a readout.
std::vector<at::Tensor> ContrastGradient(
    const Network& network, const Clamped& input, const State& a, double beta_a,
    const State& b, double beta_b,
    ContrastOrder order = ContrastOrder::kContrastFirst);

// |a - b| / |b| over all entries of all tensors, Euclidean.
double RelativeError(const std::vector<at::Tensor>& a,
                     const std::vector<at::Tensor>& b);

// The slope of log(y) against log(x), by least squares.
double LogLogSlope(const std::vector<double>& x, const std::vector<double>& y);

// Backpropagation through the last `steps` free steps from `start`: entry t is
// the contribution of step t counted from the last one, and `sensitivity[t]` is
// -B dL/ds of the state t steps before the end.
struct Backpropagation {
  std::vector<std::vector<at::Tensor>> gradient;
  std::vector<State> sensitivity;
};
Backpropagation BackpropagateThroughTime(const Network& network,
                                         const Clamped& input,
                                         const State& start, int64_t steps,
                                         const at::Tensor& target,
                                         const Dynamics& dynamics);

// The sum of the contributions of all steps.
std::vector<at::Tensor> Total(
    const std::vector<std::vector<at::Tensor>>& contributions);

}  // namespace altprop::eqprop

#endif  // EQPROP_TEST_UTIL_H_
