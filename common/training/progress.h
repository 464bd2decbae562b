#ifndef COMMON_TRAINING_PROGRESS_H_
#define COMMON_TRAINING_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace altprop::training {

// Where the run is, for its progress line.
struct ProgressState {
  int64_t epoch = 0, epochs = 0;  // 1-based, and how many; epochs 0 = not shown
  int64_t step = 0, steps = 0;    // done, and how many in all
  int64_t samples = 0;            // trained on in this process so far
  std::optional<double> loss, accuracy;  // accuracy: a fraction
};

// "epoch 3/10  step 1234/5000  12.3k samples/s  loss 0.0345  accuracy 96.71 %
//  ETA 0:01:12". `seconds`: since the first step of this process, which began
// after `first_step` steps.
std::string ProgressText(const ProgressState& state, int64_t first_step,
                         double seconds);

// "0:01:12", "26:00:03".
std::string FormatDuration(double seconds);

// The line a person watches, on stderr. On a terminal it is redrawn in place,
// ten times a second at most; elsewhere a plain line is written every ten
// seconds and at the end of each epoch. Update costs nothing between two
// drawings.
class Progress {
 public:
  // `first_step`: steps done before this process (a resumed run).
  explicit Progress(int64_t first_step, std::FILE* out = stderr);
  ~Progress();  // takes an unfinished line off the terminal
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Whether Update would draw now: ask before computing a loss for it.
  bool Due() const;
  void Update(const ProgressState& state);

  // A line that stays, as at the end of an epoch.
  void EndLine(absl::string_view text);

 private:
  using Clock = std::chrono::steady_clock;

  Clock::duration Interval() const;
  void Clear();

  std::FILE* out_;
  bool terminal_;
  bool drawn_ = false;  // a redrawn line stands on the terminal
  int64_t first_step_;
  Clock::time_point start_, next_;
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_PROGRESS_H_
