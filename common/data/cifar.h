// The binary version of CIFAR-10 and CIFAR-100: records without a header.
//
//   CIFAR-10:  label, then 3 x 32 x 32 pixels (channel, row, column)
//   CIFAR-100: coarse label (0 to 19), fine label, then the pixels
//
// The label is CIFAR-10's, and CIFAR-100's fine one. Files may hold any whole
// number of records but none.
#ifndef COMMON_DATA_CIFAR_H_
#define COMMON_DATA_CIFAR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/data/image_set.h"

namespace altprop::data {

struct CifarFormat {
  std::string name;                      // "cifar10"
  std::string folder;                    // of the official archive
  std::string archive;                   // its name
  std::vector<std::string> train_files;  // in order
  std::string test_file;
  int64_t classes;
  int64_t coarse_classes;  // 0: no coarse label
};

const CifarFormat& Cifar10();
const CifarFormat& Cifar100();

// The unpacked files, which lie in `folder`.
absl::StatusOr<Dataset> ReadCifarFolder(const CifarFormat& format,
                                        const std::string& folder);

// The official .tar.gz (or the .tar in it), whatever its members' folder and
// order. Other members are skipped, up to 16 MiB of them.
absl::StatusOr<Dataset> ReadCifarArchive(const CifarFormat& format,
                                         const std::string& archive);

}  // namespace altprop::data

#endif  // COMMON_DATA_CIFAR_H_
