#include "iterbin/program_test_util.h"

#include <cmath>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::iterbin {

std::vector<std::string> SmallRun(const std::string& data,
                                  const std::string& run_dir,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--dataset=mnist",
                                        "--model=300_layer",
                                        "--layers-indices=132",
                                        "--epochs=4",
                                        "--epochs-per-layer=1",
                                        "--lr=0.01",
                                        "--batch-size=20",
                                        "--test-batch-size=10",
                                        "--threads=1",
                                        "--data_root",
                                        data,
                                        "--run_dir",
                                        run_dir};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<std::string> Command(const std::string& program,
                                 const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {absl::StrCat("iterbin/", program)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

testing::ProgramResult RunTool(const std::string& program,
                               const std::vector<std::string>& arguments) {
  return testing::RunProgram(Command(program, arguments));
}

std::vector<training::MetricsLine> Lines(const std::string& run_dir,
                                         const std::string& split) {
  std::istringstream file(
      testing::ReadFile(absl::StrCat(run_dir, "/metrics.jsonl")));
  std::vector<training::MetricsLine> lines;
  for (std::string text; std::getline(file, text);) {
    const auto line = training::ParseMetricsJson(text);
    EXPECT_TRUE(line.ok()) << line.status();
    if (line.ok() && line->split == split) lines.push_back(*line);
  }
  return lines;
}

double At(const training::MetricsLine& line, const std::string& name) {
  for (const auto& [key, value] : line.values) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no " << name;
  return std::nan("");
}

std::string MetricsWithoutTime(const std::string& run_dir) {
  std::string text = testing::ReadFile(run_dir + "/metrics.jsonl");
  for (size_t at; (at = text.find("\"wall_time\":")) != std::string::npos;) {
    text.erase(at, text.find(',', at) + 1 - at);
  }
  return text;
}

void ExpectError(const testing::ProgramResult& result, int exit_code,
                 const std::vector<std::string>& words) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  const std::vector<std::string> lines =
      absl::StrSplit(result.err, '\n', absl::SkipEmpty());
  ASSERT_FALSE(lines.empty());
  for (const std::string& word : words) {
    EXPECT_TRUE(absl::StrContains(lines.back(), word))
        << "\"" << word << "\" not in: " << lines.back();
  }
  EXPECT_FALSE(absl::StrContains(result.err, "terminate called"));
  EXPECT_FALSE(absl::StrContains(result.err, "Check failed"));
}

}  // namespace altprop::iterbin
