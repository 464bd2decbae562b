#include "common/data/tar.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace altprop::data {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kMostPadding = uint64_t{1} << 20;  // zeros after the end

using Block = std::array<uint8_t, kBlock>;

bool AllZero(const Block& block) {
  return std::all_of(block.begin(), block.end(),
                     [](uint8_t byte) { return byte == 0; });
}

// Octal digits between spaces and zeros, or GNU's base-256.
std::optional<uint64_t> Number(const uint8_t* field, size_t width) {
  uint64_t value = 0;
  if (field[0] == 0x80) {
    for (size_t i = 1; i < width; ++i) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | field[i];
    }
    return value;
  }
  size_t i = 0;
  while (i < width && field[i] == ' ') ++i;
  for (; i < width && field[i] >= '0' && field[i] <= '7'; ++i) {
    value = value * 8 + (field[i] - '0');
  }
  const bool ended =
      i == width || field[i] == 0 || field[i] == ' ';  // 12 digits fit
  return ended ? std::optional(value) : std::nullopt;
}

// The header's bytes added up, with spaces for the checksum's own.
uint64_t Checksum(const Block& block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    sum += i >= 148 && i < 156 ? uint8_t{' '} : block[i];
  }
  return sum;
}

std::string NameWithoutFolders(const Block& block) {
  const auto* name = reinterpret_cast<const char*>(block.data());
  const auto* end = std::find(name, name + 100, '\0');
  const std::string full(name, end);
  return full.substr(full.rfind('/') + 1);
}

}  // namespace

absl::StatusOr<bool> TarReader::Next(TarMember* member) {
  Block block;  // NOLINT: filled before it is looked at
  member->header_at = source_->offset();
  ALTPROP_RETURN_IF_ERROR(source_->Read(block.data(), kBlock, "a tar header"));
  if (AllZero(block)) {
    ALTPROP_RETURN_IF_ERROR(ReadPadding());
    return false;
  }
  if (Number(&block[148], 8) != Checksum(block)) {
    return source_->Error("tar header with a wrong checksum",
                          member->header_at);
  }
  const std::optional<uint64_t> size = Number(&block[124], 12);
  if (!size.has_value()) {
    return source_->Error("tar header without a size", member->header_at);
  }
  member->name = NameWithoutFolders(block);
  member->regular = block[156] == '0' || block[156] == 0;
  member->size = *size;
  return true;
}

absl::Status TarReader::EndMember(const TarMember& member) {
  const uint64_t used = member.size % kBlock;
  return used == 0 ? absl::OkStatus()
                   : source_->Skip(kBlock - used, "a tar member's padding");
}

absl::Status TarReader::ReadPadding() {
  const uint64_t start = source_->offset();
  Block block{};
  while (true) {
    ALTPROP_ASSIGN_OR_RETURN(const bool at_end, source_->AtEnd());
    if (at_end) return absl::OkStatus();
    const uint64_t at = source_->offset();
    ALTPROP_RETURN_IF_ERROR(
        source_->Read(block.data(), kBlock, "a tar archive's padding"));
    if (!AllZero(block) || source_->offset() - start > kMostPadding) {
      return source_->Error("the tar archive ends but the file goes on", at);
    }
  }
}

}  // namespace altprop::data
