#include "common/training/pickle_call.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace altprop::training {
namespace {

using Result = absl::StatusOr<PickleObject>;

absl::Status Unsuitable(const PickleGlobal& callee) {
  return absl::DataLossError(absl::StrCat("the arguments of ", callee.name,
                                          " are not what torch writes"));
}

const PickleSequence* Tuple(const PickleObject& object) {
  const auto* sequence = object.As<PickleSequence>();
  return sequence != nullptr && sequence->is_tuple ? sequence : nullptr;
}

// OrderedDict(), or from Python 2: OrderedDict([[key, value], ...]).
Result MakeDict(const PickleGlobal& callee, const PickleSequence& arguments) {
  PickleDict dict;
  if (arguments.items.size() > 1) return Unsuitable(callee);
  if (arguments.items.size() == 1) {
    const auto* pairs = arguments.items[0]->As<PickleSequence>();
    if (pairs == nullptr) return Unsuitable(callee);
    for (PickleObject* item : pairs->items) {
      const auto* pair = item->As<PickleSequence>();
      if (pair == nullptr || pair->items.size() != 2) return Unsuitable(callee);
      dict.items.emplace_back(pair->items[0], pair->items[1]);
    }
  }
  return PickleObject{std::move(dict)};
}

Result MakeSize(const PickleGlobal& callee, const PickleSequence& arguments) {
  if (arguments.items.size() != 1) return Unsuitable(callee);
  const auto* sizes = arguments.items[0]->As<PickleSequence>();
  if (sizes == nullptr) return Unsuitable(callee);
  return PickleObject{PickleSequence{true, sizes->items}};
}

// device("cuda", 0) -> "cuda:0".
Result MakeDevice(const PickleGlobal& callee, const PickleSequence& arguments) {
  const auto& items = arguments.items;
  if (items.empty() || items.size() > 2) return Unsuitable(callee);
  const auto* type = items[0]->As<std::string>();
  if (type == nullptr) return Unsuitable(callee);
  if (items.size() == 1) return PickleObject{*type};
  const auto* index = items[1]->As<int64_t>();
  if (index == nullptr) return Unsuitable(callee);
  return PickleObject{absl::StrCat(*type, ":", *index)};
}

// encode(u"...", "latin1"): every code point is a byte. In UTF-8 those from 128
// to 255 are 0xC2 or 0xC3 and a continuation byte.
Result MakeBytes(const PickleGlobal& callee, const PickleSequence& arguments) {
  const auto& items = arguments.items;
  if (items.size() != 2) return Unsuitable(callee);
  const auto* text = items[0]->As<std::string>();
  const auto* codec = items[1]->As<std::string>();
  if (text == nullptr || codec == nullptr || *codec != "latin1") {
    return Unsuitable(callee);
  }
  std::string bytes;
  for (size_t i = 0; i < text->size(); ++i) {
    uint8_t byte = static_cast<uint8_t>((*text)[i]);
    if (byte >= 0x80) {
      if ((byte & 0xFE) != 0xC2 || ++i == text->size()) {
        return Unsuitable(callee);
      }
      byte = static_cast<uint8_t>((byte << 6) |
                                  (static_cast<uint8_t>((*text)[i]) & 0x3F));
    }
    bytes.push_back(static_cast<char>(byte));
  }
  return PickleObject{std::move(bytes)};
}

// (storage, offset, sizes, strides[, requires_grad, hooks[, metadata]]) and, in
// version 3, (..., requires_grad, hooks, dtype[, metadata]). Metadata holds the
// conjugate and negative bits of a lazy view; such a tensor is refused.
Result MakeTensor(const PickleGlobal& callee, const PickleSequence& arguments) {
  const auto& items = arguments.items;
  const bool has_dtype = callee.kind == GlobalKind::kRebuildV3;
  const size_t metadata = has_dtype ? 7 : 6;
  if (items.size() < (has_dtype ? 7 : 4) || items.size() > metadata + 1) {
    return Unsuitable(callee);
  }
  const auto* storage = items[0]->As<PickleStorage>();
  const auto* offset = items[1]->As<int64_t>();
  if (storage == nullptr || offset == nullptr || Tuple(*items[2]) == nullptr ||
      Tuple(*items[3]) == nullptr) {
    return Unsuitable(callee);
  }
  PickleTensor tensor{storage, storage->dtype, *offset, items[2], items[3]};
  if (has_dtype) {
    const auto* dtype = items[6]->As<const PickleGlobal*>();
    if (dtype == nullptr || (*dtype)->kind != GlobalKind::kDtype) {
      return Unsuitable(callee);
    }
    tensor.dtype = (*dtype)->dtype;
  }
  if (items.size() > metadata) {
    const auto* bits = items[metadata]->As<PickleDict>();
    if (items[metadata]->As<std::monostate>() == nullptr &&
        (bits == nullptr || !bits->items.empty())) {
      return absl::InvalidArgumentError(
          "a tensor with metadata (conjugate or negative bit) is not read");
    }
  }
  return PickleObject{tensor};
}

// (data, requires_grad, hooks[, state]): the data.
Result MakeParameter(const PickleGlobal& callee,
                     const PickleSequence& arguments) {
  const auto& items = arguments.items;
  if (items.size() < 3 || items.size() > 4) return Unsuitable(callee);
  const auto* data = items[0]->As<PickleTensor>();
  if (data == nullptr) return Unsuitable(callee);
  return PickleObject{*data};
}

// Narrows `storage` to the part (key, offset, size).
bool TakePart(const PickleObject& part, PickleStorage& storage) {
  if (part.As<std::monostate>() != nullptr) return true;
  const PickleSequence* tuple = Tuple(part);
  if (tuple == nullptr || tuple->items.size() != 3) return false;
  const auto* offset = tuple->items[1]->As<int64_t>();
  const auto* size = tuple->items[2]->As<int64_t>();
  if (offset == nullptr || size == nullptr || *offset < 0 || *size < 0 ||
      *offset > storage.size || *size > storage.size - *offset) {
    return false;
  }
  storage.offset = *offset;
  return true;
}

}  // namespace

