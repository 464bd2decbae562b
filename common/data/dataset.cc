#include "common/data/dataset.h"

#include <algorithm>
#include <filesystem>  // NOLINT(build/c++17)
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/data/cifar.h"
#include "common/data/download.h"
#include "common/data/glyphs.h"
#include "common/data/idx.h"
#include "common/data/parallel.h"
#include "common/status.h"

namespace altprop::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMnistClasses = 10;
constexpr int64_t kMnistSide = 28;
constexpr char kMnistFolder[] = "MNIST/raw";  // torchvision's

// Checksums: MNIST's are those that torchvision publishes with its mirror,
// CIFAR's those of the data set's own page.
const std::vector<RemoteFile>& MnistFiles() {
  static const auto* const files = new std::vector<RemoteFile>{
      {"train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"},
      {"train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"},
      {"t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"},
      {"t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"}};
  return *files;
}

const std::vector<std::string>& MnistUrls() {
  static const auto* const urls = new std::vector<std::string>{
      "https://ossci-datasets.s3.amazonaws.com/mnist/",
      "https://storage.googleapis.com/cvdf-datasets/mnist/"};
  return *urls;
}

RemoteFile CifarFile(const CifarFormat& format) {
  return {format.archive, format.coarse_classes > 0
                              ? "03b5dce01913d631647c71ecec9e9cb8"
                              : "c32a1d4ab5d03f1284b67883e8d87530"};
}

const std::vector<std::string>& CifarUrls() {
  static const auto* const urls =
      new std::vector<std::string>{"https://www.cs.toronto.edu/~kriz/"};
  return *urls;
}

bool IsFile(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error) && !fs::is_directory(path, error);
}

// Fetches `files` into `folder` where the user asked for it.
absl::Status DownloadIfAsked(const DatasetOptions& options,
                             const std::vector<RemoteFile>& files,
                             const std::vector<std::string>& urls,
                             const std::string& folder) {
  if (!options.download) return absl::OkStatus();
  DownloadOptions download;
  download.base_urls = urls;
  if (!options.mirror.empty()) {
    download.base_urls = {absl::EndsWith(options.mirror, "/")
                              ? options.mirror
                              : options.mirror + "/"};
  }
  download.progress = StderrProgress();
  return Download(files, folder, download);
}

absl::Status NotFound(const DatasetOptions& options, absl::string_view file,
                      const std::vector<std::string>& folders) {
  return absl::NotFoundError(absl::StrCat(
      options.root, ": no ", file, " (", options.name, ") here",
      folders.size() > 1
          ? absl::StrCat(" or in ", absl::StrJoin(folders.begin() + 1,
                                                  folders.end(), ", "))
          : "",
      options.download ? "" : "; --download fetches it"));
}

// The root itself first, written as "".
std::vector<std::string> MnistFolders() {
  return {"", kMnistFolder, "raw", "MNIST", "mnist"};
}

std::string In(const std::string& root, const std::string& folder) {
  return folder.empty() ? root : absl::StrCat(root, "/", folder);
}

// The plain file before the packed one; also `-images.idx3-`, as some tools
// unpack it. Empty if none is there.
std::string FindIdx(const std::string& folder, const std::string& packed_name) {
  const std::string name(absl::StripSuffix(packed_name, ".gz"));
  std::string dotted = name;
  dotted[dotted.rfind("-idx")] = '.';
  for (const std::string& candidate : {name, dotted, packed_name}) {
    std::string path = absl::StrCat(folder, "/", candidate);
    if (IsFile(path)) return path;
  }
  return "";
}

// The four files of the first folder that has one of them, in MnistFiles()'
// order; empty names for those it lacks.
std::vector<std::string> FindMnist(const std::string& root) {
  std::vector<std::string> paths;
  for (const std::string& folder : MnistFolders()) {
    paths.clear();
    for (const RemoteFile& file : MnistFiles()) {
      paths.push_back(FindIdx(In(root, folder), file.name));
    }
    const auto missing = std::count(paths.begin(), paths.end(), "");
    if (missing < static_cast<int64_t>(paths.size())) return paths;
  }
  return paths;
}

absl::Status CheckMnistShape(const ImageSet& set, const std::string& path) {
  if (set.size() == 0) {
    return absl::DataLossError(
        absl::StrCat(path, ": 0 images, expected at least 1, at byte 4"));
  }
  const int64_t rows = set.images.size(2);
  const int64_t columns = set.images.size(3);
  if (rows == kMnistSide && columns == kMnistSide) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      path, ": images of ", rows, "x", columns, " pixels, expected ",
      kMnistSide, "x", kMnistSide, ", at byte 8"));
}

