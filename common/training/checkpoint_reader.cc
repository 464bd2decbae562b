// LoadCheckpoint: zip files (torch 1.6 and later) and stream files (before).
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/ScalarType.h>
#include <c10/core/TensorOptions.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/input_file.h"
#include "common/training/unpickler.h"
#include "common/training/value_builder.h"
#include "common/training/zip_reader.h"

namespace altprop::training {
namespace {

constexpr absl::string_view kZipMagic = "PK\3\4";
constexpr absl::string_view kPickleMagic = "\x80";  // PROTO

// The first three pickles of a stream file: a number in place of a magic one,
// its protocol, and the writer's byte order.
constexpr absl::string_view kStreamMagic = "119547037146038801333356";
constexpr int64_t kStreamProtocol = 1001;

// How many bytes the storage takes, unless that overflows.
bool ByteSize(const PickleStorage& storage, int64_t& bytes) {
  return !__builtin_mul_overflow(
      storage.size, static_cast<int64_t>(c10::elementSize(storage.dtype)),
      &bytes);
}

at::Tensor EmptyBytes(int64_t bytes) {
  return at::empty({bytes}, at::TensorOptions(at::kByte));
}

class ZipStorages : public StorageSource {
 public:
  ZipStorages(const ZipReader& zip, std::string folder)
      : zip_(zip), folder_(std::move(folder)) {}

  absl::StatusOr<at::Tensor> Load(const PickleStorage& storage) override {
    const std::string name = absl::StrCat(folder_, "/data/", storage.key);
    ALTPROP_ASSIGN_OR_RETURN(const uint64_t size, zip_.Size(name));
    int64_t bytes;
    if (!ByteSize(storage, bytes) || static_cast<uint64_t>(bytes) != size) {
      return absl::DataLossError(
          absl::StrCat("the record ", Printable(name), " has ", size,
                       " bytes, expected ", storage.size, " elements of ",
                       c10::elementSize(storage.dtype), " bytes"));
    }
    at::Tensor tensor = EmptyBytes(bytes);
    ALTPROP_RETURN_IF_ERROR(zip_.Read(name, tensor.data_ptr()));
    return tensor;
  }

 private:
  const ZipReader& zip_;
  const std::string folder_;
};

absl::StatusOr<Value> LoadZip(const InputFile& file) {
  ALTPROP_ASSIGN_OR_RETURN(const ZipReader zip, ZipReader::Open(file));
  ALTPROP_ASSIGN_OR_RETURN(const std::string folder, zip.Folder());
  if (zip.Has(absl::StrCat(folder, "/constants.pkl"))) {
    return absl::InvalidArgumentError(
        "is a TorchScript program, not a checkpoint");
  }
  const std::string order_name = absl::StrCat(folder, "/byteorder");
  if (zip.Has(order_name)) {
    ALTPROP_ASSIGN_OR_RETURN(const std::string order, zip.Read(order_name));
    if (order != "little") {
      return absl::InvalidArgumentError(absl::StrCat(
          "has byte order ", Printable(order), ", expected little"));
    }
  }
  ALTPROP_ASSIGN_OR_RETURN(const std::string pickle,
                           zip.Read(absl::StrCat(folder, "/data.pkl")));
  Unpickler unpickler(pickle);
  ALTPROP_ASSIGN_OR_RETURN(const PickleObject* const root, unpickler.Next());
  ZipStorages storages(zip, folder);
  return ValueBuilder(storages, pickle.size()).Build(*root);
}

// The storages that follow a stream file's pickles, in the order of the last
// pickle's keys: for each its number of elements (8 bytes) and the elements.
class StreamStorages : public StorageSource {
 public:
  // Finds them all. `mentioned`: what the pickle says of each.
  static absl::StatusOr<StreamStorages> Find(
      absl::string_view bytes, const PickleObject& keys,
      const std::vector<const PickleStorage*>& mentioned) {
    StreamStorages storages;
    absl::flat_hash_map<absl::string_view, const PickleStorage*> by_key;
    for (const PickleStorage* storage : mentioned) {
      by_key[storage->key] = storage;
    }
    const auto* list = keys.As<PickleSequence>();
    if (list == nullptr) {
      return absl::DataLossError("is damaged: its list of storages is missing");
    }
    for (const PickleObject* item : list->items) {
      const auto* key = item->As<std::string>();
      const auto found = key == nullptr ? by_key.end() : by_key.find(*key);
      if (found == by_key.end()) {
        return absl::DataLossError("is damaged: a storage has no tensor");
      }
      ALTPROP_RETURN_IF_ERROR(storages.Add(*found->second, bytes));
    }
    if (!bytes.empty()) {
      return absl::DataLossError(absl::StrCat(
          "is damaged: ", bytes.size(), " bytes follow the last storage"));
    }
    return storages;
  }

