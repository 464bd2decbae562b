#include "sedona/program_test_util.h"

#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::sedona {

Arguments Command(const std::string& program, const Arguments& arguments) {
  Arguments command = {absl::StrCat("sedona/", program)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

testing::ProgramResult Start(const std::string& program,
                             const Arguments& arguments) {
  return testing::RunProgram(Command(program, arguments));
}

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<training::MetricsLine> Lines(const std::string& run_dir,
                                         const std::string& split) {
  std::istringstream file(testing::ReadFile(run_dir + "/metrics.jsonl"));
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
  return 0;
}

Arguments Folders(const std::string& below) {
  return {"--ckpt-dir", below + "/ckpt", "--result-dir", below + "/results"};
}

Arguments Small(const std::string& run_dir) {
  return {"--dataset=glyphs",  "--limit_train=60", "--limit_test=20",
          "--feat-mult=0.125", "--batch-size=8",   "--valid-batch-size=16",
          "--valid-size=0.4",  "--threads=1",      "--run_dir=" + run_dir};
}

Arguments SmallTraining(const std::string& root, const std::string& run_dir) {
  return Small(run_dir) + Folders(root) +
         Arguments{"--name=vgg11", "--target-num-blocks=3", "--train-iters=14",
                   "--valid-freq=4"};
}

}  // namespace altprop::sedona
