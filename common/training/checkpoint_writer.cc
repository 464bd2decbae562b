// SaveCheckpoint: torch.save's zip format, by PyTorch's own pickler and archive
// writer.
#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"
#include "common/training/atomic_file.h"
#include "common/training/checkpoint.h"
#include "common/training/utf8.h"

namespace altprop::training {
namespace {

bool IsWritable(at::ScalarType type) {
  switch (type) {
    case at::kBool:
    case at::kByte:
    case at::kChar:
    case at::kShort:
    case at::kInt:
    case at::kLong:
    case at::kHalf:
    case at::kBFloat16:
    case at::kFloat:
    case at::kDouble:
    case at::kComplexFloat:
    case at::kComplexDouble:
      return true;
    default:
      return false;
  }
}

const void* StorageOf(const at::Tensor& tensor) {
  return tensor.storage().unsafeGetStorageImpl();
}

// Whether the elements lie in order, are the whole storage, and the strides are
// the usual ones (those of dimensions of size 1 are free, but go to the file).
bool FillsItsStorage(const at::Tensor& tensor) {
  int64_t stride = 1;
  for (int64_t i = tensor.dim(); i-- > 0;) {
    if (tensor.stride(i) != stride) return false;
    stride *= std::max<int64_t>(tensor.size(i), 1);
  }
  return tensor.storage_offset() == 0 &&
         tensor.storage().nbytes() == tensor.nbytes();
}

// Makes PyTorch's IValues of Values. Every one is new: the pickler writes an
// object that it meets twice as a reference, and whether objects are shared
// must not show in the file.
class Converter {
 public:
  absl::StatusOr<c10::IValue> Convert(const Value& value) {
    if (const auto* held = value.boolean()) return c10::IValue(*held);
    if (const auto* held = value.integer()) return c10::IValue(*held);
    if (const auto* held = value.real()) return c10::IValue(*held);
    if (const auto* held = value.string()) return ConvertString(*held);
    if (const auto* held = value.tensor()) return ConvertTensor(*held);
    if (const auto* held = value.list()) return ConvertList(*held);
    if (const auto* held = value.dict()) return ConvertDict(*held);
    return c10::IValue();
  }

 private:
  absl::Status Refuse(absl::string_view why) const {
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(absl::StrJoin(path_, ".")), " ", why));
  }

  absl::StatusOr<c10::IValue> ConvertString(const std::string& text) const {
    if (!IsUtf8(text)) return Refuse("is a string that is not UTF-8");
    return c10::IValue(text);
  }

  absl::StatusOr<c10::IValue> ConvertTensor(const at::Tensor& tensor) {
    if (!tensor.defined() || tensor.layout() != at::kStrided ||
        !IsWritable(tensor.scalar_type())) {
      return Refuse("is a tensor of a kind that is not written");
    }
    at::Tensor plain = tensor.detach().cpu().resolve_conj().resolve_neg();
    if (!FillsItsStorage(plain) || !seen_.insert(StorageOf(plain)).second) {
      plain = plain.clone(at::MemoryFormat::Contiguous);
    }
    return c10::IValue(std::move(plain));
  }

  absl::StatusOr<c10::IValue> ConvertList(const List& list) {
    c10::impl::GenericList converted(c10::AnyType::get());
    for (size_t i = 0; i < list.size(); ++i) {
      path_.push_back(absl::StrCat(i));
      ALTPROP_ASSIGN_OR_RETURN(c10::IValue value, Convert(list[i]));
      converted.push_back(std::move(value));
      path_.pop_back();
    }
    return c10::IValue(converted);
  }

  absl::StatusOr<c10::IValue> ConvertDict(const Dict& dict) {
    c10::impl::GenericDict converted(c10::StringType::get(),
                                     c10::AnyType::get());
    for (const auto& [key, value] : dict) {
      path_.push_back(key);
      ALTPROP_ASSIGN_OR_RETURN(c10::IValue name, ConvertString(key));
      ALTPROP_ASSIGN_OR_RETURN(c10::IValue item, Convert(value));
      if (!converted.insert(std::move(name), std::move(item)).second) {
        return Refuse("is there twice");
      }
      path_.pop_back();
    }
    return c10::IValue(converted);
  }

  std::vector<std::string> path_;          // keys from the root to here
  absl::flat_hash_set<const void*> seen_;  // storages
};

struct Pickled {
  std::string bytes;
  std::vector<at::Tensor> tensors;  // the contents of data/0, data/1, ...
};

// Without type tags, which torch.load(weights_only=True) refuses.
Pickled Pickle(const c10::IValue& value) {
  Pickled pickled;
  torch::jit::Pickler pickler(
      [&](const char* bytes, size_t length) {
        pickled.bytes.append(bytes, length);
      },
      /*tensor_table=*/nullptr, /*type_renamer=*/nullptr,
      /*memoized_class_types=*/nullptr, /*get_tensor_id=*/nullptr,
      /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(value);
  pickler.stop();
  pickled.tensors = pickler.tensorData();
  return pickled;
}

void WriteArchive(const Pickled& pickled, AtomicFile& file) {
  // Failures stay in `file`, for Commit to report.
  caffe2::serialize::PyTorchStreamWriter writer(
      [&](const void* bytes, size_t length) {
        file.Append({static_cast<const char*>(bytes), length}).IgnoreError();
        return length;
      });
  writer.writeRecord("data.pkl", pickled.bytes.data(), pickled.bytes.size());
  writer.writeRecord("byteorder", "little", 6);
  for (size_t i = 0; i < pickled.tensors.size(); ++i) {
    writer.writeRecord(absl::StrCat("data/", i), pickled.tensors[i].data_ptr(),
                       pickled.tensors[i].nbytes());
  }
  writer.writeEndOfFile();
}

}  // namespace

absl::Status SaveCheckpoint(const std::string& path, const Value& root) {
  const absl::StatusOr<c10::IValue> converted = Converter().Convert(root);
  if (!converted.ok()) return Annotate(converted.status(), path);
  const Pickled pickled = Pickle(*converted);
  ALTPROP_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  WriteArchive(pickled, file);
  return file.Commit();
}

}  // namespace altprop::training
