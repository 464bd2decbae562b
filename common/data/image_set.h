// Labelled images in memory.
#ifndef COMMON_DATA_IMAGE_SET_H_
#define COMMON_DATA_IMAGE_SET_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace altprop::data {

// N labelled images of C channels, H rows and W columns, in file order.
struct ImageSet {
  at::Tensor images;    // uint8 [N, C, H, W], on the CPU
  at::Tensor labels;    // int64 [N], each in 0 .. classes - 1
  int64_t classes = 0;  // 10 or 100, whether all of them occur or not

  int64_t size() const { return images.defined() ? images.size(0) : 0; }
};

struct Dataset {
  std::string name;  // lower case
  ImageSet train;
  ImageSet test;
};

}  // namespace altprop::data

#endif  // COMMON_DATA_IMAGE_SET_H_
