// One training step of equilibrium propagation on an MLP, as //eqprop:train
// takes it, on inputs that any program can compute.

#ifndef BENCHMARKS_EQPROP_STEP_H_
#define BENCHMARKS_EQPROP_STEP_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "common/training/optimizer.h"
#include "eqprop/equilibrium.h"
#include "eqprop/network.h"
#include "eqprop/phases.h"

namespace altprop::benchmarks {

// The setting of the authors' MNIST script.
struct StepSetting {
  std::vector<int64_t> sizes = {784, 512, 10};
  int64_t batch = 50;
  int64_t free_steps = 30;
  int64_t nudged_steps = 10;
  double beta = 0.1;
  double learning_rate = 5e-4;
  eqprop::Loss loss = eqprop::Loss::kMse;
  eqprop::Path path = eqprop::Path::kFused;
};

// Float32, `mysig`, one-sided, Adam. Parameters from seed 0; sample b is
// x[i] = 0.5 + 0.5 sin(0.05 (b + 1) i + b), its class in step t is 7 b + t
// modulo the classes. A class that stayed would be learnt by heart, and steps
// whose gradients vanish (down to denormal numbers) take another time than real
// ones.
class EqpropStep {
 public:
  explicit EqpropStep(const StepSetting& setting = {});

  // What is measured before the update: at s*.
  struct Score {
    double loss;
    int64_t correct;
  };
  Score Run();

  // The parts of Run(), each on the results of those before it.
  void NextLabels();
  eqprop::Clamped ClampInput() const;
  eqprop::State Free(const eqprop::Clamped& input) const;
  Score Measure(const eqprop::Clamped& input, const eqprop::State& free) const;
  eqprop::State Nudged(const eqprop::Clamped& input,
                       const eqprop::State& free) const;
  std::vector<at::Tensor> Gradient(const eqprop::Clamped& input,
                                   const eqprop::State& free,
                                   const eqprop::State& nudged) const;
  void Update(const std::vector<at::Tensor>& gradient);

  const eqprop::Network& network() const { return network_; }
  const at::Tensor& target() const { return target_; }

 private:
  StepSetting setting_;
  eqprop::Dynamics dynamics_;
  eqprop::Network network_;
  at::Tensor x_;
  int64_t step_ = 0;
  at::Tensor labels_;
  at::Tensor target_;
  training::Optimizer optimizer_;
};

}  // namespace altprop::benchmarks

#endif  // BENCHMARKS_EQPROP_STEP_H_
