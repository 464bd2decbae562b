// The bytes of small files in the official formats, to be written as they are
// or damaged first.
#ifndef COMMON_DATA_TEST_BYTES_H_
#define COMMON_DATA_TEST_BYTES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace altprop::data {

// 32 bits, the most significant byte first.
std::string BigEndian(uint32_t value);

// An IDX file of `count` images; pixel i of the whole file is i mod 251.
std::string IdxImages(uint32_t count, uint32_t rows, uint32_t columns);

// An IDX file with these labels.
std::string IdxLabels(const std::vector<int>& labels);

// `count` records: CIFAR-10's with label i mod 10, or CIFAR-100's with coarse
// label i mod 20 and fine label i mod 100. Pixel p of record i is i + p.
std::string CifarRecords(int count, bool coarse);

// A ustar archive of (name, contents), ended as tar ends it.
std::string Tar(
    const std::vector<std::pair<std::string, std::string>>& members);

// One gzip member. `level`: zlib's.
std::string Gzip(absl::string_view bytes, int level = 6);

}  // namespace altprop::data

#endif  // COMMON_DATA_TEST_BYTES_H_
