#include "common/training/unpickler.h"

#include <bit>
#include <cstring>
#include <limits>
#include <sstream>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/numeric/int128.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/training/pickle_call.h"
#include "common/training/pickle_opcodes.h"

namespace altprop::training {
namespace {

// Memory of an object beside its place in the arena.
struct Weigher {
  int64_t operator()(const std::string& text) const {
    return static_cast<int64_t>(text.size());
  }
  int64_t operator()(const PickleSequence& sequence) const {
    return static_cast<int64_t>(sequence.items.size() * sizeof(void*));
  }
  int64_t operator()(const PickleDict& dict) const {
    return static_cast<int64_t>(dict.items.size() * 2 * sizeof(void*));
  }
  int64_t operator()(const PickleStorage& storage) const {
    return static_cast<int64_t>(storage.key.size());
  }
  int64_t operator()(const auto&) const { return 0; }
};

// Little-endian two's complement of up to 16 bytes.
absl::int128 DecodeLong(absl::string_view bytes) {
  absl::uint128 value =
      !bytes.empty() && (bytes.back() & 0x80) != 0 ? ~absl::uint128(0) : 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    value = (value << 8) | static_cast<uint8_t>(bytes[i]);
  }
  return static_cast<absl::int128>(value);
}

PickleObject IntegerObject(absl::int128 value) {
  if (value >= std::numeric_limits<int64_t>::min() &&
      value <= std::numeric_limits<int64_t>::max()) {
    return PickleObject{static_cast<int64_t>(value)};
  }
  std::ostringstream digits;
  digits << value;
  return PickleObject{digits.str()};
}

}  // namespace

absl::Status Unpickler::Damaged(absl::string_view what) const {
  return absl::DataLossError(
      absl::StrCat("the pickle is damaged: ", what, ", at byte ", position_));
}

absl::StatusOr<const PickleObject*> Unpickler::Next() {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (true) {
    ALTPROP_ASSIGN_OR_RETURN(const uint8_t code, TakeNumber<uint8_t>());
    if (code == opcode::kStop) break;
    ALTPROP_RETURN_IF_ERROR(Step(code));
  }
  if (stack_.size() != 1 || !marks_.empty()) {
    return Damaged("it ends with other than one object");
  }
  return stack_[0];
}

absl::Status Unpickler::Step(uint8_t code) {
  switch (code) {
    case opcode::kProto: {
      ALTPROP_ASSIGN_OR_RETURN(const uint8_t version, TakeNumber<uint8_t>());
      return version <= 5 ? absl::OkStatus()
                          : absl::InvalidArgumentError(absl::StrCat(
                                "pickle protocol ", version, " is not read"));
    }
    case opcode::kFrame:
      return Take(sizeof(uint64_t)).status();
    case opcode::kNone:
      return Push({std::monostate()});
    case opcode::kTrue:
      return Push({true});
    case opcode::kFalse:
      return Push({false});
    case opcode::kBinInt:
      return PushInteger<int32_t>();
    case opcode::kBinInt1:
      return PushInteger<uint8_t>();
    case opcode::kBinInt2:
      return PushInteger<uint16_t>();
    case opcode::kLong1:
      return PushLong<uint8_t>();
    case opcode::kLong4:
      return PushLong<uint32_t>();
    case opcode::kBinFloat:
      return PushFloat();
    case opcode::kShortBinUnicode:
    case opcode::kShortBinString:
    case opcode::kShortBinBytes:
      return PushString<uint8_t>();
    case opcode::kBinUnicode:
    case opcode::kBinString:
    case opcode::kBinBytes:
      return PushString<uint32_t>();
    case opcode::kBinUnicode8:
    case opcode::kBinBytes8:
      return PushString<uint64_t>();
    default:
      return StepContainer(code);
  }
}

absl::Status Unpickler::StepContainer(uint8_t code) {
  switch (code) {
    case opcode::kMark:
      marks_.push_back(stack_.size());
      return absl::OkStatus();
    case opcode::kEmptyList:
      return Push({PickleSequence{false, {}}});
    case opcode::kEmptyDict:
      return Push({PickleDict()});
    case opcode::kEmptyTuple:
      return PushTuple(0);
    case opcode::kTuple1:
      return PushTuple(1);
    case opcode::kTuple2:
      return PushTuple(2);
    case opcode::kTuple3:
      return PushTuple(3);
    case opcode::kTuple: {
      ALTPROP_ASSIGN_OR_RETURN(Items items, PopToMark());
      return Push({PickleSequence{true, std::move(items)}});
    }
    case opcode::kAppend: {
      ALTPROP_ASSIGN_OR_RETURN(PickleObject* const item, Pop());
      return Extend({item});
    }
    case opcode::kAppends: {
      ALTPROP_ASSIGN_OR_RETURN(const Items items, PopToMark());
      return Extend(items);
    }
    case opcode::kSetItem: {
      ALTPROP_ASSIGN_OR_RETURN(PickleObject* const value, Pop());
      ALTPROP_ASSIGN_OR_RETURN(PickleObject* const key, Pop());
      return SetItems({key, value});
    }
    case opcode::kSetItems: {
      ALTPROP_ASSIGN_OR_RETURN(const Items items, PopToMark());
      return SetItems(items);
    }
    default:
      return StepMemo(code);
  }
}

