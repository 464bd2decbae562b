// What a pickle describes, before any tensor is read: plain data that may share
// parts or contain itself. ValueBuilder (value_builder.h) makes Values of it.
#ifndef COMMON_TRAINING_PICKLE_OBJECT_H_
#define COMMON_TRAINING_PICKLE_OBJECT_H_

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace altprop::training {

// The module-level names that a checkpoint may use, and what each stands for.
enum class GlobalKind {
  kOrderedDict,
  kSize,
  kDevice,
  kEncode,     // _codecs.encode: how protocol 2 writes bytes
  kDtype,      // torch.float32, ...
  kStorage,    // torch.FloatStorage, ...
  kRebuildV1,  // torch._utils._rebuild_tensor
  kRebuildV2,
  kRebuildV3,
  kRebuildParameter,  // with or without state
};

struct PickleGlobal {
  absl::string_view name;  // "torch.FloatStorage"
  GlobalKind kind;
  // Of kDtype and kStorage. An untyped storage counts bytes: kByte.
  c10::ScalarType dtype = c10::ScalarType::Undefined;
};

// The entry of that name, or nullptr: refused.
const PickleGlobal* FindGlobal(absl::string_view module,
                               absl::string_view name);

struct PickleObject;

// A storage of the file by its key, or a part of it (torch before 0.4).
struct PickleStorage {
  std::string key;  // kMaxKeyBytes at most
  c10::ScalarType dtype;
  int64_t size;        // of the whole, in elements, >= 0
  int64_t offset = 0;  // of the part, in elements, in [0, size]
};

// A view of a storage, as the file has it: nothing but the types is checked.
struct PickleTensor {
  const PickleStorage* storage;
  c10::ScalarType dtype;        // the storage's, unless that is untyped
  int64_t offset;               // from the storage's part, in elements
  const PickleObject* sizes;    // a tuple
  const PickleObject* strides;  // a tuple
};

struct PickleSequence {
  bool is_tuple;
  std::vector<PickleObject*> items;
};

struct PickleDict {
  std::vector<std::pair<PickleObject*, PickleObject*>> items;
};

struct PickleObject {
  std::variant<std::monostate, bool, int64_t, double, std::string,
               PickleSequence, PickleDict, const PickleGlobal*, PickleStorage,
               PickleTensor>
      value;

  template <typename T>
  const T* As() const {
    return std::get_if<T>(&value);
  }
  template <typename T>
  T* As() {
    return std::get_if<T>(&value);
  }
};

inline constexpr size_t kMaxKeyBytes = 64;

// How much memory the objects (or Values) of a pickle may take, in bytes. Files
// that are not hostile stay far below: they hardly repeat themselves.
constexpr int64_t ObjectBudget(size_t pickle_bytes) {
  return std::min<int64_t>(
      (16 << 20) + 256 * static_cast<int64_t>(pickle_bytes), 1 << 30);
}

// "a dictionary", "a tuple", "the global torch.Size", ..., for messages.
std::string Describe(const PickleObject& object);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_PICKLE_OBJECT_H_
