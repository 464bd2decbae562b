#include "common/training/safetensors.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/ScalarType.h>
#include <c10/core/TensorOptions.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/training/atomic_file.h"
#include "common/training/input_file.h"
#include "common/training/utf8.h"

namespace altprop::training {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr absl::string_view kMetadata = "__metadata__";
constexpr uint64_t kMaxHeader = 100'000'000;
constexpr size_t kMaxDimensions = 64;

struct NamedType {
  absl::string_view name;
  at::ScalarType type;
};

constexpr auto kTypes = std::to_array<NamedType>({
    {"BOOL", at::kBool},
    {"U8", at::kByte},
    {"I8", at::kChar},
    {"I16", at::kShort},
    {"U16", at::kUInt16},
    {"I32", at::kInt},
    {"U32", at::kUInt32},
    {"I64", at::kLong},
    {"U64", at::kUInt64},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"F32", at::kFloat},
    {"F64", at::kDouble},
});

absl::string_view NameOf(at::ScalarType type) {
  for (const NamedType& named : kTypes) {
    if (named.type == type) return named.name;
  }
  return "";
}

std::optional<at::ScalarType> TypeOf(absl::string_view name) {
  for (const NamedType& named : kTypes) {
    if (named.name == name) return named.type;
  }
  return std::nullopt;
}

absl::Status CheckNames(const NamedTensors& tensors) {
  absl::flat_hash_set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (!IsUtf8(name) || name == kMetadata || !names.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("the tensor name ", Printable(name),
                       " is there twice, reserved or not UTF-8"));
    }
    if (!tensor.defined() || tensor.layout() != at::kStrided ||
        NameOf(tensor.scalar_type()).empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the tensor ", Printable(name),
                       " has a type without a name in ", "safetensors"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<OrderedJson> MetadataJson(const Metadata& metadata) {
  Metadata sorted = metadata;
  std::sort(sorted.begin(), sorted.end());
  OrderedJson json = OrderedJson::object();
  for (const auto& [key, text] : sorted) {
    if (!IsUtf8(key) || !IsUtf8(text) || json.contains(key)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the metadata ", Printable(key), " is there twice or not UTF-8"));
    }
    json[key] = text;
  }
  return json;
}

// By descending element size, then by name: every offset is aligned.
NamedTensors InFileOrder(const NamedTensors& tensors) {
  NamedTensors sorted;
  for (const auto& [name, tensor] : tensors) {
    sorted.emplace_back(name, tensor.detach().cpu().contiguous());
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    const size_t a_bytes = a.second.element_size();
    const size_t b_bytes = b.second.element_size();
    return a_bytes != b_bytes ? a_bytes > b_bytes : a.first < b.first;
  });
  return sorted;
}

// The header's length and the header.
absl::StatusOr<std::string> MakeHeader(const NamedTensors& sorted,
                                       const Metadata& metadata) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) {
    ALTPROP_ASSIGN_OR_RETURN(header[std::string(kMetadata)],
                             MetadataJson(metadata));
  }
  uint64_t offset = 0;
  for (const auto& [name, tensor] : sorted) {
    const uint64_t end = offset + tensor.nbytes();
    header[name] = {{"dtype", NameOf(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string bytes(sizeof(length), '\0');
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + text;
}

// A tensor as the header describes it.
struct Entry {
  std::string name;
  at::ScalarType type;
  std::vector<int64_t> shape;
  uint64_t begin;
  uint64_t end;
};

absl::Status BadEntry(absl::string_view name, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("tensor ", Printable(name), ": ", what));
}

// The header as JSON. Names that come twice would be lost in it, and deep
// nesting overflow its parser's stack on the way out, so both end the parsing.
absl::StatusOr<Json> ParseHeader(const std::string& text) {
  bool refused = false;
  std::vector<absl::flat_hash_set<std::string>> keys;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > 3) refused = true;
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end && !keys.empty()) {
      keys.pop_back();
    }
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get<std::string>()).second) {
      refused = true;
    }
    return !refused;
  };
  Json json = Json::parse(text, check, /*allow_exceptions=*/false);
  if (refused || !json.is_object()) {
    return absl::DataLossError(
        "its header is not a JSON object of tensors, each name once");
  }
  return json;
}

bool ReadUnsigned(const Json& json, uint64_t& number) {
  if (!json.is_number_unsigned()) return false;
  number = json.get<uint64_t>();
  return number <= static_cast<uint64_t>(INT64_MAX);
}

bool ReadShape(const Json& json, std::vector<int64_t>& shape) {
  if (!json.is_array() || json.size() > kMaxDimensions) return false;
  for (const Json& item : json) {
    uint64_t size;
    if (!ReadUnsigned(item, size)) return false;
    shape.push_back(static_cast<int64_t>(size));
  }
  return true;
}

