// The C++ side of benchmarks/compare. Reads commands from standard input:
//
//   steps N  takes N training steps; answers "SECONDS LAST_LOSS"
//   parts    measures the parts of a step and the machine's limits; answers a
//            line "NAME SECONDS FLOPS BYTES" for each, then "end"
//
// The first argument is the number of threads.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>

#include "ATen/Parallel.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/rand.h"
#include "benchmarks/eqprop_step.h"

namespace altprop::benchmarks {
namespace {

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

// The median of many runs.
double Typical(const std::function<void()>& work) {
  std::vector<double> times(200);
  for (double& time : times) time = Seconds(work);
  std::nth_element(times.begin(), times.begin() + times.size() / 2,
                   times.end());
  return times[times.size() / 2];
}

void Tell(const std::string& name, const std::function<void()>& work,
          double flops, double bytes) {
  std::cout << name << '\t' << Typical(work) << '\t' << flops << '\t' << bytes
            << '\n';
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

int Serve(int threads) {
  at::set_num_threads(threads);
  EqpropStep step;
  std::string command;
  while (std::cin >> command) {
    if (command == "parts") {
      TellParts();
      std::cout << "end" << std::endl;
      continue;
    }
    int64_t count = 0;
    if (command != "steps" || !(std::cin >> count)) return 2;
    double loss = 0;
    const double seconds = Seconds([&] {
      for (int64_t i = 0; i < count; ++i) loss = step.Run().loss;
    });
    std::cout.precision(9);
    std::cout << seconds << ' ' << loss << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace altprop::benchmarks

int main(int argc, char** argv) {
  const int threads = argc == 2 ? std::atoi(argv[1]) : 0;
  if (threads < 1) {
    std::cerr << "usage: eqprop_step THREADS\n";
    return 2;
  }
  return altprop::benchmarks::Serve(threads);
}
