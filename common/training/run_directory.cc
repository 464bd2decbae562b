#include "common/training/run_directory.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/cli/parse.h"
#include "common/cli/path.h"
#include "common/status.h"
#include "common/training/atomic_file.h"
#include "common/training/environment.h"

namespace altprop::training {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kMetrics = "metrics.jsonl";
constexpr absl::string_view kEvents = "events.out.tfevents.";

// What a run writes; the last ones are the training program's.
constexpr absl::string_view kFiles[] = {
    "flags.txt",   kMetrics,        "environment.json",
    "report.html", "checkpoint.pt", "best.pt",
};

// Flags of one execution rather than of what it computes.
constexpr absl::string_view kNotRepeated[] = {"run_dir", "resume",
                                              "check_flags"};

std::string LocalTime() {
  return absl::FormatTime("%Y-%m-%d_%H-%M-%S", absl::Now(),
                          absl::LocalTimeZone());
}

std::string Join(absl::string_view folder, absl::string_view name) {
  return (fs::path(std::string(folder)) / std::string(name)).string();
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error && !fs::is_directory(path, error)) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(
      error.value(), absl::StrCat(path, ": cannot make the run directory"));
}

// A folder that was not there before: two runs begun in the same second differ.
absl::StatusOr<std::string> MakeNewFolder(const std::string& wanted) {
  ALTPROP_RETURN_IF_ERROR(MakeFolder(fs::path(wanted).parent_path()));
  std::string path = wanted;
  for (int number = 2;; ++number) {
    std::error_code error;
    if (fs::create_directory(path, error)) return path;
    if (error) {
      return absl::ErrnoToStatus(
          error.value(), absl::StrCat(path, ": cannot make the run directory"));
    }
    path = absl::StrCat(wanted, "-", number);
  }
}

// `own`: RunDirectory::Options::files.
bool IsRunFile(absl::string_view name, const std::vector<std::string>& own) {
  for (const std::string& pattern : own) {
    absl::string_view end = pattern;
    if (absl::ConsumePrefix(&end, "*") ? absl::EndsWith(name, end)
                                       : name == pattern) {
      return true;
    }
  }
  return std::find(std::begin(kFiles), std::end(kFiles), name) !=
             std::end(kFiles) ||
         absl::StartsWith(name, kEvents);
}

std::vector<std::string> RunFiles(const std::string& folder,
                                  const std::vector<std::string>& own) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (IsRunFile(name, own)) names.push_back(name);
  }
  return names;
}

// Moves the run that stands in `folder`, if any, into a folder of its own.
absl::Status MoveEarlierRun(const std::string& folder,
                            const std::vector<std::string>& own) {
  const std::vector<std::string> names = RunFiles(folder, own);
  if (names.empty()) return absl::OkStatus();
  ALTPROP_ASSIGN_OR_RETURN(
      const std::string earlier,
      MakeNewFolder(Join(folder, absl::StrCat("earlier-", LocalTime()))));
  for (const std::string& name : names) {
    std::error_code error;
    fs::rename(Join(folder, name), Join(earlier, name), error);
    if (error) {
      return absl::ErrnoToStatus(
          error.value(),
          absl::StrCat(Join(folder, name), ": cannot move to ", earlier));
    }
  }
  return absl::OkStatus();
}

// The metrics in `file` up to `last_step`. Lines that do not read are left out:
// a killed process can leave a torn one.
std::vector<MetricsLine> ReadMetrics(const std::string& file,
                                     int64_t last_step) {
  std::ifstream stream(file, std::ios::binary);
  std::vector<MetricsLine> lines;
  for (std::string text; std::getline(stream, text);) {
    absl::StatusOr<MetricsLine> line = ParseMetricsJson(text);
    if (line.ok() && line->step <= last_step) lines.push_back(*std::move(line));
  }
  return lines;
}

bool SameValues(const std::vector<std::pair<std::string, double>>& a,
                const std::vector<std::pair<std::string, double>>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        const bool same_number =
            x.second == y.second ||
            (!std::isfinite(x.second) && !std::isfinite(y.second));
        return x.first == y.first && same_number;
      });
}

std::string MetricsText(const std::vector<MetricsLine>& lines) {
  std::string text;
  for (const MetricsLine& line : lines) {
    absl::StrAppend(&text, MetricsJson(line), "\n");
  }
  return text;
}

std::string FolderOf(const std::string& file) {
  const std::string folder = fs::path(file).parent_path().string();
  return folder.empty() ? "." : folder;
}

bool SameFolder(const std::string& a, const std::string& b) {
  std::error_code error;
  return fs::equivalent(a, b, error) && !error;
}

