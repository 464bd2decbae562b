// The lines that the authors' program prints, on stdout and in the run
// directory's log.txt.

#ifndef ITERBIN_RUN_LOG_H_
#define ITERBIN_RUN_LOG_H_

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "iterbin/network.h"
#include "iterbin/schedule.h"

namespace altprop::iterbin {

class RunLog {
 public:
  // Begins `file` again, or with `append` writes at its end.
  void Open(const std::string& file, bool append);

  // One line; what is printed before Open is written then.
  void Print(absl::string_view line);

 private:
  std::ofstream file_;
  std::string before_;
};

// "Layer    2  5  9" and "Binary   1  0  0": the layers in the order of `order`
// by their positions.
std::vector<std::string> FlagLines(const Network& network,
                                   const LayerOrder& order,
                                   const Flags& binary);

// "2 -> features.0 Linear(784, 300) n_weight 235200", a line per layer, and the
// total.
std::vector<std::string> LayerLines(const Network& network);

// "17169  Train Epoch: 1 [15000/55000 27%]  Loss: 0.202602". `epoch` 1-based,
// `batch` 0-based of `batches`, with `size` samples.
std::string StepLine(int64_t epoch, int64_t batch, int64_t batches,
                     int64_t size, int64_t samples, double loss);

}  // namespace altprop::iterbin

#endif  // ITERBIN_RUN_LOG_H_