absl::Status Unpickler::StepMemo(uint8_t code) {
  switch (code) {
    case opcode::kBinPut: {
      ALTPROP_ASSIGN_OR_RETURN(const uint8_t index, TakeNumber<uint8_t>());
      return Remember(index);
    }
    case opcode::kLongBinPut: {
      ALTPROP_ASSIGN_OR_RETURN(const uint32_t index, TakeNumber<uint32_t>());
      return Remember(index);
    }
    case opcode::kMemoize:
      return Remember(static_cast<uint32_t>(memo_.size()));
    case opcode::kBinGet: {
      ALTPROP_ASSIGN_OR_RETURN(const uint8_t index, TakeNumber<uint8_t>());
      return Recall(index);
    }
    case opcode::kLongBinGet: {
      ALTPROP_ASSIGN_OR_RETURN(const uint32_t index, TakeNumber<uint32_t>());
      return Recall(index);
    }
    default:
      return StepObject(code);
  }
}

absl::Status Unpickler::StepObject(uint8_t code) {
  switch (code) {
    case opcode::kGlobal: {
      ALTPROP_ASSIGN_OR_RETURN(const absl::string_view module, TakeLine());
      ALTPROP_ASSIGN_OR_RETURN(const absl::string_view name, TakeLine());
      return PushGlobal(module, name);
    }
    case opcode::kStackGlobal: {
      ALTPROP_ASSIGN_OR_RETURN(PickleObject* const name, Pop());
      ALTPROP_ASSIGN_OR_RETURN(PickleObject* const module, Pop());
      const auto* name_text = name->As<std::string>();
      const auto* module_text = module->As<std::string>();
      if (name_text == nullptr || module_text == nullptr) {
        return Damaged("a global's name is not a string");
      }
      return PushGlobal(*module_text, *name_text);
    }
    case opcode::kReduce:
      return Reduce();
    case opcode::kBuild:
      return Build();
    case opcode::kBinPersId:
      return LoadStorage();
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("the pickle uses the opcode ", OpcodeName(code),
                       " at byte ", position_ - 1, ", which is not read"));
  }
}

absl::StatusOr<absl::string_view> Unpickler::Take(uint64_t length) {
  if (length > bytes_.size() - position_) return Damaged("it ends too early");
  const absl::string_view taken = bytes_.substr(position_, length);
  position_ += length;
  return taken;
}

absl::StatusOr<absl::string_view> Unpickler::TakeLine() {
  const size_t end = bytes_.find('\n', position_);
  if (end == absl::string_view::npos) return Damaged("it ends too early");
  const absl::string_view line = bytes_.substr(position_, end - position_);
  position_ = end + 1;
  return line;
}

template <typename T>
absl::StatusOr<T> Unpickler::TakeNumber() {
  static_assert(std::endian::native == std::endian::little);
  ALTPROP_ASSIGN_OR_RETURN(const absl::string_view bytes, Take(sizeof(T)));
  T number;
  std::memcpy(&number, bytes.data(), sizeof(T));
  return number;
}

absl::Status Unpickler::Push(PickleObject object) {
  budget_ -= static_cast<int64_t>(sizeof(PickleObject)) +
             std::visit(Weigher(), object.value);
  if (budget_ < 0) {
    return absl::InvalidArgumentError(
        "the pickle describes too many objects for its size");
  }
  stack_.push_back(&objects_.emplace_back(std::move(object)));
  return absl::OkStatus();
}

absl::StatusOr<PickleObject*> Unpickler::Top() {
  if (stack_.empty() || (!marks_.empty() && marks_.back() == stack_.size())) {
    return Damaged("an object is missing");
  }
  return stack_.back();
}

absl::StatusOr<PickleObject*> Unpickler::Pop() {
  ALTPROP_ASSIGN_OR_RETURN(PickleObject* const top, Top());
  stack_.pop_back();
  return top;
}