// Makes options.path or its default, and says which.
absl::StatusOr<std::string> MakeRunFolder(const RunDirectory::Options& o) {
  if (!o.path.empty() || !o.resumed_from.empty()) {
    const std::string path =
        o.path.empty() ? FolderOf(o.resumed_from) : cli::ResolvePath(o.path);
    ALTPROP_RETURN_IF_ERROR(MakeFolder(path));
    return path;
  }
  return MakeNewFolder(cli::ResolvePath(absl::StrJoin(
      {std::string("runs"), o.method, o.name, LocalTime()}, "/")));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunDirectory>> RunDirectory::Create(
    const Options& options) {
  ALTPROP_ASSIGN_OR_RETURN(const std::string path, MakeRunFolder(options));
  const bool resumed = !options.resumed_from.empty();
  const std::string before =
      resumed ? FolderOf(options.resumed_from) : std::string();
  std::vector<MetricsLine> lines;
  if (resumed) {
    lines = ReadMetrics(Join(before, kMetrics), options.resumed_step);
  }
  if (resumed && SameFolder(path, before)) {
    ALTPROP_RETURN_IF_ERROR(KeepEventsUpTo(path, options.resumed_step));
  } else {
    ALTPROP_RETURN_IF_ERROR(MoveEarlierRun(path, options.files));
  }
  ALTPROP_RETURN_IF_ERROR(WriteFileAtomically(Join(path, "flags.txt"),
                                              RunFlagsText(options.flags)));
  ALTPROP_RETURN_IF_ERROR(
      WriteFileAtomically(Join(path, "environment.json"), EnvironmentJson()));
  ALTPROP_RETURN_IF_ERROR(
      WriteFileAtomically(Join(path, kMetrics), MetricsText(lines)));
  ALTPROP_ASSIGN_OR_RETURN(AppendFile metrics,
                           AppendFile::Open(Join(path, kMetrics)));
  ALTPROP_ASSIGN_OR_RETURN(std::unique_ptr<EventFile> events,
                           EventFile::Create(path));
  std::unique_ptr<RunDirectory> run(new RunDirectory(
      path, std::move(metrics), std::move(events), std::move(lines)));
  run->facts_ = {{"Flags", options.flags}, {"Environment", Environment()}};
  return run;
}

RunDirectory::RunDirectory(std::string path, AppendFile metrics,
                           std::unique_ptr<EventFile> events,
                           std::vector<MetricsLine> lines)
    : path_(std::move(path)),
      metrics_(std::move(metrics)),
      events_(std::move(events)),
      lines_(std::move(lines)),
      resumed_lines_(lines_.size()),
      seconds_before_(lines_.empty() ? 0 : lines_.back().wall_time),
      start_(std::chrono::steady_clock::now()) {}

std::string RunDirectory::File(absl::string_view name) const {
  return Join(path_, name);
}

double RunDirectory::SecondsOfTraining() const {
  const auto passed = std::chrono::steady_clock::now() - start_;
  return seconds_before_ + std::chrono::duration<double>(passed).count();
}

bool RunDirectory::IsRepeated(const MetricsLine& line) const {
  if (resumed_lines_ == 0 || lines_[resumed_lines_ - 1].step != line.step) {
    return false;
  }
  return std::any_of(
      lines_.begin(), lines_.begin() + static_cast<ptrdiff_t>(resumed_lines_),
      [&](const MetricsLine& before) {
        return before.step == line.step && before.epoch == line.epoch &&
               before.split == line.split &&
               SameValues(before.values, line.values);
      });
}

absl::Status RunDirectory::Log(MetricsLine line) {
  if (IsRepeated(line)) return absl::OkStatus();
  line.wall_time = SecondsOfTraining();
  ALTPROP_RETURN_IF_ERROR(
      metrics_.Append(absl::StrCat(MetricsJson(line), "\n")));
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  for (const auto& [name, value] : line.values) {
    ALTPROP_RETURN_IF_ERROR(events_->AddScalar(
        absl::StrCat(name, "/", line.split), line.step, now, value));
  }
  lines_.push_back(std::move(line));
  return absl::OkStatus();
}

absl::Status RunDirectory::LogHistogram(absl::string_view tag, int64_t step,
                                        const at::Tensor& values) {
  Histogram histogram = MakeHistogram(values);
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  ALTPROP_RETURN_IF_ERROR(events_->AddHistogram(tag, step, now, histogram));
  const auto same =
      std::find_if(histograms_.begin(), histograms_.end(),
                   [&](const auto& entry) { return entry.first == tag; });
  if (same != histograms_.end()) {
    same->second = std::move(histogram);
  } else {
    histograms_.emplace_back(tag, std::move(histogram));
  }
  return absl::OkStatus();
}

void RunDirectory::SetChart(Chart chart) {
  const auto same = std::find_if(
      charts_.begin(), charts_.end(),
      [&](const Chart& other) { return other.title == chart.title; });
  if (same != charts_.end()) {
    *same = std::move(chart);
  } else {
    charts_.push_back(std::move(chart));
  }
}

absl::Status RunDirectory::WriteReport(const ReportHeader& header) const {
  return WriteFileAtomically(
      File("report.html"),
      RenderReport({header, lines_, histograms_, facts_, charts_}));
}

std::string RunFlagsText(
    const std::vector<std::pair<std::string, std::string>>& flags) {
  std::vector<std::pair<std::string, std::string>> repeated;
  std::string comments;
  for (const auto& flag : flags) {
    if (std::find(std::begin(kNotRepeated), std::end(kNotRepeated),
                  flag.first) == std::end(kNotRepeated)) {
      repeated.push_back(flag);
    } else {
      absl::StrAppend(&comments, "# ", cli::FlagfileText({flag}));
    }
  }
  return absl::StrCat("# The run again: --flagfile=THIS_FILE\n", comments,
                      cli::FlagfileText(repeated));
}

}  // namespace altprop::training
