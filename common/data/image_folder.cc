#include "common/data/image_folder.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>  // NOLINT(build/c++17)
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/data/parallel.h"
#include "common/logging.h"
#include "common/status.h"

namespace altprop::data {
namespace {

namespace fs = std::filesystem;

constexpr char kAnnotations[] = "val_annotations.txt";

// Below --data_root, beside the data set's own name: the official archives'.
std::vector<std::string> RootsOf(const std::string& name) {
  if (name == "tiny_imagenet") {
    return {"", name, "tiny-imagenet", "tiny-imagenet-200"};
  }
  return {"", name};
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::string ExtensionOf(const std::string& name) {
  return absl::AsciiStrToLower(fs::path(name).extension().string());
}

bool IsReadable(const std::string& extension) {
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

bool IsOtherImage(const std::string& extension) {
  static const auto* const kinds =
      new std::vector<std::string>{".avif", ".bmp", ".gif",  ".heic", ".pgm",
                                   ".ppm",  ".tif", ".tiff", ".webp"};
  return std::find(kinds->begin(), kinds->end(), extension) != kinds->end();
}

absl::Status CannotList(const std::string& folder, const std::error_code& e) {
  return absl::NotFoundError(
      absl::StrCat(folder, ": cannot list it: ", e.message()));
}

struct Entries {
  std::vector<std::string> folders;  // names, sorted
  std::vector<std::string> files;    // image files' names, sorted
};

absl::StatusOr<Entries> List(const std::string& folder) {
  Entries entries;
  std::error_code error;
  fs::directory_iterator at(folder, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (absl::StartsWith(name, ".")) continue;
    std::error_code ignored;
    if (at->is_directory(ignored)) {
      entries.folders.push_back(name);
    } else if (IsReadable(ExtensionOf(name))) {
      entries.files.push_back(name);
    } else if (IsOtherImage(ExtensionOf(name))) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, "/", name,
                       ": an image in a format that is not read, expected "
                       "JPEG or PNG"));
    }
  }
  if (error) return CannotList(folder, error);
  std::sort(entries.folders.begin(), entries.folders.end());
  std::sort(entries.files.begin(), entries.files.end());
  return entries;
}

// The images of a class, relative to its folder: by folder, then by name.
absl::Status ListImages(const std::string& folder, const std::string& below,
                        std::map<std::string, std::vector<std::string>>& found,
                        int depth = 0) {
  constexpr int kDeepest = 32;  // a link that leads back up
  if (depth > kDeepest) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": folders nested more than ", kDeepest, " deep"));
  }
  ALTPROP_ASSIGN_OR_RETURN(Entries entries, List(folder + below));
  for (const std::string& name : entries.folders) {
    ALTPROP_RETURN_IF_ERROR(
        ListImages(folder, absl::StrCat(below, "/", name), found, depth + 1));
  }
  found[below] = std::move(entries.files);
  return absl::OkStatus();
}

// A class's files as written into an ImageList: '/' and the path below the
// class.
absl::StatusOr<std::vector<std::string>> ClassFiles(const std::string& folder) {
  std::map<std::string, std::vector<std::string>> found;
  ALTPROP_RETURN_IF_ERROR(ListImages(folder, "", found));
  std::vector<std::string> files;
  for (const auto& [below, names] : found) {
    for (const std::string& name : names) {
      files.push_back(absl::StrCat(below, "/", name));
    }
  }
  if (files.empty()) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": no JPEG or PNG file in this class"));
  }
  return files;
}

absl::StatusOr<std::vector<std::string>> ClassesIn(const std::string& folder) {
  if (!IsFolder(folder)) {
    return absl::NotFoundError(absl::StrCat(folder, ": no such folder"));
  }
  ALTPROP_ASSIGN_OR_RETURN(Entries entries, List(folder));
  if (!entries.folders.empty()) return std::move(entries.folders);
  return absl::NotFoundError(absl::StrCat(
      folder, ": no class folders in it",
      entries.files.empty()
          ? ""
          : absl::StrCat(" but ", entries.files.size(),
                         " images: sort them into a folder for each class")));
}

}  // namespace

// Names of all files after each other, each ended by a zero byte.
struct ImageList::Names {
  std::vector<std::string> classes;
  std::vector<std::string> folders;  // of each class; or one for all
  std::string text;
};

