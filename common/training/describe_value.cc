#include "common/training/describe_value.h"

#include <ATen/core/Tensor.h>
#include <zlib.h>

#include <bit>
#include <cstdint>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "common/training/utf8.h"

namespace altprop::training {
namespace {

using Json = nlohmann::ordered_json;

Json Describe(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.contiguous();
  const uLong checksum =
      crc32_z(0, static_cast<const Bytef*>(plain.data_ptr()), plain.nbytes());
  return {{"tensor",
           {c10::toString(plain.scalar_type()), plain.sizes().vec(),
            plain.nbytes() == 0 ? 0 : checksum}}};
}

Json Describe(const std::string& text) {
  if (IsUtf8(text)) return text;
  return {{"bytes", absl::BytesToHexString(text)}};
}

}  // namespace

Json DescribeValue(const Value& value) {
  if (value.boolean() != nullptr) return *value.boolean();
  if (value.integer() != nullptr) return *value.integer();
  if (value.string() != nullptr) return Describe(*value.string());
  if (value.tensor() != nullptr) return Describe(*value.tensor());
  if (value.real() != nullptr) {
    return {{"real",
             absl::StrFormat("%016x", std::bit_cast<uint64_t>(*value.real()))}};
  }
  Json items = Json::array();
  if (value.list() != nullptr) {
    for (const Value& item : *value.list())
      items.push_back(DescribeValue(item));
    return items;
  }
  if (value.dict() != nullptr) {
    for (const auto& [key, item] : *value.dict()) {
      items.push_back(Json::array({Describe(key), DescribeValue(item)}));
    }
    return Json{{"dict", items}};
  }
  return nullptr;
}

}  // namespace altprop::training
