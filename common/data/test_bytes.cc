#include "common/data/test_bytes.h"

#include <zlib.h>

#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/logging.h"

namespace altprop::data {

std::string BigEndian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(value >> shift));
  }
  return bytes;
}

std::string IdxImages(uint32_t count, uint32_t rows, uint32_t columns) {
  std::string bytes = absl::StrCat(BigEndian(0x803), BigEndian(count),
                                   BigEndian(rows), BigEndian(columns));
  for (uint32_t i = 0; i < count * rows * columns; ++i) {
    bytes.push_back(static_cast<char>(i % 251));
  }
  return bytes;
}

std::string IdxLabels(const std::vector<int>& labels) {
  std::string bytes = absl::StrCat(
      BigEndian(0x801), BigEndian(static_cast<uint32_t>(labels.size())));
  for (const int label : labels) bytes.push_back(static_cast<char>(label));
  return bytes;
}

std::string CifarRecords(int count, bool coarse) {
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    if (coarse) bytes.push_back(static_cast<char>(i % 20));
    bytes.push_back(static_cast<char>(i % (coarse ? 100 : 10)));
    for (int p = 0; p < 3 * 32 * 32; ++p) {
      bytes.push_back(static_cast<char>(i + p));
    }
  }
  return bytes;
}

std::string Tar(
    const std::vector<std::pair<std::string, std::string>>& members) {
  std::string archive;
  for (const auto& [name, contents] : members) {
    std::string header(512, '\0');
    header.replace(0, name.size(), name);
    header.replace(100, 7, "0000644");
    header.replace(124, 11, absl::StrFormat("%011o", contents.size()));
    header.replace(148, 8, 8, ' ');
    header[156] = name.back() == '/' ? '5' : '0';
    header.replace(257, 5, "ustar");
    const unsigned sum = std::accumulate(
        header.begin(), header.end(), 0U, [](unsigned total, char byte) {
          return total + static_cast<unsigned char>(byte);
        });
    header.replace(148, 7, absl::StrFormat("%06o", sum) + '\0');
    absl::StrAppend(&archive, header, contents);
    archive.resize((archive.size() + 511) / 512 * 512);
  }
  archive.resize(archive.size() + 1024);
  return archive;
}

std::string Gzip(absl::string_view bytes, int level) {
  z_stream stream{};
  CHECK_EQ(
      deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
      Z_OK);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in =
      reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // NOLINT
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  CHECK_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace altprop::data
