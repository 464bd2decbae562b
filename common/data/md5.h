// MD5 (RFC 1321), for the checksums that data sets are published with. It
// detects damage, not malice.
#ifndef COMMON_DATA_MD5_H_
#define COMMON_DATA_MD5_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::data {

class Md5 {
 public:
  void Update(absl::string_view bytes);
  // 32 lower-case hexadecimal digits. Once, at the end.
  std::string Finish();

 private:
  void Block(const uint8_t* bytes);

  std::array<uint32_t, 4> state_ = {0x67452301, 0xefcdab89, 0x98badcfe,
                                    0x10325476};
  std::array<uint8_t, 64> pending_{};
  uint64_t length_ = 0;  // bytes
};

std::string Md5Of(absl::string_view bytes);
absl::StatusOr<std::string> Md5OfFile(const std::string& path);

}  // namespace altprop::data

#endif  // COMMON_DATA_MD5_H_
