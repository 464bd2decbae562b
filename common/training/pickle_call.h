// What the callables of a checkpoint's pickle mean.
#ifndef COMMON_TRAINING_PICKLE_CALL_H_
#define COMMON_TRAINING_PICKLE_CALL_H_

#include "absl/status/statusor.h"
#include "common/training/pickle_object.h"

namespace altprop::training {

// `callee`(*arguments): an OrderedDict, torch.Size, torch.device or bytes, or
// one of torch._utils' functions that describe a tensor. Nothing is called: the
// result is built from the arguments' types and values. InvalidArgument if
// `callee` is not to be called, DataLoss if the arguments do not suit it.
absl::StatusOr<PickleObject> Call(const PickleGlobal& callee,
                                  const PickleSequence& arguments);

// The storage that a persistent id stands for, which is the tuple ("storage",
// type, key, location, size) and in stream files a sixth element, None or
// (key, offset, size) of a part. DataLoss for anything else.
absl::StatusOr<PickleStorage> StorageOf(const PickleObject& persistent_id);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_PICKLE_CALL_H_
