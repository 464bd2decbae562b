// What a checkpoint file holds: a tree of dictionaries, lists, tensors, numbers
// and strings, the C++ side of the plain objects that Python's torch.save
// writes.
//
//   Value root(Dict{{"epoch", 3},
//                   {"model", Dict{{"synapses.0.weight", weight}}}});
//   ASSIGN_OR_RETURN(int64_t epoch, root.GetInt("epoch"));
#ifndef COMMON_TRAINING_VALUE_H_
#define COMMON_TRAINING_VALUE_H_

#include <ATen/core/Tensor.h>

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace altprop::training {

class Value;
using List = std::vector<Value>;
// In insertion order. Keys are unique in a value that is written or was read.
using Dict = std::vector<std::pair<std::string, Value>>;
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// A regular type: copies are deep but for tensors, which share their storage.
class Value {
 public:
  Value() = default;                                       // None
  Value(std::same_as<bool> auto value) : value_(value) {}  // NOLINT
  Value(std::integral auto value)                          // NOLINT
      requires(!std::same_as<decltype(value), bool>)
      : value_(static_cast<int64_t>(value)) {}
  Value(std::floating_point auto value)  // NOLINT
      : value_(static_cast<double>(value)) {}
  Value(const char* value) : value_(std::string(value)) {}        // NOLINT
  Value(absl::string_view value) : value_(std::string(value)) {}  // NOLINT
  Value(std::string value) : value_(std::move(value)) {}          // NOLINT
  Value(at::Tensor value) : value_(std::move(value)) {}           // NOLINT
  Value(List value) : value_(std::move(value)) {}                 // NOLINT
  Value(Dict value) : value_(std::move(value)) {}                 // NOLINT

  bool is_none() const {
    return std::holds_alternative<std::monostate>(value_);
  }

  // The held value, or nullptr where this holds another type. No conversions.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&value_); }
  const double* real() const { return std::get_if<double>(&value_); }
  const std::string* string() const {
    return std::get_if<std::string>(&value_);
  }
  const at::Tensor* tensor() const { return std::get_if<at::Tensor>(&value_); }
  const List* list() const { return std::get_if<List>(&value_); }
  const Dict* dict() const { return std::get_if<Dict>(&value_); }

  // "None", "a boolean", "an integer", ..., "a dictionary", for messages.
  absl::string_view TypeName() const;

  // The entry of this dictionary, or nullptr: no such key, or no dictionary.
  const Value* Find(absl::string_view key) const;

  // The entry of this dictionary, as the type. NotFound: `has no "epoch"`;
  // InvalidArgument: `"epoch" is a string, expected an integer`. The caller
  // adds the file's name. GetDouble also takes integers.
  absl::StatusOr<bool> GetBool(absl::string_view key) const;
  absl::StatusOr<int64_t> GetInt(absl::string_view key) const;
  absl::StatusOr<double> GetDouble(absl::string_view key) const;
  absl::StatusOr<std::string> GetString(absl::string_view key) const;
  absl::StatusOr<at::Tensor> GetTensor(absl::string_view key) const;
  absl::StatusOr<const List*> GetList(absl::string_view key) const;
  absl::StatusOr<const Dict*> GetDict(absl::string_view key) const;

  // Same structure, types, keys in the same order, and tensors of one dtype,
  // shape and content, bit for bit (so NaN equals itself, 0.0 is not -0.0).
  friend bool operator==(const Value& a, const Value& b);

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, at::Tensor,
               List, Dict>
      value_;
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_VALUE_H_
