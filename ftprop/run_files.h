// Where a run's files go, in what --no-save and --no-tb-log leave of them.

#ifndef FTPROP_RUN_FILES_H_
#define FTPROP_RUN_FILES_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/training/position.h"
#include "common/training/record.h"
#include "common/training/start.h"
#include "ftprop/flags.h"

namespace altprop::ftprop {

// A folder that is gone, with all in it, when the object is.
class TemporaryFolder {
 public:
  static absl::StatusOr<std::unique_ptr<TemporaryFolder>> Create();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// A run's record. With --no-save it works in a temporary folder, so that the
// best weights are there for --test-final-model.
struct RunFiles {
  std::unique_ptr<TemporaryFolder> temporary;  // outlives the record
  std::unique_ptr<training::Record> record;
};

// A run that goes on in another folder takes the best weights so far with it;
// NotFound where --test-final-model needs them and they are gone.
absl::StatusOr<RunFiles> CreateRunFiles(const Options& options,
                                        const training::Start& start,
                                        const training::Position& at,
                                        int64_t batches);

}  // namespace altprop::ftprop

#endif  // FTPROP_RUN_FILES_H_
