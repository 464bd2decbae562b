#include "iterbin/packed.h"

#include <zlib.h>

#include <algorithm>
#include <map>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/eq.h"
#include "ATen/ops/gt.h"
#include "ATen/ops/index_select.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/status.h"
#include "common/training/bit_planes.h"
#include "common/training/safetensors.h"

namespace altprop::iterbin {
namespace {

using training::NamedTensors;

constexpr char kFormat[] = "iterbin-packed";
constexpr char kVersion[] = "1";

int64_t Bytes(const at::Tensor& tensor) {
  return tensor.numel() * tensor.element_size();
}

// Of the tensors' bytes, by name.
std::string Checksum(NamedTensors tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  uLong crc = crc32(0, nullptr, 0);
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor bytes = tensor.contiguous();
    crc = crc32_z(crc, static_cast<const Bytef*>(bytes.const_data_ptr()),
                  static_cast<z_size_t>(Bytes(bytes)));
  }
  return absl::StrFormat("%08x", crc);
}

// Adds a layer's three tensors; returns their bytes.
int64_t Pack(const std::string& name, const at::Tensor& effective,
             NamedTensors& into) {
  const at::Tensor zeros = effective.eq(0);
  const bool has_zeros = zeros.any().item<bool>();
  // 0 stands for -1, 1 for 1, 2 for 0.
  const at::Tensor indices =
      effective.gt(0).to(at::kByte) + 2 * zeros.to(at::kByte);
  const std::vector<double> levels =
      has_zeros ? std::vector<double>{-1, 1, 0} : std::vector<double>{-1, 1};
  into.emplace_back(
      name + ".planes",
      training::PackBitPlanes(indices.to(at::kByte), has_zeros ? 2 : 1));
  into.emplace_back(name + ".levels",
                    at::tensor(levels, effective.scalar_type()));
  into.emplace_back(name + ".shape", at::tensor(effective.sizes(), at::kLong));
  int64_t bytes = 0;
  for (size_t i = into.size() - 3; i < into.size(); ++i) {
    bytes += Bytes(into[i].second);
  }
  return bytes;
}

absl::StatusOr<at::Tensor> Part(const std::map<std::string, at::Tensor>& all,
                                const std::string& name) {
  const auto found = all.find(name);
  if (found != all.end()) return found->second;
  return absl::DataLossError(absl::StrCat("has no ", name));
}

absl::StatusOr<at::Tensor> Unpack(const std::map<std::string, at::Tensor>& all,
                                  const std::string& name) {
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor planes,
                           Part(all, name + ".planes"));
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor levels,
                           Part(all, name + ".levels"));
  ALTPROP_ASSIGN_OR_RETURN(const at::Tensor shape, Part(all, name + ".shape"));
  if (shape.scalar_type() != at::kLong || shape.dim() != 1 ||
      levels.dim() != 1 || !levels.is_floating_point()) {
    return absl::DataLossError(
        absl::StrCat(name, ": levels or shape are of another kind"));
  }
  const auto* sizes = shape.const_data_ptr<int64_t>();
  absl::StatusOr<at::Tensor> indices = training::UnpackBitPlanes(
      planes, at::IntArrayRef(sizes, static_cast<size_t>(shape.numel())));
  if (!indices.ok()) return Annotate(indices.status(), name);
  const at::Tensor flat = indices->flatten().to(at::kInt);
  if (flat.numel() > 0 && flat.max().item<int>() >= levels.numel()) {
    return absl::DataLossError(
        absl::StrCat(name, ": names a level beyond ", levels.numel()));
  }
  return levels.index_select(0, flat).view(indices->sizes());
}

std::string MetadataOf(const training::Safetensors& file,
                       absl::string_view key) {
  for (const auto& [name, value] : file.metadata) {
    if (name == key) return value;
  }
  return "";
}