Result Call(const PickleGlobal& callee, const PickleSequence& arguments) {
  switch (callee.kind) {
    case GlobalKind::kOrderedDict:
      return MakeDict(callee, arguments);
    case GlobalKind::kSize:
      return MakeSize(callee, arguments);
    case GlobalKind::kDevice:
      return MakeDevice(callee, arguments);
    case GlobalKind::kEncode:
      return MakeBytes(callee, arguments);
    case GlobalKind::kRebuildV1:
    case GlobalKind::kRebuildV2:
    case GlobalKind::kRebuildV3:
      return MakeTensor(callee, arguments);
    case GlobalKind::kRebuildParameter:
      return MakeParameter(callee, arguments);
    case GlobalKind::kDtype:
    case GlobalKind::kStorage:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the pickle calls ", callee.name, ", which is not data"));
}

absl::StatusOr<PickleStorage> StorageOf(const PickleObject& persistent_id) {
  const absl::Status damaged =
      absl::DataLossError("a persistent id of the pickle is not a storage's");
  const PickleSequence* tuple = Tuple(persistent_id);
  if (tuple == nullptr || tuple->items.size() < 5 || tuple->items.size() > 6) {
    return damaged;
  }
  const auto& items = tuple->items;
  const auto* tag = items[0]->As<std::string>();
  const auto* type = items[1]->As<const PickleGlobal*>();
  const auto* key = items[2]->As<std::string>();
  const auto* size = items[4]->As<int64_t>();
  if (tag == nullptr || *tag != "storage" || type == nullptr ||
      (*type)->kind != GlobalKind::kStorage || key == nullptr ||
      key->size() > kMaxKeyBytes || size == nullptr || *size < 0) {
    return damaged;
  }
  PickleStorage storage{*key, (*type)->dtype, *size};
  if (items.size() == 6 && !TakePart(*items[5], storage)) return damaged;
  return storage;
}

}  // namespace altprop::training
