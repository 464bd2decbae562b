#include "common/training/value_builder.h"

#include <ATen/ops/empty.h>
#include <c10/core/ScalarType.h>
#include <c10/core/TensorOptions.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"

namespace altprop::training {
namespace {

constexpr size_t kMaxDepth = 256;
constexpr size_t kMaxDimensions = 64;
// What at::Tensor takes beside its storage, about.
constexpr size_t kTensorBytes = 512;
// A tensor may be larger than its storage (an expanded one), up to this.
constexpr int64_t kMaxExpandedBytes = 1 << 20;

struct View {
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
  int64_t offset;
};

bool ReadIntegers(const PickleObject& object, std::vector<int64_t>& integers) {
  const auto* sequence = object.As<PickleSequence>();
  if (sequence == nullptr || sequence->items.size() > kMaxDimensions) {
    return false;
  }
  for (const PickleObject* item : sequence->items) {
    const auto* integer = item->As<int64_t>();
    if (integer == nullptr || *integer < 0) return false;
    integers.push_back(*integer);
  }
  return true;
}

// sum (sizes - 1) * strides + offset < storage_size, and the number of elements
// representable; both without overflow. Strides of an empty tensor say nothing.
bool IsInside(const View& view, int64_t storage_size, int64_t& elements) {
  int64_t last = view.offset;
  int64_t product = 1;  // of the sizes but for zeros, as PyTorch checks it
  elements = 1;
  for (size_t i = 0; i < view.sizes.size(); ++i) {
    if (__builtin_mul_overflow(product, std::max<int64_t>(view.sizes[i], 1),
                               &product)) {
      return false;
    }
    elements = view.sizes[i] == 0 ? 0 : elements * view.sizes[i];
  }
  if (elements == 0) return view.offset >= 0 && view.offset <= storage_size;
  for (size_t i = 0; i < view.sizes.size(); ++i) {
    int64_t span;
    if (__builtin_mul_overflow(view.sizes[i] - 1, view.strides[i], &span) ||
        __builtin_add_overflow(last, span, &last)) {
      return false;
    }
  }
  return view.offset >= 0 && last < storage_size;
}

void UseContiguousStrides(View& view) {
  int64_t stride = 1;
  for (size_t i = view.sizes.size(); i-- > 0;) {
    view.strides[i] = stride;
    stride *= std::max<int64_t>(view.sizes[i], 1);
  }
}

// The view of `tensor` in a storage of `bytes`, if it lies inside.
absl::StatusOr<View> CheckedView(const PickleTensor& tensor, int64_t bytes) {
  View view{{}, {}, 0};
  const auto item_bytes = static_cast<int64_t>(c10::elementSize(tensor.dtype));
  int64_t elements;
  if (!ReadIntegers(*tensor.sizes, view.sizes) ||
      !ReadIntegers(*tensor.strides, view.strides) ||
      view.sizes.size() != view.strides.size() || tensor.offset < 0 ||
      __builtin_add_overflow(tensor.offset, tensor.storage->offset,
                             &view.offset) ||
      !IsInside(view, bytes / item_bytes, elements)) {
    return absl::DataLossError(
        absl::StrCat("its sizes, strides and offset do not fit its storage of ",
                     bytes, " bytes"));
  }
  if (elements > std::max(bytes, kMaxExpandedBytes) / item_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("expands ", bytes, " bytes to ", elements, " elements"));
  }
  if (elements == 0) UseContiguousStrides(view);
  return view;
}

absl::StatusOr<std::string> KeyText(const PickleObject& key) {
  if (const auto* text = key.As<std::string>()) return *text;
  if (const auto* integer = key.As<int64_t>()) return absl::StrCat(*integer);
  return absl::InvalidArgumentError(
      absl::StrCat("a dictionary's key is ", Describe(key),
                   ", expected a string or an integer"));
}

}  // namespace

absl::Status ValueBuilder::Charge(size_t bytes) {
  budget_ -= static_cast<int64_t>(bytes);
  if (budget_ >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "the pickle repeats its objects too often for its size");
}

