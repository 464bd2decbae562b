#include "ftprop/program_test_util.h"

#include <zlib.h>

#include <cmath>
#include <filesystem>  // NOLINT(build/c++17)
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::ftprop {
namespace {

std::vector<std::string> Command(const std::string& program,
                                 const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::string BigEndian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(value >> shift);
  }
  return bytes;
}

std::string Chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()),
                          static_cast<uInt>(body.size()));
  return BigEndian(static_cast<uint32_t>(data.size())) + body +
         BigEndian(static_cast<uint32_t>(crc));
}

// A slope whose direction is `hue`'s.
std::string Png(int width, int height, int hue) {
  std::string rows;
  for (int y = 0; y < height; ++y) {
    rows += '\0';  // no filter
    for (int x = 0; x < width; ++x) {
      rows += static_cast<char>(x * hue / 2);
      rows += static_cast<char>(y);
      rows += static_cast<char>(40 * hue);
    }
  }
  std::string packed(compressBound(rows.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(rows.data()), rows.size());
  packed.resize(size);
  return std::string("\x89PNG\r\n\x1a\n") +
         Chunk("IHDR", BigEndian(width) + BigEndian(height) +
                           std::string("\x08\x02\0\0\0", 5)) +
         Chunk("IDAT", packed) + Chunk("IEND", "");
}

}  // namespace

void WriteImageFolder(const std::string& folder, int per_class, int width,
                      int height) {
  for (const std::string split : {"train", "val"}) {
    for (int label = 0; label < 2; ++label) {
      const std::string path =
          absl::StrCat(folder, "/", split, "/", label == 0 ? "a" : "b");
      std::filesystem::create_directories(path);
      for (int i = 0; i < per_class; ++i) {
        testing::WriteFile(absl::StrCat(path, "/", i, ".png"),
                           Png(width, height, 2 * i + label + 1));
      }
    }
  }
}

std::vector<std::string> SmallRun(const std::string& data,
                                  const std::string& run_dir,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {
      "--ds=mnist",  absl::StrCat("--data-root=", data),
      "--arch",      "convnet4",
      "--widths",    "3",
      "4",           "12",
      "--nonlin",    "step11",
      "--opt=adam",  "--lr=2e-3",
      "--wtdecay",   "5e-4",
      "--batch=10",  "--epochs=3",
      "--plot-test", "--threads=1",
      "--run_dir",   run_dir};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<std::string> TrainCommand(
    const std::vector<std::string>& arguments) {
  return Command("ftprop/train", arguments);
}

testing::ProgramResult RunTrain(const std::vector<std::string>& arguments) {
  return testing::RunProgram(TrainCommand(arguments));
}

testing::ProgramResult RunEvaluate(const std::vector<std::string>& arguments) {
  return testing::RunProgram(Command("ftprop/evaluate", arguments));
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

}  // namespace altprop::ftprop
