#include "common/training/record.h"

#include <algorithm>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"

namespace altprop::training {

absl::StatusOr<std::unique_ptr<Record>> Record::Create(RecordOptions options,
                                                       const RunOptions& run,
                                                       const Position& at) {
  if (options.directory.path.empty()) options.directory.path = run.run_dir;
  options.directory.resumed_step = at.step;
  auto record = absl::WrapUnique(new Record(std::move(options), run, at.step));
  ALTPROP_ASSIGN_OR_RETURN(record->directory_,
                           RunDirectory::Create(record->options_.directory));
  return record;
}

MetricsLine Record::Line(absl::string_view split, const Position& at,
                         const Score& score) const {
  MetricsLine line;
  line.split = std::string(split);
  line.epoch = at.epoch + 1;
  line.step = at.step;
  line.values = {{"loss", score.loss()}, {"accuracy", score.accuracy()}};
  if (options_.top5) line.values.emplace_back("accuracy5", score.accuracy5());
  return line;
}

std::string Record::Text(const Score& score) const {
  std::string text = absl::StrFormat("loss %.4f  accuracy %.2f %%",
                                     score.loss(), 100 * score.accuracy());
  if (options_.top5) {
    absl::StrAppendFormat(&text, "  top 5 %.2f %%", 100 * score.accuracy5());
  }
  return text;
}

absl::Status Record::Minibatch(const Position& at, const Score& minibatch,
                               const MetricValues& more) {
  trained_ += minibatch.samples;
  if (progress_.Due()) {
    ProgressState state;
    state.epoch = at.epoch + 1;
    state.epochs = options_.epochs;
    state.step = at.step;
    state.steps = options_.epochs * options_.batches;
    if (run_.max_steps > 0) {
      state.steps = std::min(state.steps, run_.max_steps);
    }
    state.samples = trained_;
    state.loss = at.running.loss();
    state.accuracy = at.running.accuracy();
    progress_.Update(state);
  }
  if (run_.log_every == 0 || at.step % run_.log_every != 0) {
    return absl::OkStatus();
  }
  MetricsLine line = Line("train", at, minibatch);
  line.values.insert(line.values.end(), more.begin(), more.end());
  return directory_->Log(std::move(line));
}

absl::Status Record::Epoch(
    const Position& at, const MetricValues& more,
    const std::vector<std::pair<std::string, Score>>& evaluations) {
  // Minibatches take the name "train" where they are logged.
  MetricsLine train =
      Line(run_.log_every > 0 ? "train_epoch" : "train", at, at.running);
  train.values.insert(train.values.end(), more.begin(), more.end());
  ALTPROP_RETURN_IF_ERROR(directory_->Log(std::move(train)));
  std::string text = absl::StrFormat("epoch %d/%d  train %s", at.epoch + 1,
                                     options_.epochs, Text(at.running));
  for (const auto& [split, score] : evaluations) {
    ALTPROP_RETURN_IF_ERROR(directory_->Log(Line(split, at, score)));
    absl::StrAppend(&text, "  ", split, " ", Text(score));
  }
  progress_.EndLine(text);
  return absl::OkStatus();
}

absl::Status Record::Report(RunState state, absl::string_view text) {
  ReportHeader header;
  header.title = options_.title;
  header.subtitle = options_.subtitle;
  header.state = state;
  header.state_text = std::string(text);
  header.paper_values = run_.paper_values;
  return directory_->WriteReport(header);
}

absl::Status Record::ReportEpoch(const Position& at) {
  return Report(RunState::kRunning,
                absl::StrCat("epoch ", at.epoch, " of ", options_.epochs));
}

}  // namespace altprop::training
