// What a run starts from: nothing, weights of another run, or a checkpoint that
// it goes on from.
#ifndef COMMON_TRAINING_START_H_
#define COMMON_TRAINING_START_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cli/parse.h"
#include "common/training/checkpoint.h"
#include "common/training/optimizer.h"
#include "common/training/value.h"

namespace altprop::training {

// The checkpoint to go on from, or nothing (a None value, an empty name).
struct Start {
  std::string file;
  Value checkpoint;

  bool resumes() const { return !file.empty(); }
};

// Reads `file`; "" gives a start from nothing.
absl::StatusOr<Start> ReadStart(const std::string& file);

// Sets the flags that the checkpoint holds ("flags") to its values, but for
// those given on the command line and those in `fresh`. Does nothing for a
// start from nothing. Errors name the file.
absl::Status RestoreFlags(const Start& start,
                          const cli::ParsedArguments& arguments,
                          const std::vector<std::string>& fresh = {});

// The weights in `file`: "model" of a checkpoint, or all of a .safetensors
// file, as a dictionary.
absl::StatusOr<Value> ReadWeights(const std::string& file);

// Fills `model` from the checkpoint, or else from the file `init_from` where
// that is not empty. Names and shapes must agree (CopyParameters).
absl::Status LoadModel(const Start& start, const std::string& init_from,
                       const NamedTensors& model);

// Fills the optimizer's moments and step count from the checkpoint's
// "optimizer"; leaves them for a start from nothing.
absl::Status LoadOptimizer(const Start& start, Optimizer& optimizer);

// {"name": tensor, ...}: a checkpoint's "model".
Dict ModelDict(const NamedTensors& model);

// {"flag": "text", ...}: a checkpoint's "flags".
Dict FlagDict(const std::vector<std::pair<std::string, std::string>>& flags);

// Writes `root` to `path`, but not where one of `model` is not finite: the good
// checkpoint that is there then stays. `step` is for the message.
absl::Status SaveFinite(const std::string& path, const NamedTensors& model,
                        int64_t step, const Value& root);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_START_H_
