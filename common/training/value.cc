#include "common/training/value.h"

#include <ATen/core/Tensor.h>

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace altprop::training {
namespace {

struct Namer {
  absl::string_view operator()(std::monostate) const { return "None"; }
  absl::string_view operator()(bool) const { return "a boolean"; }
  absl::string_view operator()(int64_t) const { return "an integer"; }
  absl::string_view operator()(double) const { return "a number"; }
  absl::string_view operator()(const std::string&) const { return "a string"; }
  absl::string_view operator()(const at::Tensor&) const { return "a tensor"; }
  absl::string_view operator()(const List&) const { return "a list"; }
  absl::string_view operator()(const Dict&) const { return "a dictionary"; }
};

struct Comparer {
  bool operator()(std::monostate, std::monostate) const { return true; }
  bool operator()(double a, double b) const {
    return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
  }
  bool operator()(const at::Tensor& a, const at::Tensor& b) const {
    if (!a.defined() || !b.defined()) return a.defined() == b.defined();
    if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) {
      return false;
    }
    const at::Tensor x = a.cpu().contiguous();
    const at::Tensor y = b.cpu().contiguous();
    return x.nbytes() == 0 ||
           std::memcmp(x.data_ptr(), y.data_ptr(), x.nbytes()) == 0;
  }
  template <typename T>
  bool operator()(const T& a, const T& b) const {
    return a == b;
  }
  template <typename T, typename U>
  bool operator()(const T&, const U&) const {
    return false;
  }
};

absl::StatusOr<const Value*> Require(const Value& value,
                                     absl::string_view key) {
  if (value.dict() == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "is ", value.TypeName(), ", expected a dictionary with \"", key, "\""));
  }
  const Value* found = value.Find(key);
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("has no \"", key, "\""));
  }
  return found;
}

absl::Status WrongType(absl::string_view key, const Value& found,
                       absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", key, "\" is ", found.TypeName(), ", expected ", expected));
}

// The entry through `accessor`, which gives nullptr for another type.
template <typename T>
absl::StatusOr<const T*> GetAs(const Value& value, absl::string_view key,
                               const T* (Value::*accessor)() const,
                               absl::string_view expected) {
  ALTPROP_ASSIGN_OR_RETURN(const Value* const found, Require(value, key));
  const T* held = (found->*accessor)();
  if (held == nullptr) return WrongType(key, *found, expected);
  return held;
}

}  // namespace

absl::string_view Value::TypeName() const {
  return std::visit(Namer(), value_);
}

const Value* Value::Find(absl::string_view key) const {
  if (dict() == nullptr) return nullptr;
  for (const auto& [name, value] : *dict()) {
    if (name == key) return &value;
  }
  return nullptr;
}

absl::StatusOr<bool> Value::GetBool(absl::string_view key) const {
  ALTPROP_ASSIGN_OR_RETURN(
      const bool* const held,
      GetAs<bool>(*this, key, &Value::boolean, "a boolean"));
  return *held;
}

absl::StatusOr<int64_t> Value::GetInt(absl::string_view key) const {
  ALTPROP_ASSIGN_OR_RETURN(
      const int64_t* const held,
      GetAs<int64_t>(*this, key, &Value::integer, "an integer"));
  return *held;
}

absl::StatusOr<double> Value::GetDouble(absl::string_view key) const {
  ALTPROP_ASSIGN_OR_RETURN(const Value* const found, Require(*this, key));
  if (found->real() != nullptr) return *found->real();
  if (found->integer() != nullptr) {
    return static_cast<double>(*found->integer());
  }
  return WrongType(key, *found, "a number");
}

absl::StatusOr<std::string> Value::GetString(absl::string_view key) const {
  ALTPROP_ASSIGN_OR_RETURN(
      const std::string* const held,
      GetAs<std::string>(*this, key, &Value::string, "a string"));
  return *held;
}

absl::StatusOr<at::Tensor> Value::GetTensor(absl::string_view key) const {
  ALTPROP_ASSIGN_OR_RETURN(
      const at::Tensor* const held,
      GetAs<at::Tensor>(*this, key, &Value::tensor, "a tensor"));
  return *held;
}

absl::StatusOr<const List*> Value::GetList(absl::string_view key) const {
  return GetAs<List>(*this, key, &Value::list, "a list");
}

absl::StatusOr<const Dict*> Value::GetDict(absl::string_view key) const {
  return GetAs<Dict>(*this, key, &Value::dict, "a dictionary");
}

bool operator==(const Value& a, const Value& b) {
  return std::visit(Comparer(), a.value_, b.value_);
}

}  // namespace altprop::training
