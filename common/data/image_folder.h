// Data sets that are folders of JPEG and PNG files, too large to keep decoded.
//
// | name          | files                                                     |
// |---------------|-----------------------------------------------------------|
// | folder        | train/CLASS/..., val/CLASS/...                            |
// | imagenet      | the same, a class being a WordNet id                      |
// | tiny_imagenet | the same, or the official val/images with its             |
// |               | val_annotations.txt                                       |
//
// The folder that holds train/ is the root, or one below it that has the data
// set's name. A class is a folder's name and its number that name's rank among
// train's, byte by byte; val's classes must be among them. Files are in the
// order of their folders' names, then of their own, at any depth below the
// class. Names that begin with a dot, and files that are no images, are left
// out; images in a format that is not read are errors.
#ifndef COMMON_DATA_IMAGE_FOLDER_H_
#define COMMON_DATA_IMAGE_FOLDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace altprop::data {

// Labelled files, in a fixed order. Copies share the names.
class ImageList {
 public:
  ImageList() = default;

  int64_t size() const { return static_cast<int64_t>(items_.size()); }
  int64_t classes() const;
  const std::vector<std::string>& class_names() const;
  int64_t label(int64_t position) const;
  std::string path(int64_t position) const;

  // The files at these positions, in this order.
  ImageList Select(absl::Span<const int64_t> positions) const;
  // The first `count` of them, or all.
  ImageList First(int64_t count) const;

 private:
  friend class ImageListBuilder;
  struct Names;
  struct Item {
    uint64_t name;  // where it begins in Names::text
    int32_t label;
  };

  std::shared_ptr<const Names> names_;
  std::vector<Item> items_;
};

struct ImageFolderOptions {
  std::string name;  // see the table above; any case, '-' for '_'
  std::string root;
  std::string train = "train";  // the folders below the root
  std::string val = "val";
  int64_t limit_train = 0;  // the first so many files; 0: all
  int64_t limit_val = 0;
};

struct ImageFolder {
  std::string name;  // lower case
  ImageList train;
  ImageList val;  // labels are positions in train's class names
};

// The names that ReadImageFolder knows.
const std::vector<std::string>& ImageFolderNames();

// Whether a data set of this name streams from a folder (any case, '-' for
// '_').
bool IsImageFolder(absl::string_view name);

// Lists the files; opens none but val_annotations.txt. Errors are one line that
// names the folder or file: missing, without classes, an empty class, a class
// in val alone, a line of the annotations.
absl::StatusOr<ImageFolder> ReadImageFolder(const ImageFolderOptions& options);

}  // namespace altprop::data

#endif  // COMMON_DATA_IMAGE_FOLDER_H_
