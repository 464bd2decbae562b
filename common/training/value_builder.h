// From what a pickle describes to Values with tensors.
#ifndef COMMON_TRAINING_VALUE_BUILDER_H_
#define COMMON_TRAINING_VALUE_BUILDER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/training/pickle_object.h"
#include "common/training/value.h"

namespace altprop::training {

// Where a checkpoint's storages are.
class StorageSource {
 public:
  virtual ~StorageSource() = default;

  // The bytes of the whole storage, uint8 [storage.size * element size].
  virtual absl::StatusOr<at::Tensor> Load(const PickleStorage& storage) = 0;
};

// Builds a tree of Values. Each storage is loaded once, when the first tensor
// that needs it is built, and shared by all of its tensors.
//
// Errors, without the file's name: DataLoss or InvalidArgument, naming the
// entry (`tensor model.fc.weight: ...`), for views outside their storage,
// nesting deeper than 256 (so for cycles), keys that are neither strings nor
// integers, objects that are not data, and more Values than ObjectBudget.
class ValueBuilder {
 public:
  // `pickle_bytes`: the length of the pickle, for the budget.
  ValueBuilder(StorageSource& source, size_t pickle_bytes)
      : source_(source), budget_(ObjectBudget(pickle_bytes)) {}

  absl::StatusOr<Value> Build(const PickleObject& object);

 private:
  struct Loaded {
    at::Tensor bytes;
    c10::ScalarType dtype;
    int64_t size;
  };

  absl::Status Charge(size_t bytes);
  std::string Path() const;
  absl::StatusOr<Value> BuildSequence(const PickleSequence& sequence);
  absl::StatusOr<Value> BuildDict(const PickleDict& dict);
  absl::StatusOr<at::Tensor> BuildTensor(const PickleTensor& tensor);
  absl::StatusOr<at::Tensor> LoadStorage(const PickleStorage& storage);

  StorageSource& source_;
  int64_t budget_;
  std::vector<std::string> path_;  // keys from the root to here
  absl::flat_hash_map<std::string, Loaded> loaded_;
  absl::flat_hash_map<const PickleObject*, at::Tensor> tensors_;
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_VALUE_BUILDER_H_