std::string ValueBuilder::Path() const {
  return Printable(absl::StrJoin(path_, "."));
}

absl::StatusOr<Value> ValueBuilder::Build(const PickleObject& object) {
  ALTPROP_RETURN_IF_ERROR(Charge(sizeof(Value)));
  if (path_.size() > kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "objects are nested more than ", kMaxDepth, " deep or in a cycle"));
  }
  if (object.As<std::monostate>() != nullptr) return Value();
  if (const auto* value = object.As<bool>()) return Value(*value);
  if (const auto* value = object.As<int64_t>()) return Value(*value);
  if (const auto* value = object.As<double>()) return Value(*value);
  if (const auto* value = object.As<std::string>()) {
    ALTPROP_RETURN_IF_ERROR(Charge(value->size()));
    return Value(*value);
  }
  if (const auto* value = object.As<PickleSequence>()) {
    return BuildSequence(*value);
  }
  if (const auto* value = object.As<PickleDict>()) return BuildDict(*value);
  if (const auto* value = object.As<PickleTensor>()) {
    at::Tensor& tensor = tensors_[&object];
    if (!tensor.defined()) {
      auto built = BuildTensor(*value);
      if (!built.ok()) {
        return Annotate(built.status(), absl::StrCat("tensor ", Path()));
      }
      tensor = *std::move(built);
    }
    return Value(tensor);
  }
  const auto* global = object.As<const PickleGlobal*>();
  if (global != nullptr && (*global)->kind == GlobalKind::kDtype) {
    return Value((*global)->name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Path(), " is ", Describe(object), ", which is not data"));
}

absl::StatusOr<Value> ValueBuilder::BuildSequence(
    const PickleSequence& sequence) {
  List list;
  for (size_t i = 0; i < sequence.items.size(); ++i) {
    path_.push_back(absl::StrCat(i));
    ALTPROP_ASSIGN_OR_RETURN(Value value, Build(*sequence.items[i]));
    list.push_back(std::move(value));
    path_.pop_back();
  }
  return Value(std::move(list));
}

absl::StatusOr<Value> ValueBuilder::BuildDict(const PickleDict& dict) {
  Dict built;
  absl::flat_hash_set<std::string> keys;
  for (const auto& [key, item] : dict.items) {
    ALTPROP_ASSIGN_OR_RETURN(std::string text, KeyText(*key));
    ALTPROP_RETURN_IF_ERROR(Charge(sizeof(std::string) + 2 * text.size()));
    if (!keys.insert(text).second) {
      return absl::DataLossError(
          absl::StrCat("a dictionary has the key ", Printable(text), " twice"));
    }
    path_.push_back(text);
    ALTPROP_ASSIGN_OR_RETURN(Value value, Build(*item));
    built.emplace_back(std::move(text), std::move(value));
    path_.pop_back();
  }
  return Value(std::move(built));
}

absl::StatusOr<at::Tensor> ValueBuilder::BuildTensor(
    const PickleTensor& tensor) {
  ALTPROP_RETURN_IF_ERROR(Charge(kTensorBytes));
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor bytes,
                           LoadStorage(*tensor.storage));
  ALTPROP_ASSIGN_OR_RETURN(const View view, CheckedView(tensor, bytes.numel()));
  return at::empty({0}, at::TensorOptions(tensor.dtype))
      .set_(bytes.storage(), view.offset, view.sizes, view.strides);
}

absl::StatusOr<at::Tensor> ValueBuilder::LoadStorage(
    const PickleStorage& storage) {
  const auto found = loaded_.find(storage.key);
  if (found == loaded_.end()) {
    ALTPROP_ASSIGN_OR_RETURN(at::Tensor bytes, source_.Load(storage));
    loaded_[storage.key] = {bytes, storage.dtype, storage.size};
    return bytes;
  }
  const Loaded& loaded = found->second;
  if (loaded.dtype != storage.dtype || loaded.size != storage.size) {
    return absl::DataLossError(absl::StrCat("its storage ",
                                            Printable(storage.key),
                                            " is given two types or sizes"));
  }
  return loaded.bytes;
}

}  // namespace altprop::training