absl::StatusOr<Dataset> LoadMnist(const DatasetOptions& options) {
  std::vector<std::string> paths = FindMnist(options.root);
  if (std::count(paths.begin(), paths.end(), "") > 0 && options.download) {
    const std::string folder = In(options.root, kMnistFolder);
    ALTPROP_RETURN_IF_ERROR(
        DownloadIfAsked(options, MnistFiles(), MnistUrls(), folder));
    paths.clear();
    for (const RemoteFile& file : MnistFiles()) {
      paths.push_back(FindIdx(folder, file.name));
    }
  }
  for (size_t i = 0; i < paths.size(); ++i) {
    if (paths[i].empty()) {
      return NotFound(options, absl::StripSuffix(MnistFiles()[i].name, ".gz"),
                      MnistFolders());
    }
  }
  absl::StatusOr<ImageSet> train;
  absl::StatusOr<ImageSet> test;
  ParallelFor(2, [&](size_t i) {
    (i == 0 ? train : test) =
        ReadIdxSet(paths[2 * i], paths[2 * i + 1], kMnistClasses);
  });
  Dataset dataset{"mnist", {}, {}};
  ALTPROP_ASSIGN_OR_RETURN(dataset.train, std::move(train));
  ALTPROP_ASSIGN_OR_RETURN(dataset.test, std::move(test));
  ALTPROP_RETURN_IF_ERROR(CheckMnistShape(dataset.train, paths[0]));
  ALTPROP_RETURN_IF_ERROR(CheckMnistShape(dataset.test, paths[2]));
  return dataset;
}

// The folder with the unpacked files, or the archive; empty if neither.
std::string FindCifar(const CifarFormat& format, const std::string& root) {
  for (const std::string& folder : {std::string(), format.folder}) {
    if (IsFile(absl::StrCat(In(root, folder), "/", format.test_file))) {
      return In(root, folder);
    }
  }
  std::string archive = absl::StrCat(root, "/", format.archive);
  return IsFile(archive) ? archive : "";
}

absl::StatusOr<Dataset> LoadCifar(const CifarFormat& format,
                                  const DatasetOptions& options) {
  std::string found = FindCifar(format, options.root);
  if (found.empty() && options.download) {
    ALTPROP_RETURN_IF_ERROR(DownloadIfAsked(options, {CifarFile(format)},
                                            CifarUrls(), options.root));
    found = FindCifar(format, options.root);
  }
  if (found.empty()) {
    return NotFound(options,
                    absl::StrCat(format.test_file, " or ", format.archive),
                    {"", format.folder});
  }
  return IsFile(found) ? ReadCifarArchive(format, found)
                       : ReadCifarFolder(format, found);
}

absl::StatusOr<Dataset> Load(const DatasetOptions& options) {
  if (options.name == "mnist") return LoadMnist(options);
  if (options.name == "cifar10") return LoadCifar(Cifar10(), options);
  return LoadCifar(Cifar100(), options);
}

int64_t Limited(int64_t limit, int64_t size) {
  return limit > 0 ? std::min(limit, size) : size;
}

void Limit(int64_t limit, ImageSet& set) {
  const int64_t size = Limited(limit, set.size());
  if (size == set.size()) return;
  set.images = set.images.narrow(0, 0, size);
  set.labels = set.labels.narrow(0, 0, size);
}

}  // namespace

const std::vector<std::string>& DatasetNames() {
  static const auto* const names =
      new std::vector<std::string>{"glyphs", "mnist", "cifar10", "cifar100"};
  return *names;
}

absl::StatusOr<Dataset> LoadDataset(const DatasetOptions& given) {
  DatasetOptions options = given;
  options.name = absl::AsciiStrToLower(given.name);
  const std::vector<std::string>& names = DatasetNames();
  if (std::count(names.begin(), names.end(), options.name) == 0) {
    return UsageError(absl::StrCat("unknown dataset \"", Printable(given.name),
                                   "\", expected one of ",
                                   absl::StrJoin(names, ", ")));
  }
  if (options.name == "glyphs") {
    return Dataset{"glyphs",
                   DrawGlyphs(options.glyphs_seed, Split::kTrain,
                              Limited(options.limit_train, kGlyphsTrain)),
                   DrawGlyphs(options.glyphs_seed, Split::kTest,
                              Limited(options.limit_test, kGlyphsTest))};
  }
  if (options.root.empty()) {
    return UsageError(absl::StrCat("--data_root: ", options.name,
                                   " needs the folder with its files"));
  }
  ALTPROP_ASSIGN_OR_RETURN(Dataset dataset, Load(options));
  Limit(options.limit_train, dataset.train);
  Limit(options.limit_test, dataset.test);
  return dataset;
}

}  // namespace altprop::data
