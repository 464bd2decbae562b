#include "benchmarks/serve.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

namespace altprop::benchmarks {

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

double Typical(const std::function<void()>& work, int64_t runs) {
  std::vector<double> times(runs);
  for (double& time : times) time = Seconds(work);
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[runs / 2];
}

int Serve(const std::function<double()>& step,
          const std::function<void()>& tell_parts) {
  std::string command;
  while (std::cin >> command) {
    if (command == "parts") {
      tell_parts();
      std::cout << "end" << std::endl;
      continue;
    }
    int64_t count = 0;
    if (command != "steps" || !(std::cin >> count)) return 2;
    double loss = 0;
    const double seconds = Seconds([&] {
      for (int64_t i = 0; i < count; ++i) loss = step();
    });
    std::cout.precision(9);
    std::cout << seconds << ' ' << loss << std::endl;
  }
  return 0;
}

}  // namespace altprop::benchmarks
