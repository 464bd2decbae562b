// The side of `benchmarks/compare step` that is ours (serve.h); its line of a
// part is "NAME SECONDS FLOPS BYTES". The argument is the number of threads.

#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>

#include "ATen/Parallel.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/rand.h"
#include "benchmarks/eqprop_step.h"
#include "benchmarks/serve.h"
#include "common/training/memory.h"

namespace altprop::benchmarks {
namespace {

void Tell(const std::string& name, const std::function<void()>& work,
          double flops, double bytes) {
  std::cout << name << '\t' << Typical(work, 200) << '\t' << flops << '\t'
            << bytes << '\n';
}

// Multiplications and additions of the products; bytes that must move, where
// they and not the products set the limit.
void TellParts() {
  EqpropStep step;
  const StepSetting setting;
  for (int i = 0; i < 20; ++i) step.Run();
  const eqprop::Clamped input = step.ClampInput();
  const eqprop::State free = step.Free(input);
  const eqprop::State nudged = step.Nudged(input, free);
  const auto gradient = step.Gradient(input, free, nudged);
  const auto batch = static_cast<double>(setting.batch);
  const double first = 2 * batch * setting.sizes[0] * setting.sizes[1];
  const double second = 2 * batch * setting.sizes[1] * setting.sizes[2];
  double parameters = 0;
  for (const at::Tensor& tensor : gradient) {
    parameters += static_cast<double>(tensor.numel());
  }
  Tell(
      "W_1 x + b_1, once", [&] { step.ClampInput(); }, first, 0);
  Tell(
      "free phase", [&] { step.Free(input); },
      2 * second * static_cast<double>(setting.free_steps), 0);
  Tell(
      "loss and accuracy", [&] { step.Measure(input, free); }, 0, 0);
  Tell(
      "nudged phase", [&] { step.Nudged(input, free); },
      2 * second * static_cast<double>(setting.nudged_steps), 0);
  Tell(
      "contrast gradient", [&] { step.Gradient(input, free, nudged); },
      first + 2 * second, 0);
  // Reads gradient, parameter and two moments; writes the last three.
  Tell(
      "Adam", [&] { step.Update(gradient); }, 0,
      7 * sizeof(float) * parameters);
  Tell(
      "whole step", [&] { step.Run(); }, 0, 0);

  const at::Tensor square = at::rand({1024, 1024});
  Tell(
      "limit: product", [&] { at::mm(square, square); },
      2.0 * 1024 * 1024 * 1024, 0);
  const at::Tensor from = at::rand({2 * 1024 * 1024});
  at::Tensor to = at::empty_like(from);
  Tell(
      "limit: copy", [&] { to.copy_(from); }, 0,
      2.0 * sizeof(float) * 2 * 1024 * 1024);
}

}  // namespace
}  // namespace altprop::benchmarks

int main(int argc, char** argv) {
  const int threads = argc == 2 ? std::atoi(argv[1]) : 0;
  if (threads < 1) {
    std::cerr << "usage: eqprop_step THREADS\n";
    return 2;
  }
  altprop::training::KeepFreedMemory();  // as the programs do
  at::set_num_threads(threads);
  altprop::benchmarks::EqpropStep step;
  return altprop::benchmarks::Serve([&] { return step.Run().loss; },
                                    altprop::benchmarks::TellParts);
}
