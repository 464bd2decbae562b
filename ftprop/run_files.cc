#include "ftprop/run_files.h"

#include <cstdlib>
#include <filesystem>  // NOLINT(build/c++17)
#include <system_error>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace altprop::ftprop {
namespace {

namespace fs = std::filesystem;

// The record's event file keeps its open handle; nothing of it stays.
void RemoveEventFiles(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (absl::StartsWith(entry.path().filename().string(),
                         "events.out.tfevents.")) {
      fs::remove(entry.path(), error);
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<TemporaryFolder>> TemporaryFolder::Create() {
  std::error_code error;
  const fs::path parent = fs::temp_directory_path(error);
  if (error) {
    return absl::NotFoundError(
        absl::StrCat("--no-save: no temporary folder: ", error.message()));
  }
  std::string name = (parent / "ftprop-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    return absl::PermissionDeniedError(
        absl::StrCat("--no-save: cannot make ", name));
  }
  return absl::WrapUnique(new TemporaryFolder(std::move(name)));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

absl::StatusOr<RunFiles> CreateRunFiles(const Options& options,
                                        const training::Start& start,
                                        const training::Position& at,
                                        int64_t batches) {
  RunFiles files;
  training::RecordOptions record;
  record.directory.method = "ftprop";
  record.directory.name = options.run_name;
  record.directory.flags = cli::FlagValues(FtpropProgram("//ftprop:train"));
  record.directory.resumed_from = start.file;
  if (!options.save) {
    ALTPROP_ASSIGN_OR_RETURN(files.temporary, TemporaryFolder::Create());
    record.directory.path = files.temporary->path() + "/run";
  }
  record.title =
      absl::StrCat("Feasible target propagation: ",
                   std::string(ArchitectureName(options.spec.architecture)),
                   " on ", options.data.spec.name);
  record.subtitle =
      "Friesen & Domingos 2018, Deep Learning as a Mixed Convex-Combinatorial "
      "Optimization Problem";
  record.epochs = options.epochs;
  record.batches = batches;
  record.top5 = true;
  ALTPROP_ASSIGN_OR_RETURN(
      files.record,
      training::Record::Create(std::move(record), options.run, at));
  if (!options.tensorboard) RemoveEventFiles(files.record->path());
  return files;
}

}  // namespace altprop::ftprop
