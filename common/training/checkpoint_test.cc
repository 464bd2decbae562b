#include "common/training/checkpoint.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/testing/files.h"
#include "common/training/describe_value.h"
#include "common/training/value.h"

namespace altprop::training {
namespace {

constexpr char kTestData[] = "common/training/testdata/checkpoints/";

at::Tensor Range(int64_t count, at::ScalarType type = at::kFloat) {
  return at::arange(count, at::TensorOptions(type));
}

std::string NewPath() {
  return altprop::testing::NewFolder("checkpoint") + "/model.pt";
}

std::string SavedBytes(const Value& value) {
  const std::string path = NewPath();
  const absl::Status status = SaveCheckpoint(path, value);
  EXPECT_TRUE(status.ok()) << status;
  return altprop::testing::ReadFile(path);
}

Value Reloaded(const Value& value) {
  const std::string path = NewPath();
  EXPECT_TRUE(SaveCheckpoint(path, value).ok());
  absl::StatusOr<Value> loaded = LoadCheckpoint(path);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? *std::move(loaded) : Value();
}

std::string LoadError(const std::string& path) {
  const absl::StatusOr<Value> loaded = LoadCheckpoint(path);
  return loaded.ok() ? "loaded" : std::string(loaded.status().message());
}

// What Python saw in the file, written beside it.
class PythonFile : public ::testing::TestWithParam<const char*> {};

TEST_P(PythonFile, HoldsWhatPythonPutThere) {
  const std::string name = GetParam();
  const absl::StatusOr<Value> loaded =
      LoadCheckpoint(absl::StrCat(kTestData, name, ".pt"));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const std::string json = altprop::testing::ReadFile(
      absl::StrCat(kTestData, name.substr(0, name.find_last_of('_')), ".json"));
  EXPECT_EQ(DescribeValue(*loaded).dump(),
            nlohmann::ordered_json::parse(json).dump());
}

INSTANTIATE_TEST_SUITE_P(
    Checkpoint, PythonFile,
    ::testing::Values("dtypes_zip", "scalars_zip", "scalars_stream",
                      "nested_zip", "nested_stream", "views_zip",
                      "views_stream", "shared_zip", "shared_stream",
                      "shared_deflated", "module_zip", "module_stream",
                      "parameters_zip", "parameters_stream", "optimizer_zip",
                      "optimizer_stream"),
    [](const auto& info) { return std::string(info.param); });

TEST(CheckpointTest, ReadsBackWhatItWrote) {
  const Value value(Dict{
      {"none", Value()},
      {"flags", List{true, false}},
      {"integers",
       List{0, 255, 256, 65535, 65536, -1, std::numeric_limits<int64_t>::min(),
            std::numeric_limits<int64_t>::max()}},
      {"reals", List{0.0, -0.0, 0.1, std::nan(""), HUGE_VAL, 5e-324}},
      {"text", "Grüße, 世界 🙂"},
      {"", ""},
      {"model", Dict{{"fc.weight", Range(6).reshape({2, 3})},
                     {"scalar", at::full({}, 0.5)},
                     {"empty", at::zeros({3, 0})}}},
      {"nested", List{List{}, Dict{}, List{Dict{{"a", List{1}}}}}}});
  EXPECT_TRUE(Reloaded(value) == value);
}

TEST(CheckpointTest, ReadsBackEveryType) {
  for (const at::ScalarType type :
       {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong,
        at::kHalf, at::kBFloat16, at::kFloat, at::kDouble, at::kComplexFloat,
        at::kComplexDouble}) {
    const Value value(Range(5, at::kLong).to(type));
    EXPECT_TRUE(Reloaded(value) == value) << type;
  }
}

TEST(CheckpointTest, BytesDependOnValuesAlone) {
  const at::Tensor base = Range(40).reshape({5, 8});
  const at::Tensor row = base[1];
  // Strides of dimensions of size 1 mean nothing, but PyTorch keeps them.
  const at::Tensor strange = base.as_strided({1, 8}, {77, 1}, 8);
  const Value shared(Dict{{"base", base},
                          {"again", base},
                          {"row", row},
                          {"line", strange},
                          {"columns", base.t()},
                          {"part", base.slice(1, 2, 5)},
                          {"none", base.slice(0, 5)}});
  Dict copies;
  for (const auto& [name, value] : *shared.dict()) {
    copies.emplace_back(name,
                        value.tensor()->clone(at::MemoryFormat::Contiguous));
  }
  const std::string bytes = SavedBytes(shared);
  EXPECT_TRUE(bytes == SavedBytes(shared));
  EXPECT_TRUE(bytes == SavedBytes(copies));
  EXPECT_TRUE(bytes == SavedBytes(Reloaded(shared)));
}

TEST(CheckpointTest, BytesDoNotDependOnSharingOfStringsAndGradients) {
  const at::Tensor weight = Range(3);
  const at::Tensor parameter = weight.clone().requires_grad_();
  EXPECT_TRUE(SavedBytes(Dict{{"w", weight}, {"t", "w"}}) ==
              SavedBytes(Dict{{"w", parameter}, {"t", std::string("w")}}));
}

TEST(CheckpointTest, BytesDifferWithAnyContent) {
  const std::string bytes = SavedBytes(Dict{{"w", Range(3)}});
  EXPECT_FALSE(bytes == SavedBytes(Dict{{"w", Range(3).add(1e-7)}}));
  EXPECT_FALSE(bytes == SavedBytes(Dict{{"v", Range(3)}}));
  EXPECT_FALSE(bytes == SavedBytes(Dict{{"w", Range(3).reshape({3, 1})}}));
}

TEST(CheckpointTest, ViewAloneIsWrittenLikeItsCopy) {
  const at::Tensor base = Range(40).reshape({5, 8});
  for (const at::Tensor& view :
       {base.slice(0, 0, 2), base.slice(0, 3), base.t(), base.select(1, 3),
        base.slice(1, 2, 5), base.as_strided({1, 40}, {77, 1})}) {
    EXPECT_TRUE(SavedBytes(view) ==
                SavedBytes(view.clone(at::MemoryFormat::Contiguous)));
    EXPECT_TRUE(Reloaded(view) == Value(view));
  }
}

TEST(CheckpointTest, ViewDoesNotBringItsBase) {
  const at::Tensor base = at::zeros({1 << 20});
  EXPECT_LT(SavedBytes(Dict{{"part", base.slice(0, 0, 4)}}).size(), 4096);
}

TEST(CheckpointTest, TensorsThatShareInTheFileShareInMemory) {
  for (const char* name : {"shared_zip.pt", "shared_stream.pt"}) {
    const auto loaded = LoadCheckpoint(absl::StrCat(kTestData, name));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    loaded->Find("a")->tensor()->fill_(7.0);
    EXPECT_EQ(loaded->Find("b")->tensor()->sum().item<double>(), 63.0);
    EXPECT_EQ(loaded->Find("row")->tensor()->sum().item<double>(), 21.0);
  }
}

TEST(CheckpointTest, RefusesToWriteWhatPythonCouldNotRead) {
  const std::string path = NewPath();
  EXPECT_EQ(
      SaveCheckpoint(path, Dict{{"model", Dict{{"a", 1}, {"a", 2}}}}).message(),
      path + ": model.a is there twice");
  EXPECT_EQ(SaveCheckpoint(path, Dict{{"t", "\xff"}}).message(),
            path + ": t is a string that is not UTF-8");
  EXPECT_EQ(SaveCheckpoint(path, Dict{{"t", at::Tensor()}}).message(),
            path + ": t is a tensor of a kind that is not written");
  EXPECT_FALSE(altprop::testing::Exists(path));
}

TEST(CheckpointTest, NamesAFileThatIsNotThere) {
  EXPECT_EQ(LoadError("/nowhere/x.pt"),
            "/nowhere/x.pt: No such file or directory");
}

TEST(CheckpointTest, NamesWhatIsNoCheckpoint) {
  const std::string folder = altprop::testing::NewFolder("bad");
  EXPECT_EQ(LoadError(folder), folder + ": is a directory, expected a file");
  EXPECT_EQ(LoadError("/dev/null"), "/dev/null: is not a regular file");
  const std::string path = folder + "/x.pt";
  altprop::testing::WriteFile(path, "");
  EXPECT_EQ(LoadError(path), path + ": is empty");
  altprop::testing::WriteFile(path, "hello, world");
  EXPECT_EQ(LoadError(path),
            path +
                ": is not a checkpoint: begins with \"hell\", neither a zip "
                "archive nor a pickle");
  // pickle.dumps({}, protocol=2)
  altprop::testing::WriteFile(path, "\x80\x02}q\x01.");
  EXPECT_EQ(LoadError(path),
            path + ": is not a checkpoint: a pickle, but not torch's");
}

TEST(CheckpointTest, NamesATruncatedFile) {
  const std::string path = NewPath();
  const std::string bytes = SavedBytes(Dict{{"w", Range(100)}});
  altprop::testing::WriteFile(path, bytes.substr(0, bytes.size() / 2));
  EXPECT_EQ(LoadError(path), path +
                                 ": is truncated or damaged: the zip archive's "
                                 "end is missing");
}

TEST(CheckpointTest, NamesTheTensorOfAFlippedBit) {
  const std::string path = NewPath();
  std::string bytes =
      SavedBytes(Dict{{"model", Dict{{"fc.bias", at::zeros({4})},
                                     {"fc.weight", at::full({64}, 0.25)}}}});
  const size_t weight = bytes.find(std::string("\0\0\x80\x3e", 4));
  ASSERT_NE(weight, std::string::npos);
  bytes[weight + 5] ^= 1;
  altprop::testing::WriteFile(path, bytes);
  EXPECT_EQ(LoadError(path),
            path +
                ": tensor model.fc.weight: the record archive/data/1 does not "
                "match its checksum (CRC-32)");
}

NamedTensors Network() {
  return {{"synapses.0.weight", at::zeros({3, 2})},
          {"synapses.0.bias", at::zeros({3}, at::TensorOptions(at::kDouble))}};
}

TEST(CopyParametersTest, CopiesByNameAndConverts) {
  const NamedTensors network = Network();
  network[0].second.requires_grad_();
  const Value model(
      Dict{{"synapses.0.bias", Range(3)},
           {"synapses.0.weight", Range(6, at::kDouble).reshape({3, 2})}});
  ASSERT_TRUE(CopyParameters(model, "m.pt", network).ok());
  EXPECT_TRUE(Value(network[0].second.detach()) ==
              Value(Range(6).reshape({3, 2})));
  EXPECT_TRUE(Value(network[1].second) == Value(Range(3, at::kDouble)));
}

TEST(CopyParametersTest, ListsEveryDifferenceAndCopiesNothing) {
  const NamedTensors network = Network();
  const Value model(Dict{{"synapses.0.weight", at::ones({2, 2})},
                         {"conv.weight", at::ones({8, 1, 3, 3})},
                         {"epoch", 3}});
  EXPECT_EQ(CopyParameters(model, "m.pt", network).message(),
            "m.pt: does not fit the network: synapses.0.weight is [2, 2], "
            "expected [3, 2]; missing synapses.0.bias [3]; left over "
            "conv.weight [8, 1, 3, 3]; left over epoch");
  EXPECT_EQ(network[0].second.sum().item<double>(), 0.0);
}

TEST(CopyParametersTest, RefusesAModelThatIsNoDictionaryOfTensors) {
  EXPECT_EQ(CopyParameters(Value(3), "m.pt", Network()).message(),
            "m.pt: the model is an integer, expected a dictionary of tensors");
  const Value model(
      Dict{{"synapses.0.weight", at::zeros({3, 2})}, {"synapses.0.bias", "x"}});
  EXPECT_EQ(CopyParameters(model, "m.pt", Network()).message(),
            "m.pt: does not fit the network: synapses.0.bias is a string, "
            "expected a tensor [3]");
}

TEST(ValueTest, SaysWhatAnEntryIsInsteadOfWhatWasExpected) {
  const Value value(Dict{{"epoch", 3}, {"loss", 0.5}, {"on", true}});
  EXPECT_EQ(*value.GetInt("epoch"), 3);
  EXPECT_EQ(*value.GetDouble("epoch"), 3.0);
  EXPECT_EQ(*value.GetDouble("loss"), 0.5);
  EXPECT_TRUE(*value.GetBool("on"));
  EXPECT_EQ(value.GetInt("loss").status().message(),
            "\"loss\" is a number, expected an integer");
  EXPECT_EQ(value.GetTensor("step").status().message(), "has no \"step\"");
  EXPECT_EQ(Value(3).GetDict("model").status().message(),
            "is an integer, expected a dictionary with \"model\"");
}

TEST(ValueTest, EqualMeansBitForBit) {
  EXPECT_TRUE(Value(std::nan("")) == Value(std::nan("")));
  EXPECT_FALSE(Value(0.0) == Value(-0.0));
  EXPECT_FALSE(Value(1) == Value(1.0));
  EXPECT_FALSE(Value(1) == Value(true));
  EXPECT_FALSE(Value(Range(2)) == Value(Range(2, at::kDouble)));
  EXPECT_TRUE(Value(Range(4).reshape({2, 2}).t().contiguous()) ==
              Value(Range(4).reshape({2, 2}).t()));
  EXPECT_FALSE(Value(Dict{{"a", 1}, {"b", 2}}) ==
               Value(Dict{{"b", 2}, {"a", 1}}));
}

}  // namespace
}  // namespace altprop::training
