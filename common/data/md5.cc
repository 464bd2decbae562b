#include "common/data/md5.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace altprop::data {
namespace {

// floor(2^32 |sin(i + 1)|), RFC 1321 section 3.4.
constexpr std::array<uint32_t, 64> kSines = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a,
    0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
    0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340,
    0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
    0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
    0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
    0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92,
    0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
    0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
constexpr std::array<int, 16> kShifts = {7, 12, 17, 22, 5, 9,  14, 20,
                                         4, 11, 16, 23, 6, 10, 15, 21};

uint32_t LittleEndian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 |
         uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

}  // namespace

void Md5::Block(const uint8_t* bytes) {
  auto [a, b, c, d] = state_;
  for (uint32_t i = 0; i < 64; ++i) {
    uint32_t mixed = 0;
    uint32_t word = 0;
    switch (i / 16) {
      case 0:
        mixed = (b & c) | (~b & d);
        word = i;
        break;
      case 1:
        mixed = (d & b) | (~d & c);
        word = 5 * i + 1;
        break;
      case 2:
        mixed = b ^ c ^ d;
        word = 3 * i + 5;
        break;
      default:
        mixed = c ^ (b | ~d);
        word = 7 * i;
    }
    mixed += a + kSines[i] + LittleEndian(bytes + 4 * size_t{word % 16});
    a = d;
    d = c;
    c = b;
    b += std::rotl(mixed, kShifts[i / 16 * 4 + i % 4]);
  }
  state_ = {state_[0] + a, state_[1] + b, state_[2] + c, state_[3] + d};
}

void Md5::Update(absl::string_view bytes) {
  const auto* from = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t left = bytes.size();
  while (left > 0) {
    const size_t used = length_ % 64;
    if (used == 0 && left >= 64) {
      Block(from);
      from += 64;
      left -= 64;
      length_ += 64;
      continue;
    }
    const size_t part = std::min(left, 64 - used);
    std::memcpy(&pending_[used], from, part);
    from += part;
    left -= part;
    length_ += part;
    if (length_ % 64 == 0) Block(pending_.data());
  }
}

std::string Md5::Finish() {
  const uint64_t bits = length_ * 8;
  const size_t zeros = (119 - length_ % 64) % 64;
  std::string tail(1, '\x80');
  tail.append(zeros, '\0');
  for (int i = 0; i < 8; ++i) tail.push_back(static_cast<char>(bits >> 8 * i));
  Update(tail);
  std::string digest;
  for (const uint32_t word : state_) {
    for (int i = 0; i < 4; ++i) {
      digest.push_back(static_cast<char>(word >> 8 * i));
    }
  }
  return absl::BytesToHexString(digest);
}

std::string Md5Of(absl::string_view bytes) {
  Md5 md5;
  md5.Update(bytes);
  return md5.Finish();
}

absl::StatusOr<std::string> Md5OfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Md5 md5;
  std::vector<char> chunk(size_t{1} << 18);
  while (file) {
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    md5.Update({chunk.data(), static_cast<size_t>(file.gcount())});
  }
  if (!file.eof()) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot be read: ", std::strerror(errno)));
  }
  return md5.Finish();
}

}  // namespace altprop::data