absl::Status CheckHeader(const training::Safetensors& file) {
  if (MetadataOf(file, "format") != kFormat) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected a file of //iterbin:export, with format ", kFormat));
  }
  if (MetadataOf(file, "version") != kVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("version ", Printable(MetadataOf(file, "version"), 20),
                     ", expected ", kVersion));
  }
  const std::string sum = Checksum(file.tensors);
  if (MetadataOf(file, "crc32") != sum) {
    return absl::DataLossError(
        absl::StrCat("tensors have the CRC-32 ", sum, ", expected ",
                     Printable(MetadataOf(file, "crc32"), 20)));
  }
  if (!IsNetworkName(MetadataOf(file, "network"))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no network is called ", Printable(MetadataOf(file, "network"), 40)));
  }
  return absl::OkStatus();
}

absl::StatusOr<PackedModel> Build(const training::Safetensors& file) {
  ALTPROP_RETURN_IF_ERROR(CheckHeader(file));
  PackedModel model{.network = MetadataOf(file, "network"),
                    .model = MetadataOf(file, "model"),
                    .dataset = MetadataOf(file, "dataset")};
  const std::map<std::string, at::Tensor> all(file.tensors.begin(),
                                              file.tensors.end());
  for (const auto& [name, tensor] : all) {
    absl::string_view weight = name;
    if (absl::ConsumeSuffix(&weight, ".planes")) {
      ALTPROP_ASSIGN_OR_RETURN(at::Tensor unpacked,
                               Unpack(all, std::string(weight)));
      model.tensors.emplace_back(weight, std::move(unpacked));
      model.binary_layers.emplace_back(absl::StripSuffix(weight, ".weight"));
    } else if (!absl::EndsWith(name, ".levels") &&
               !absl::EndsWith(name, ".shape")) {
      model.tensors.emplace_back(name, tensor);
    }
  }
  return model;
}

}  // namespace

absl::StatusOr<std::vector<PackedSize>> WritePacked(
    const std::string& path, const Network& network, const Flags& binary,
    const std::string& model, const std::string& dataset) {
  NamedTensors packed;
  std::vector<PackedSize> sizes;
  PackedSize other{.layer = "other parameters"};
  std::map<std::string, size_t> layers;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    layers[network.layers[i].name + ".weight"] = i;
  }
  for (const auto& [name, tensor] : network.entries()) {
    const at::Tensor value = tensor.cpu();
    const auto layer = layers.find(name);
    PackedSize size{.layer = name,
                    .weights = value.numel(),
                    .float_bytes = Bytes(value),
                    .packed_bytes = Bytes(value)};
    if (layer != layers.end() && binary[layer->second]) {
      size.packed_bytes = Pack(name, Effective(value, true), packed);
    } else {
      packed.emplace_back(name, value);
    }
    if (layer != layers.end()) {
      sizes.push_back(std::move(size));
    } else {
      other.weights += size.weights;
      other.float_bytes += size.float_bytes;
      other.packed_bytes += size.packed_bytes;
    }
  }
  sizes.push_back(std::move(other));
  ALTPROP_RETURN_IF_ERROR(
      training::ExportSafetensors(path, packed,
                                  {{"format", kFormat},
                                   {"version", kVersion},
                                   {"network", network.name},
                                   {"model", model},
                                   {"dataset", dataset},
                                   {"crc32", Checksum(packed)}}));
  return sizes;
}

absl::StatusOr<PackedModel> ReadPacked(const std::string& path) {
  ALTPROP_ASSIGN_OR_RETURN(const training::Safetensors file,
                           training::LoadSafetensors(path));
  absl::StatusOr<PackedModel> model = Build(file);
  if (!model.ok()) return Annotate(model.status(), path);
  return model;
}

std::string SizeTable(const std::vector<PackedSize>& sizes) {
  std::string table =
      absl::StrFormat("%-28s %12s %14s %14s %7s\n", "parameters", "count",
                      "float bytes", "packed bytes", "ratio");
  PackedSize total{.layer = "total"};
  const auto row = [&](const PackedSize& size) {
    absl::StrAppendFormat(&table, "%-28s %12d %14d %14d %6.1fx\n", size.layer,
                          size.weights, size.float_bytes, size.packed_bytes,
                          static_cast<double>(size.float_bytes) /
                              static_cast<double>(size.packed_bytes));
  };
  for (const PackedSize& size : sizes) {
    row(size);
    total.weights += size.weights;
    total.float_bytes += size.float_bytes;
    total.packed_bytes += size.packed_bytes;
  }
  row(total);
  return table;
}

}  // namespace altprop::iterbin