class ImageListBuilder {
 public:
  // `folders`: one for each class, or a single one.
  ImageListBuilder(std::vector<std::string> classes,
                   std::vector<std::string> folders)
      : names_(std::make_shared<ImageList::Names>()) {
    names_->classes = std::move(classes);
    names_->folders = std::move(folders);
  }

  // `file`: '/' and the path below the class's folder.
  void Add(const std::string& file, int64_t label) {
    items_.push_back({names_->text.size(), static_cast<int32_t>(label)});
    names_->text.append(file.c_str(), file.size() + 1);
  }

  ImageList Build() {
    ImageList list;
    names_->text.shrink_to_fit();
    list.names_ = std::move(names_);
    list.items_ = std::move(items_);
    return list;
  }

 private:
  std::shared_ptr<ImageList::Names> names_;
  std::vector<ImageList::Item> items_;
};

int64_t ImageList::classes() const {
  return static_cast<int64_t>(class_names().size());
}

const std::vector<std::string>& ImageList::class_names() const {
  static const auto* const none = new std::vector<std::string>();
  return names_ == nullptr ? *none : names_->classes;
}

int64_t ImageList::label(int64_t position) const {
  DCHECK_LT(position, size());
  return items_[position].label;
}

std::string ImageList::path(int64_t position) const {
  DCHECK_LT(position, size());
  const Item& item = items_[position];
  const std::vector<std::string>& folders = names_->folders;
  return absl::StrCat(folders[folders.size() == 1 ? 0 : item.label],
                      &names_->text[item.name]);
}

ImageList ImageList::Select(absl::Span<const int64_t> positions) const {
  ImageList list;
  list.names_ = names_;
  list.items_.reserve(positions.size());
  for (const int64_t position : positions) {
    CHECK_GE(position, 0);
    CHECK_LT(position, size());
    list.items_.push_back(items_[position]);
  }
  return list;
}

ImageList ImageList::First(int64_t count) const {
  ImageList list = *this;
  if (count < size()) list.items_.resize(std::max<int64_t>(0, count));
  return list;
}

namespace {

// A folder of class folders; `classes` are train's, of which `present` have a
// folder here. Classes are listed at the same time.
absl::StatusOr<ImageList> ListSplit(const std::string& folder,
                                    const std::vector<std::string>& classes,
                                    const std::vector<std::string>& present) {
  std::vector<absl::StatusOr<std::vector<std::string>>> files(present.size());
  ParallelFor(present.size(), [&](size_t i) {
    files[i] = ClassFiles(absl::StrCat(folder, "/", present[i]));
  });
  std::vector<std::string> folders;
  for (const std::string& name : classes) {
    folders.push_back(absl::StrCat(folder, "/", name));
  }
  ImageListBuilder builder(classes, std::move(folders));
  for (size_t i = 0; i < present.size(); ++i) {
    if (!files[i].ok()) return files[i].status();
    const auto label =
        std::lower_bound(classes.begin(), classes.end(), present[i]) -
        classes.begin();
    for (const std::string& file : *files[i]) builder.Add(file, label);
  }
  return builder.Build();
}

absl::StatusOr<ImageList> ListVal(const std::string& folder,
                                  const std::string& train,
                                  const std::vector<std::string>& classes) {
  ALTPROP_ASSIGN_OR_RETURN(const std::vector<std::string> present,
                           ClassesIn(folder));
  for (const std::string& name : present) {
    if (!std::binary_search(classes.begin(), classes.end(), name)) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, "/", name, ": this class is not in ", train));
    }
  }
  return ListSplit(folder, classes, present);
}

absl::Status AtLine(const std::string& path, int64_t line,
                    absl::string_view problem) {
  return absl::DataLossError(
      absl::StrCat(path, ": line ", line, ": ", problem));
}