// Whether the shape takes end - begin bytes; without overflow.
bool FillsItsBytes(const Entry& entry) {
  int64_t bytes = static_cast<int64_t>(c10::elementSize(entry.type));
  bool is_empty = false;
  for (const int64_t size : entry.shape) {
    is_empty = is_empty || size == 0;
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) {
      return false;
    }
  }
  return entry.end - entry.begin ==
         (is_empty ? 0 : static_cast<uint64_t>(bytes));
}

absl::StatusOr<Entry> ParseEntry(const std::string& name, const Json& json) {
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") ||
      !json.contains("shape") || !json.contains("data_offsets") ||
      !json["dtype"].is_string()) {
    return BadEntry(name, "expected dtype, shape and data_offsets");
  }
  const auto& dtype = json["dtype"].get_ref<const std::string&>();
  const std::optional<at::ScalarType> type = TypeOf(dtype);
  if (!type.has_value()) {
    return BadEntry(name, absl::StrCat("has dtype ", Printable(dtype),
                                       ", which is not read"));
  }
  Entry entry{name, *type, {}, 0, 0};
  const Json& offsets = json["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 ||
      !ReadUnsigned(offsets[0], entry.begin) ||
      !ReadUnsigned(offsets[1], entry.end) || entry.begin > entry.end ||
      !ReadShape(json["shape"], entry.shape) || !FillsItsBytes(entry)) {
    return BadEntry(name, "its shape and data_offsets do not agree");
  }
  return entry;
}

absl::StatusOr<Metadata> ParseMetadata(const Json& json) {
  Metadata metadata;
  if (!json.is_object()) {
    return absl::DataLossError("its __metadata__ is not an object");
  }
  for (const auto& [key, text] : json.items()) {
    if (!text.is_string()) {
      return absl::DataLossError("its __metadata__ holds other than strings");
    }
    metadata.emplace_back(key, text.get<std::string>());
  }
  std::sort(metadata.begin(), metadata.end());
  return metadata;
}

// Sorted by position: one after the other, from 0 to `length`.
absl::Status CheckLayout(std::vector<Entry>& entries, uint64_t length) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t end = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != end) {
      return BadEntry(entry.name,
                      absl::StrCat("begins at ", entry.begin,
                                   " where the one before ends at ", end));
    }
    end = entry.end;
  }
  if (end == length) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("is truncated or damaged: its tensors need ", end,
                   " bytes, it has ", length));
}

absl::StatusOr<std::string> ReadHeader(const InputFile& file) {
  uint64_t length;
  ALTPROP_RETURN_IF_ERROR(file.Read(0, sizeof(length), &length));
  if (length > kMaxHeader) {
    return absl::InvalidArgumentError(
        absl::StrCat("is not a safetensors file: a header of ", length,
                     " bytes, expected at most ", kMaxHeader));
  }
  return file.Read(sizeof(length), length);
}

absl::StatusOr<Safetensors> Load(const InputFile& file) {
  ALTPROP_ASSIGN_OR_RETURN(const std::string text, ReadHeader(file));
  ALTPROP_ASSIGN_OR_RETURN(const Json header, ParseHeader(text));
  const uint64_t data = sizeof(uint64_t) + text.size();
  Safetensors loaded;
  std::vector<Entry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name == kMetadata) {
      ALTPROP_ASSIGN_OR_RETURN(loaded.metadata, ParseMetadata(json));
    } else {
      ALTPROP_ASSIGN_OR_RETURN(Entry entry, ParseEntry(name, json));
      entries.push_back(std::move(entry));
    }
  }
  ALTPROP_RETURN_IF_ERROR(CheckLayout(entries, file.size() - data));
  for (const Entry& entry : entries) {
    at::Tensor tensor = at::empty(entry.shape, at::TensorOptions(entry.type));
    ALTPROP_RETURN_IF_ERROR(file.Read(
        data + entry.begin, entry.end - entry.begin, tensor.data_ptr()));
    loaded.tensors.emplace_back(entry.name, std::move(tensor));
  }
  return loaded;
}

}  // namespace

absl::Status ExportSafetensors(const std::string& path,
                               const NamedTensors& tensors,
                               const Metadata& metadata) {
  ALTPROP_RETURN_IF_ERROR(Annotate(CheckNames(tensors), path));
  const NamedTensors sorted = InFileOrder(tensors);
  const absl::StatusOr<std::string> header = MakeHeader(sorted, metadata);
  if (!header.ok()) return Annotate(header.status(), path);
  ALTPROP_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  file.Append(*header).IgnoreError();  // Commit returns it
  for (const auto& [name, tensor] : sorted) {
    file.Append({static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()})
        .IgnoreError();
  }
  return file.Commit();
}

absl::StatusOr<Safetensors> LoadSafetensors(const std::string& path) {
  ALTPROP_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
  absl::StatusOr<Safetensors> loaded = Load(file);
  if (!loaded.ok()) return Annotate(loaded.status(), path);
  return loaded;
}

}  // namespace altprop::training
