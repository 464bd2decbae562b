#include "common/training/safetensors.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/testing/files.h"
#include "common/training/value.h"

namespace altprop::training {
namespace {

std::string NewPath() {
  return altprop::testing::NewFolder("safetensors") + "/m.safetensors";
}

// A file of a header and data.
std::string File(absl::string_view header, absl::string_view data = "") {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return absl::StrCat(bytes, header, data);
}

std::string Error(absl::string_view bytes) {
  const std::string path = NewPath();
  altprop::testing::WriteFile(path, bytes);
  const auto loaded = LoadSafetensors(path);
  if (loaded.ok()) return "loaded";
  EXPECT_EQ(loaded.status().message().substr(0, path.size() + 2), path + ": ");
  return std::string(loaded.status().message().substr(path.size() + 2));
}

TEST(SafetensorsTest, WritesTheFormatToTheByte) {
  const std::string path = NewPath();
  const at::Tensor bytes = at::full({3}, 1, at::TensorOptions(at::kByte));
  const at::Tensor reals = at::full({1, 2}, 1.0, at::TensorOptions(at::kFloat));
  ASSERT_TRUE(ExportSafetensors(path, {{"a", bytes}, {"b", reals}},
                                {{"z", "1"}, {"format", "pt"}})
                  .ok());
  std::string header =
      R"({"__metadata__":{"format":"pt","z":"1"},)"
      R"("b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  EXPECT_EQ(
      altprop::testing::ReadFile(path),
      File(header, absl::string_view("\0\0\x80\x3f\0\0\x80\x3f\1\1\1", 11)));
}

TEST(SafetensorsTest, ReadsBackWhatItWrote) {
  const std::string path = NewPath();
  NamedTensors tensors;
  for (const at::ScalarType type :
       {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong,
        at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    tensors.emplace_back(at::toString(type),
                         at::arange(6).reshape({2, 3}).t().to(type));
  }
  tensors.emplace_back("scalar", at::full({}, 0.5));
  tensors.emplace_back("empty", at::zeros({2, 0}));
  ASSERT_TRUE(ExportSafetensors(path, tensors, {}).ok());
  const auto loaded = LoadSafetensors(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->tensors.size(), tensors.size());
  EXPECT_TRUE(loaded->metadata.empty());
  for (const auto& [name, tensor] : tensors) {
    bool found = false;
    for (const auto& [loaded_name, loaded_tensor] : loaded->tensors) {
      if (loaded_name != name) continue;
      found = true;
      EXPECT_TRUE(Value(loaded_tensor) == Value(tensor)) << name;
    }
    EXPECT_TRUE(found) << name;
  }
}

TEST(SafetensorsTest, BytesDoNotDependOnOrderOrLayout) {
  const std::string one = NewPath();
  const std::string two = NewPath();
  const at::Tensor matrix = at::arange(6.0).reshape({2, 3});
  const at::Tensor vector = at::arange(4);
  ASSERT_TRUE(
      ExportSafetensors(one, {{"m", matrix.t()}, {"v", vector}}, {}).ok());
  ASSERT_TRUE(ExportSafetensors(
                  two, {{"v", vector}, {"m", matrix.t().contiguous()}}, {})
                  .ok());
  EXPECT_EQ(altprop::testing::ReadFile(one), altprop::testing::ReadFile(two));
}

TEST(SafetensorsTest, RefusesWhatTheFormatLacks) {
  const std::string path = NewPath();
  const at::Tensor tensor = at::zeros({2});
  const auto error = [&](const NamedTensors& tensors,
                         const Metadata& metadata) {
    return std::string(ExportSafetensors(path, tensors, metadata)
                           .message()
                           .substr(path.size() + 2));
  };
  EXPECT_EQ(error({{"a", tensor}, {"a", tensor}}, {}),
            "the tensor name a is there twice, reserved or not UTF-8");
  EXPECT_EQ(error({{"__metadata__", tensor}}, {}),
            "the tensor name __metadata__ is there twice, reserved or not "
            "UTF-8");
  EXPECT_EQ(error({{"c", tensor.to(at::kComplexFloat)}}, {}),
            "the tensor c has a type without a name in safetensors");
  EXPECT_EQ(error({{"a", tensor}}, {{"k", "\xff"}}),
            "the metadata k is there twice or not UTF-8");
  EXPECT_FALSE(altprop::testing::Exists(path));
}

TEST(SafetensorsTest, HostileHeadersAreRefused) {
  const std::string two_bytes(2, 'x');
  const std::string no_json =
      "its header is not a JSON object of tensors, each name once";
  const std::string disagree =
      "tensor a: its shape and data_offsets do not agree";
  const std::string entry =
      R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  EXPECT_EQ(Error(File("{\"a\":" + entry + "}", two_bytes)), "loaded");
  EXPECT_EQ(Error("abc"), "is truncated: 8 bytes expected at byte 0 of 3");
  EXPECT_EQ(Error(std::string(8, '\xff')),
            "is not a safetensors file: a header of 18446744073709551615 "
            "bytes, expected at most 100000000");
  EXPECT_EQ(Error(File("{}").replace(0, 1, "\x10")),
            "is truncated: 16 bytes expected at byte 8 of 10");
  EXPECT_EQ(Error(File("")), no_json);
  EXPECT_EQ(Error(File("[]")), no_json);
  EXPECT_EQ(Error(File("{\"a\":")), no_json);
  EXPECT_EQ(Error(File(std::string(1'000'000, '['))), no_json);
  EXPECT_EQ(Error(File("{\"a\":" + entry + ",\"a\":" + entry + "}", two_bytes)),
            no_json);
  EXPECT_EQ(Error(File(R"({"a":3})")),
            "tensor a: expected dtype, shape and data_offsets");
  EXPECT_EQ(
      Error(File(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,2]}})",
                 two_bytes)),
      "tensor a: has dtype F4, which is not read");
  for (const char* rest :
       {R"("shape":[3],"data_offsets":[0,2])",
        R"("shape":[-2],"data_offsets":[0,2])",
        R"("shape":[2],"data_offsets":[2,0])",
        R"("shape":[2],"data_offsets":[0])",
        R"("shape":2,"data_offsets":[0,2])",
        R"("shape":[1.5],"data_offsets":[0,2])",
        R"("shape":[9223372036854775807,4],"data_offsets":[0,2])",
        R"("shape":[4294967296,4294967296],"data_offsets":[0,0])",
        R"("shape":[18446744073709551615],"data_offsets":[0,2])"}) {
    EXPECT_EQ(Error(File(absl::StrCat(R"({"a":{"dtype":"U8",)", rest, "}}"),
                         two_bytes)),
              disagree)
        << rest;
  }
  EXPECT_EQ(Error(File("{\"a\":" + entry + ",\"b\":" + entry + "}", two_bytes)),
            "tensor b: begins at 0 where the one before ends at 2");
  EXPECT_EQ(Error(File("{\"a\":" + entry + "}", "x")),
            "is truncated or damaged: its tensors need 2 bytes, it has 1");
  EXPECT_EQ(Error(File(R"({"__metadata__":{"a":1}})")),
            "its __metadata__ holds other than strings");
}

TEST(SafetensorsTest, NoDamageCrashesAndNoTruncationLoads) {
  const std::string path = NewPath();
  ASSERT_TRUE(
      ExportSafetensors(path, {{"a", at::zeros({2, 3})}}, {{"format", "pt"}})
          .ok());
  const std::string bytes = altprop::testing::ReadFile(path);
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_NE(Error(bytes.substr(0, i)), "loaded") << i;
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      EXPECT_EQ(Error(damaged).find('\n'), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace altprop::training
