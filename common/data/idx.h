// The IDX files of MNIST: a big-endian header, then bytes.
//
//   images: 00 00 08 03, count, rows, columns (32 bits each), count * rows *
//           columns pixels; labels: 00 00 08 01, count, count labels.
//
// Sizes must agree to the byte. What is wrong is one line with file and byte.
#ifndef COMMON_DATA_IDX_H_
#define COMMON_DATA_IDX_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/data/image_set.h"

namespace altprop::data {

// uint8 [N, 1, rows, columns]. Plain or gzip.
absl::StatusOr<at::Tensor> ReadIdxImages(const std::string& path);

// int64 [N], each in 0 .. classes - 1. Plain or gzip.
absl::StatusOr<at::Tensor> ReadIdxLabels(const std::string& path,
                                         int64_t classes);

// Both, and as many labels as images.
absl::StatusOr<ImageSet> ReadIdxSet(const std::string& images,
                                    const std::string& labels, int64_t classes);

}  // namespace altprop::data

#endif  // COMMON_DATA_IDX_H_
