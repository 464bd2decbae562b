// The operator altprop::relax on the CPU: packs the weights, gives each thread
// its samples, and calls the kernel of this machine's instruction set.

#ifndef EQPROP_RELAX_CPU_H_
#define EQPROP_RELAX_CPU_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "ATen/core/Tensor.h"
#include "eqprop/activation.h"
#include "eqprop/equilibrium.h"
#include "eqprop/relax_kernel.h"

namespace altprop::eqprop {

// The operator's arguments: contiguous, on the CPU, all float32 or all float64,
// of shapes that fit each other. weights, biases: edges 2 to S.
struct RelaxArguments {
  at::Tensor drive;
  std::vector<at::Tensor> state;
  std::vector<at::Tensor> weights;
  std::vector<at::Tensor> biases;
  std::optional<at::Tensor> beta;
  std::optional<at::Tensor> target;
  int64_t steps;
  Activation activation;
  Dynamics dynamics;

  int64_t batch() const { return drive.size(0); }
  int64_t size(size_t layer) const { return state[layer].size(1); }
};

// The state after args.steps steps, in new tensors.
State RelaxOnCpu(const RelaxArguments& args);

// The kernels that RelaxOnCpu uses.
const relax::Kernels& BestKernels();

}  // namespace altprop::eqprop

#endif  // EQPROP_RELAX_CPU_H_
