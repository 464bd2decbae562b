#include "common/testing/files.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/logging.h"

namespace altprop::testing {
namespace {

constexpr int kSide = 28;

void AppendBigEndian(uint32_t value, std::string& to) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    to.push_back(static_cast<char>(value >> shift));
  }
}

void WriteSplit(const std::string& folder, const std::string& split, int count,
                std::mt19937& random) {
  std::string images, labels;
  AppendBigEndian(0x803, images);
  for (const int size : {count, kSide, kSide}) AppendBigEndian(size, images);
  AppendBigEndian(0x801, labels);
  AppendBigEndian(count, labels);
  for (int i = 0; i < count; ++i) {
    const int digit = i % 10;
    labels.push_back(static_cast<char>(digit));
    for (int pixel = 0; pixel < kSide * kSide; ++pixel) {
      const int row = pixel / kSide;
      const bool bar = row / 2 == digit + 2;
      images.push_back(static_cast<char>(random() % 64 + (bar ? 190 : 0)));
    }
  }
  WriteFile(absl::StrCat(folder, "/", split, "-images-idx3-ubyte"), images);
  WriteFile(absl::StrCat(folder, "/", split, "-labels-idx1-ubyte"), labels);
}

}  // namespace

std::string NewFolder(absl::string_view name) {
  const char* root = std::getenv("TEST_TMPDIR");
  std::string path =
      absl::StrCat(root == nullptr ? "/tmp" : root, "/", name, ".XXXXXX");
  CHECK(mkdtemp(path.data()) != nullptr) << path;
  return path;
}

void WriteFile(const std::string& path, absl::string_view contents) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
  CHECK(file.flush()) << path;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file) << path;
  std::stringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

void WriteMnist(const std::string& folder, int train, int test, uint32_t seed) {
  std::mt19937 random(seed);
  WriteSplit(folder, "train", train, random);
  WriteSplit(folder, "t10k", test, random);
}

}  // namespace altprop::testing
