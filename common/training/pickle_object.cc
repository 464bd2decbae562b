#include "common/training/pickle_object.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace altprop::training {
namespace {

using c10::ScalarType;

constexpr auto kGlobals = std::to_array<PickleGlobal>({
    {"collections.OrderedDict", GlobalKind::kOrderedDict},
    {"torch.Size", GlobalKind::kSize},
    {"torch.device", GlobalKind::kDevice},
    {"_codecs.encode", GlobalKind::kEncode},
    {"torch._utils._rebuild_tensor", GlobalKind::kRebuildV1},
    {"torch._utils._rebuild_tensor_v2", GlobalKind::kRebuildV2},
    {"torch._utils._rebuild_tensor_v3", GlobalKind::kRebuildV3},
    {"torch._utils._rebuild_parameter", GlobalKind::kRebuildParameter},
    {"torch._utils._rebuild_parameter_with_state",
     GlobalKind::kRebuildParameter},
    {"torch.FloatStorage", GlobalKind::kStorage, ScalarType::Float},
    {"torch.DoubleStorage", GlobalKind::kStorage, ScalarType::Double},
    {"torch.HalfStorage", GlobalKind::kStorage, ScalarType::Half},
    {"torch.BFloat16Storage", GlobalKind::kStorage, ScalarType::BFloat16},
    {"torch.LongStorage", GlobalKind::kStorage, ScalarType::Long},
    {"torch.IntStorage", GlobalKind::kStorage, ScalarType::Int},
    {"torch.ShortStorage", GlobalKind::kStorage, ScalarType::Short},
    {"torch.CharStorage", GlobalKind::kStorage, ScalarType::Char},
    {"torch.ByteStorage", GlobalKind::kStorage, ScalarType::Byte},
    {"torch.BoolStorage", GlobalKind::kStorage, ScalarType::Bool},
    {"torch.ComplexFloatStorage", GlobalKind::kStorage,
     ScalarType::ComplexFloat},
    {"torch.ComplexDoubleStorage", GlobalKind::kStorage,
     ScalarType::ComplexDouble},
    {"torch.storage.UntypedStorage", GlobalKind::kStorage, ScalarType::Byte},
    {"torch.UntypedStorage", GlobalKind::kStorage, ScalarType::Byte},
    {"torch.float32", GlobalKind::kDtype, ScalarType::Float},
    {"torch.float64", GlobalKind::kDtype, ScalarType::Double},
    {"torch.float16", GlobalKind::kDtype, ScalarType::Half},
    {"torch.bfloat16", GlobalKind::kDtype, ScalarType::BFloat16},
    {"torch.int64", GlobalKind::kDtype, ScalarType::Long},
    {"torch.int32", GlobalKind::kDtype, ScalarType::Int},
    {"torch.int16", GlobalKind::kDtype, ScalarType::Short},
    {"torch.int8", GlobalKind::kDtype, ScalarType::Char},
    {"torch.uint8", GlobalKind::kDtype, ScalarType::Byte},
    {"torch.uint16", GlobalKind::kDtype, ScalarType::UInt16},
    {"torch.uint32", GlobalKind::kDtype, ScalarType::UInt32},
    {"torch.uint64", GlobalKind::kDtype, ScalarType::UInt64},
    {"torch.bool", GlobalKind::kDtype, ScalarType::Bool},
    {"torch.complex64", GlobalKind::kDtype, ScalarType::ComplexFloat},
    {"torch.complex128", GlobalKind::kDtype, ScalarType::ComplexDouble},
});

struct Describer {
  std::string operator()(std::monostate) const { return "None"; }
  std::string operator()(bool) const { return "a boolean"; }
  std::string operator()(int64_t) const { return "an integer"; }
  std::string operator()(double) const { return "a number"; }
  std::string operator()(const std::string&) const { return "a string"; }
  std::string operator()(const PickleSequence& sequence) const {
    return sequence.is_tuple ? "a tuple" : "a list";
  }
  std::string operator()(const PickleDict&) const { return "a dictionary"; }
  std::string operator()(const PickleGlobal* global) const {
    return absl::StrCat("the global ", global->name);
  }
  std::string operator()(const PickleStorage& storage) const {
    return absl::StrCat("the storage ", Printable(storage.key));
  }
  std::string operator()(const PickleTensor&) const { return "a tensor"; }
};

}  // namespace

const PickleGlobal* FindGlobal(absl::string_view module,
                               absl::string_view name) {
  for (const PickleGlobal& global : kGlobals) {
    if (global.name.size() == module.size() + 1 + name.size() &&
        global.name.substr(0, module.size()) == module &&
        global.name[module.size()] == '.' &&
        global.name.substr(module.size() + 1) == name) {
      return &global;
    }
  }
  return nullptr;
}

std::string Describe(const PickleObject& object) {
  return std::visit(Describer(), object.value);
}

}  // namespace altprop::training
