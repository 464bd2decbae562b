#include "common/training/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace altprop::training {
namespace {

constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::seconds kPlainLine{10};

std::string Rate(double per_second) {
  if (per_second >= 1e6) return absl::StrFormat("%.1fM", per_second / 1e6);
  if (per_second >= 1e4) return absl::StrFormat("%.1fk", per_second / 1e3);
  return absl::StrFormat("%.0f", per_second);
}

// How much of a line fits `out`'s terminal; a wrapped line could not be
// redrawn.
size_t Columns(std::FILE* out) {
  winsize size = {};
  const bool known =
      ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col - 1u : 79u;
}

std::string OutOf(int64_t done, int64_t all) {
  return all > 0 ? absl::StrCat(done, "/", all) : absl::StrCat(done);
}

}  // namespace

std::string FormatDuration(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60,
                         whole % 60);
}

std::string ProgressText(const ProgressState& state, int64_t first_step,
                         double seconds) {
  std::string text;
  if (state.epochs > 0) {
    absl::StrAppend(&text, "epoch ", OutOf(state.epoch, state.epochs), "  ");
  }
  absl::StrAppend(&text, "step ", OutOf(state.step, state.steps));
  if (seconds > 0 && state.samples > 0) {
    absl::StrAppend(&text, "  ",
                    Rate(static_cast<double>(state.samples) / seconds),
                    " samples/s");
  }
  if (state.loss) absl::StrAppendFormat(&text, "  loss %.4g", *state.loss);
  if (state.accuracy) {
    absl::StrAppendFormat(&text, "  accuracy %.2f %%", 100 * *state.accuracy);
  }
  const int64_t done = state.step - first_step;
  if (done > 0 && state.steps > state.step) {
    const double each = seconds / static_cast<double>(done);
    const auto left = static_cast<double>(state.steps - state.step);
    absl::StrAppend(&text, "  ETA ", FormatDuration(each * left));
  }
  return text;
}

Progress::Progress(int64_t first_step, std::FILE* out)
    : out_(out),
      terminal_(isatty(fileno(out)) == 1),
      first_step_(first_step),
      start_(Clock::now()),
      next_(start_ + Interval()) {}

Progress::Clock::duration Progress::Interval() const {
  if (terminal_) return kRedraw;
  return kPlainLine;
}

Progress::~Progress() { Clear(); }

bool Progress::Due() const { return Clock::now() >= next_; }

void Progress::Update(const ProgressState& state) {
  const Clock::time_point now = Clock::now();
  if (now < next_) return;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const std::string text = ProgressText(state, first_step_, seconds);
  if (terminal_) {
    // "\r" last: whatever else is written to the terminal begins at its left.
    absl::FPrintF(out_, "\r%s\x1b[K\r", text.substr(0, Columns(out_)));
    drawn_ = true;
  } else {
    absl::FPrintF(out_, "%s\n", text);
  }
  next_ = now + Interval();
  std::fflush(out_);
}

void Progress::EndLine(absl::string_view text) {
  Clear();
  absl::FPrintF(out_, "%s\n", text);
  std::fflush(out_);
}

void Progress::Clear() {
  if (drawn_) absl::FPrintF(out_, "\r\x1b[K");
  if (drawn_) std::fflush(out_);
  drawn_ = false;
}

}  // namespace altprop::training
