#include "cbp/program_test_util.h"

#include <cmath>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::cbp {

std::vector<std::string> CbpCommand(const std::string& program,
                                    const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {absl::StrCat("cbp/", program)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

testing::ProgramResult RunCbp(const std::string& program,
                              const std::vector<std::string>& arguments) {
  return testing::RunProgram(CbpCommand(program, arguments));
}

std::vector<std::string> SmallRun(const std::string& data,
                                  const std::string& run_dir,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--dataset=mnist",
                                        absl::StrCat("--data_root=", data),
                                        "--model=mnist_cnn",
                                        "--width=2",
                                        "--quant=ter",
                                        "--batch_size=10",
                                        "--lr=0.01",
                                        "--lr_lambda=0.01",
                                        "--period=2",
                                        "--pretrain_epochs=1",
                                        "--pretrain_lr=0.05",
                                        "--epochs=4",
                                        "--threads=1",
                                        "--run_dir",
                                        run_dir};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<training::MetricsLine> MetricsOf(const std::string& run_dir,
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

double ValueOf(const training::MetricsLine& line, const std::string& name) {
  for (const auto& [key, value] : line.values) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no " << name;
  return std::nan("");
}

}  // namespace altprop::cbp
