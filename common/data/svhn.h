// Street View House Numbers, cropped digits (Netzer et al. 2011): 32 x 32
// colour images in MATLAB files of version 5.
//
//   train_32x32.mat  73,257 digits   the training set is both, in this order
//   extra_32x32.mat 531,131
//   test_32x32.mat   26,032
//
// A file holds X, uint8 [32, 32, 3, N], and y, [N, 1] of 1 to 10, the digit 0
// being 10; both packed by zlib. Here images are [N, 3, 32, 32] and labels are
// the digits. Files may hold any number of records but none.
//
// Errors are one line with the file, what is wrong and the byte it is at.
#ifndef COMMON_DATA_SVHN_H_
#define COMMON_DATA_SVHN_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/data/image_set.h"

namespace altprop::data {

struct SvhnOptions {
  std::string root;         // folder with the three files
  bool download = false;    // fetch what is missing into `root`
  std::string mirror;       // fetch from this base URL; empty: the official one
  int64_t limit_train = 0;  // the first so many training images; 0: all
  int64_t limit_test = 0;
};

absl::StatusOr<Dataset> LoadSvhn(const SvhnOptions& options);

// One of the files; with `limit` only its first records.
absl::StatusOr<ImageSet> ReadSvhnFile(const std::string& path,
                                      int64_t limit = 0);

// uint8 [B, 3, H, W] to [B, 3, side, side], Pillow's bilinear resizing.
at::Tensor ResizeImages(const at::Tensor& images, int64_t side);

}  // namespace altprop::data

#endif  // COMMON_DATA_SVHN_H_
