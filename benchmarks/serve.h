// The C++ side of benchmarks/compare: a program that takes training steps when
// told to, so that it and another one can be measured in turns.

#ifndef BENCHMARKS_SERVE_H_
#define BENCHMARKS_SERVE_H_

#include <cstdint>
#include <functional>

namespace altprop::benchmarks {

// Of one call.
double Seconds(const std::function<void()>& work);

// The median of `runs` calls.
double Typical(const std::function<void()>& work, int64_t runs);

// Reads commands from standard input to its end:
//
//   steps N  calls `step`, which returns its loss, N times; answers
//            "SECONDS LAST_LOSS"
//   parts    calls `tell_parts`, which writes a line for each part; answers
//            "end" after them
//
// Returns the exit code: 2 after a command that is none of these.
int Serve(const std::function<double()>& step,
          const std::function<void()>& tell_parts);

}  // namespace altprop::benchmarks

#endif  // BENCHMARKS_SERVE_H_
