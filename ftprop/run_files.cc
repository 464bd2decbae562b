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

// The best weights so far of the run that goes on, which lie beside its
// checkpoint; "" where there are none yet, or no use for them.
absl::StatusOr<std::string> BestSoFar(const Options& options,
                                      const training::Start& start,
                                      const training::Position& at) {
  if (!start.resumes() || at.best_epoch == 0 || !options.data.validation) {
    return "";
  }
  const fs::path file = fs::path(start.file).parent_path() / "best.pt";
  std::error_code error;
  if (fs::exists(file, error)) return file.string();
  if (!options.test_final_model) return "";
  // Told now, not after the last epoch.
  return absl::NotFoundError(
      absl::StrCat(file.string(),
                   ": not there; --test-final-model needs it, the weights of "
                   "epoch ",
                   at.best_epoch, ", the best so far"));
}

// Into a run that goes on in another folder; whole or not at all.
absl::Status BringAlong(const std::string& best, const std::string& to) {
  std::error_code error;
  if (best.empty() || fs::equivalent(best, to, error)) return absl::OkStatus();
  const std::string copy = to + ".tmp";
  fs::copy_file(best, copy, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(copy, to, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(),
                             absl::StrCat(best, ": cannot copy to ", to));
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
  ALTPROP_ASSIGN_OR_RETURN(const std::string best,
                           BestSoFar(options, start, at));
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
  ALTPROP_RETURN_IF_ERROR(BringAlong(best, files.record->File("best.pt")));
  if (!options.tensorboard) RemoveEventFiles(files.record->path());
  return files;
}

}  // namespace altprop::ftprop
