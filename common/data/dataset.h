// The image sets the methods train on, whole and in memory, as bytes.
//
// | name (any case)     | files looked for |
// |---------------------|------------------------------------------------------|
// | glyphs              | none: drawn from a seed (glyphs.h) | | mnist |
// {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]    | | cifar10, cifar100 |
// the official .bin files, or the official .tar.gz     |
//
// They are looked for in `root` and one level below it, under the official
// archive's folder name (`cifar-10-batches-bin`, `cifar-100-binary`) and under
// torchvision's (`MNIST/raw`). Unpacked files win over packed ones. Any whole
// number of records, at least one, is legal.
//
// Errors are one line with the file, what is wrong and the byte it is at, as in
// `DIR/t10k-labels-idx1-ubyte: 9999 labels for 10000 images, at byte 4`. For a
// packed file the byte counts the unpacked data, and the line says so.
#ifndef COMMON_DATA_DATASET_H_
#define COMMON_DATA_DATASET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/data/image_set.h"

namespace altprop::data {

struct DatasetOptions {
  std::string name;         // see the table above
  std::string root;         // folder; glyphs needs none
  bool download = false;    // fetch what is missing into `root` (download.h)
  std::string mirror;       // fetch from this base URL; empty: the official one
  int64_t limit_train = 0;  // the first so many training images; 0: all
  int64_t limit_test = 0;   // the first so many test images; 0: all
  uint64_t glyphs_seed = 0;  // which glyphs are drawn
};

// The names LoadDataset knows, for help texts and error lines.
const std::vector<std::string>& DatasetNames();

absl::StatusOr<Dataset> LoadDataset(const DatasetOptions& options);

}  // namespace altprop::data

#endif  // COMMON_DATA_DATASET_H_