absl::StatusOr<Unpickler::Items> Unpickler::PopToMark() {
  if (marks_.empty()) return Damaged("a mark is missing");
  const auto begin =
      stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  Items items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

template <typename T>
absl::Status Unpickler::PushInteger() {
  ALTPROP_ASSIGN_OR_RETURN(const T number, TakeNumber<T>());
  return Push({static_cast<int64_t>(number)});
}

template <typename T>
absl::Status Unpickler::PushLong() {
  ALTPROP_ASSIGN_OR_RETURN(const T length, TakeNumber<T>());
  ALTPROP_ASSIGN_OR_RETURN(const absl::string_view bytes, Take(length));
  if (bytes.size() > sizeof(absl::int128)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the pickle has an integer of ", bytes.size(),
                     " bytes, expected at ", "most ", sizeof(absl::int128)));
  }
  return Push(IntegerObject(DecodeLong(bytes)));
}

template <typename T>
absl::Status Unpickler::PushString() {
  ALTPROP_ASSIGN_OR_RETURN(const T length, TakeNumber<T>());
  ALTPROP_ASSIGN_OR_RETURN(const absl::string_view text, Take(length));
  return Push({std::string(text)});
}

absl::Status Unpickler::PushFloat() {
  ALTPROP_ASSIGN_OR_RETURN(const uint64_t bits, TakeNumber<uint64_t>());
  return Push({std::bit_cast<double>(__builtin_bswap64(bits))});
}

absl::Status Unpickler::PushGlobal(absl::string_view module,
                                   absl::string_view name) {
  const PickleGlobal* global = FindGlobal(module, name);
  if (global == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the pickle names the global ",
                     Printable(absl::StrCat(module, ".", name), 100),
                     ", which is not data"));
  }
  return Push({global});
}

absl::Status Unpickler::PushTuple(size_t length) {
  PickleSequence tuple{true, Items(length)};
  for (size_t i = length; i-- > 0;) {
    ALTPROP_ASSIGN_OR_RETURN(tuple.items[i], Pop());
  }
  return Push({std::move(tuple)});
}

absl::Status Unpickler::Extend(const Items& items) {
  ALTPROP_ASSIGN_OR_RETURN(PickleObject* const top, Top());
  auto* list = top->As<PickleSequence>();
  if (list == nullptr || list->is_tuple) {
    return Damaged(absl::StrCat("it appends to ", Describe(*top)));
  }
  list->items.insert(list->items.end(), items.begin(), items.end());
  return absl::OkStatus();
}

absl::Status Unpickler::SetItems(const Items& items) {
  ALTPROP_ASSIGN_OR_RETURN(PickleObject* const top, Top());
  auto* dict = top->As<PickleDict>();
  if (dict == nullptr || items.size() % 2 != 0) {
    return Damaged(absl::StrCat("it sets items of ", Describe(*top)));
  }
  for (size_t i = 0; i < items.size(); i += 2) {
    dict->items.emplace_back(items[i], items[i + 1]);
  }
  return absl::OkStatus();
}

absl::Status Unpickler::Remember(uint32_t index) {
  ALTPROP_ASSIGN_OR_RETURN(memo_[index], Top());
  return absl::OkStatus();
}

absl::Status Unpickler::Recall(uint32_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end() || found->second == nullptr) {
    return Damaged(absl::StrCat("object ", index, " is not remembered"));
  }
  stack_.push_back(found->second);
  return absl::OkStatus();
}

// An OrderedDict with attributes: state_dict()'s _metadata, which is dropped.
absl::Status Unpickler::Build() {
  ALTPROP_ASSIGN_OR_RETURN(PickleObject* const state, Pop());
  ALTPROP_ASSIGN_OR_RETURN(PickleObject* const top, Top());
  if (top->As<PickleDict>() == nullptr || state->As<PickleDict>() == nullptr) {
    return Damaged(absl::StrCat("it sets attributes of ", Describe(*top)));
  }
  return absl::OkStatus();
}

absl::Status Unpickler::LoadStorage() {
  ALTPROP_ASSIGN_OR_RETURN(PickleObject* const id, Pop());
  ALTPROP_ASSIGN_OR_RETURN(PickleStorage storage, StorageOf(*id));
  ALTPROP_RETURN_IF_ERROR(Push({std::move(storage)}));
  storages_.push_back(stack_.back()->As<PickleStorage>());
  return absl::OkStatus();
}

absl::Status Unpickler::Reduce() {
  ALTPROP_ASSIGN_OR_RETURN(PickleObject* const arguments, Pop());
  ALTPROP_ASSIGN_OR_RETURN(PickleObject* const callee, Pop());
  const auto* global = callee->As<const PickleGlobal*>();
  const auto* tuple = arguments->As<PickleSequence>();
  if (global == nullptr || tuple == nullptr || !tuple->is_tuple) {
    return Damaged(absl::StrCat("it calls ", Describe(*callee)));
  }
  ALTPROP_ASSIGN_OR_RETURN(PickleObject result, Call(**global, *tuple));
  return Push(std::move(result));
}

}  // namespace altprop::training