// Tiny-ImageNet's own val: images/NAME, and a line `NAME <tab> CLASS <tab> box`
// for each.
absl::StatusOr<ImageList> ListAnnotated(
    const std::string& folder, const std::vector<std::string>& classes) {
  const std::string path = absl::StrCat(folder, "/", kAnnotations);
  ALTPROP_ASSIGN_OR_RETURN(Entries images, List(folder + "/images"));
  std::ifstream file(path);
  std::map<std::string, int64_t> labels;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(absl::StripTrailingAsciiWhitespace(line), '\t');
    if (fields.size() == 1 && fields[0].empty()) continue;
    if (fields.size() < 2) {
      return AtLine(path, number, "expected a file, a tab and its class");
    }
    const auto at = std::lower_bound(classes.begin(), classes.end(), fields[1]);
    if (at == classes.end() || *at != fields[1]) {
      return AtLine(path, number,
                    absl::StrCat("class '", Printable(fields[1], 40),
                                 "' is not in train"));
    }
    if (!labels.emplace(fields[0], at - classes.begin()).second) {
      return AtLine(path, number,
                    absl::StrCat(Printable(fields[0], 80), " a second time"));
    }
  }
  if (file.bad()) {
    return absl::DataLossError(absl::StrCat(path, ": cannot be read"));
  }
  ImageListBuilder builder(classes, {folder + "/images"});
  for (const std::string& name : images.files) {
    const auto label = labels.find(name);
    if (label == labels.end()) {
      return absl::DataLossError(
          absl::StrCat(path, ": no line for images/", name));
    }
    builder.Add("/" + name, label->second);
    labels.erase(label);
  }
  if (!labels.empty()) {
    return absl::NotFoundError(
        absl::StrCat(folder, "/images/", Printable(labels.begin()->first),
                     ": named in ", kAnnotations, " but not there"));
  }
  return builder.Build();
}

std::string Canonical(absl::string_view name) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"-", "_"}});
}

absl::StatusOr<std::string> FindRoot(const ImageFolderOptions& options,
                                     const std::string& name) {
  if (options.root.empty()) {
    return UsageError(
        absl::StrCat("--data_root is not set: expected the folder of ", name,
                     " with ", options.train, "/ and ", options.val, "/"));
  }
  std::vector<std::string> tried;
  for (const std::string& below : RootsOf(name)) {
    const std::string root =
        below.empty() ? options.root : absl::StrCat(options.root, "/", below);
    if (IsFolder(absl::StrCat(root, "/", options.train))) return root;
    if (!below.empty()) tried.push_back(below);
  }
  return absl::NotFoundError(
      absl::StrCat(options.root, ": no folder ", options.train, "/ (", name,
                   ") here or in ", absl::StrJoin(tried, ", ")));
}

}  // namespace

const std::vector<std::string>& ImageFolderNames() {
  static const auto* const names =
      new std::vector<std::string>{"folder", "tiny_imagenet", "imagenet"};
  return *names;
}

bool IsImageFolder(absl::string_view name) {
  const std::vector<std::string>& names = ImageFolderNames();
  return std::find(names.begin(), names.end(), Canonical(name)) != names.end();
}

absl::StatusOr<ImageFolder> ReadImageFolder(const ImageFolderOptions& options) {
  ImageFolder folder;
  folder.name = Canonical(options.name);
  if (!IsImageFolder(folder.name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.name, ": no such data set of image files, expected ",
        absl::StrJoin(ImageFolderNames(), ", ")));
  }
  ALTPROP_ASSIGN_OR_RETURN(const std::string root,
                           FindRoot(options, folder.name));
  const std::string train = absl::StrCat(root, "/", options.train);
  const std::string val = absl::StrCat(root, "/", options.val);
  ALTPROP_ASSIGN_OR_RETURN(const std::vector<std::string> classes,
                           ClassesIn(train));
  ALTPROP_ASSIGN_OR_RETURN(folder.train, ListSplit(train, classes, classes));
  std::error_code error;
  const bool annotated =
      folder.name == "tiny_imagenet" &&
      fs::exists(absl::StrCat(val, "/", kAnnotations), error) &&
      IsFolder(val + "/images");
  ALTPROP_ASSIGN_OR_RETURN(folder.val, annotated
                                           ? ListAnnotated(val, classes)
                                           : ListVal(val, train, classes));
  if (options.limit_train > 0) {
    folder.train = folder.train.First(options.limit_train);
  }
  if (options.limit_val > 0) folder.val = folder.val.First(options.limit_val);
  return folder;
}

}  // namespace altprop::data