  absl::StatusOr<at::Tensor> Load(const PickleStorage& storage) override {
    const auto found = contents_.find(storage.key);
    int64_t bytes;
    if (found == contents_.end() || !ByteSize(storage, bytes) ||
        found->second.size() != static_cast<size_t>(bytes)) {
      return absl::DataLossError(absl::StrCat(
          "the storage ", Printable(storage.key), " of ", storage.size,
          " elements is missing or of another size"));
    }
    at::Tensor tensor = EmptyBytes(bytes);
    if (bytes > 0) {
      std::memcpy(tensor.data_ptr(), found->second.data(),
                  found->second.size());
    }
    return tensor;
  }

 private:
  // Takes the storage from the front of `bytes`.
  absl::Status Add(const PickleStorage& storage, absl::string_view& bytes) {
    int64_t size = 0;
    int64_t length = 0;
    const bool has_size = bytes.size() >= sizeof(size);
    if (has_size) {
      std::memcpy(&size, bytes.data(), sizeof(size));
      bytes.remove_prefix(sizeof(size));
    }
    if (!has_size || size != storage.size || !ByteSize(storage, length) ||
        bytes.size() < static_cast<uint64_t>(length)) {
      return absl::DataLossError(absl::StrCat(
          "is truncated or damaged: the storage ", Printable(storage.key),
          " of ", storage.size, " elements is not whole"));
    }
    if (!contents_.emplace(storage.key, bytes.substr(0, length)).second) {
      return absl::DataLossError(absl::StrCat(
          "is damaged: the storage ", Printable(storage.key), " comes twice"));
    }
    bytes.remove_prefix(static_cast<size_t>(length));
    return absl::OkStatus();
  }

  absl::flat_hash_map<std::string, absl::string_view> contents_;
};

const PickleObject* FindItem(const PickleObject& object,
                             absl::string_view key) {
  const auto* dict = object.As<PickleDict>();
  if (dict == nullptr) return nullptr;
  for (const auto& [name, item] : dict->items) {
    const auto* text = name->As<std::string>();
    if (text != nullptr && *text == key) return item;
  }
  return nullptr;
}

// Reads the three pickles at the front.
absl::Status CheckStreamHeader(Unpickler& unpickler) {
  absl::Status other = absl::InvalidArgumentError(
      "is not a checkpoint: a pickle, but not torch's");
  ALTPROP_ASSIGN_OR_RETURN(const PickleObject* const magic, unpickler.Next());
  const auto* digits = magic->As<std::string>();
  if (digits == nullptr || *digits != kStreamMagic) return other;
  ALTPROP_ASSIGN_OR_RETURN(const PickleObject* const protocol,
                           unpickler.Next());
  const auto* version = protocol->As<int64_t>();
  if (version == nullptr || *version != kStreamProtocol) return other;
  ALTPROP_ASSIGN_OR_RETURN(const PickleObject* const system, unpickler.Next());
  const PickleObject* order = FindItem(*system, "little_endian");
  const bool* is_little = order == nullptr ? nullptr : order->As<bool>();
  if (is_little == nullptr) return other;
  return *is_little ? absl::OkStatus()
                    : absl::InvalidArgumentError(
                          "has byte order big, expected little");
}

absl::StatusOr<Value> LoadStream(const InputFile& file) {
  ALTPROP_ASSIGN_OR_RETURN(const std::string bytes, file.Read(0, file.size()));
  Unpickler unpickler(bytes);
  ALTPROP_RETURN_IF_ERROR(CheckStreamHeader(unpickler));
  const size_t begin = unpickler.position();
  ALTPROP_ASSIGN_OR_RETURN(const PickleObject* const root, unpickler.Next());
  const size_t pickle_bytes = unpickler.position() - begin;
  ALTPROP_ASSIGN_OR_RETURN(const PickleObject* const keys, unpickler.Next());
  ALTPROP_ASSIGN_OR_RETURN(StreamStorages storages,
                           StreamStorages::Find(absl::string_view(bytes).substr(
                                                    unpickler.position()),
                                                *keys, unpickler.storages()));
  return ValueBuilder(storages, pickle_bytes).Build(*root);
}

absl::StatusOr<Value> Load(const InputFile& file) {
  ALTPROP_ASSIGN_OR_RETURN(
      const std::string head,
      file.Read(0, std::min<uint64_t>(file.size(), kZipMagic.size())));
  if (head == kZipMagic) return LoadZip(file);
  if (absl::StartsWith(head, kPickleMagic)) return LoadStream(file);
  return absl::InvalidArgumentError(
      absl::StrCat("is not a checkpoint: begins with \"", Printable(head),
                   "\", neither a zip archive nor a pickle"));
}

}  // namespace

absl::StatusOr<Value> LoadCheckpoint(const std::string& path) {
  ALTPROP_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
  absl::StatusOr<Value> value = Load(file);
  if (!value.ok()) return Annotate(value.status(), path);
  return value;
}

}  // namespace altprop::training
