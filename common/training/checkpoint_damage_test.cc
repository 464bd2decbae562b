// Damaged and hostile checkpoints: never a crash, never a wrong value in a zip
// file, and one line that begins with the file's name.
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "common/training/value.h"

namespace altprop::training {
namespace {

constexpr char kTestData[] = "common/training/testdata/checkpoints/";

// Loads `bytes` as a file, one in memory: there are tens of thousands of them.
class Loader {
 public:
  Loader() : descriptor_(memfd_create("checkpoint", MFD_CLOEXEC)) {
    EXPECT_GE(descriptor_, 0);
    path_ = absl::StrCat("/proc/self/fd/", descriptor_);
  }
  ~Loader() { close(descriptor_); }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  absl::StatusOr<Value> Load(absl::string_view bytes) const {
    EXPECT_EQ(ftruncate(descriptor_, 0), 0);
    EXPECT_EQ(pwrite(descriptor_, bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    absl::StatusOr<Value> loaded = LoadCheckpoint(path_);
    if (!loaded.ok()) {
      const absl::string_view line = loaded.status().message();
      EXPECT_TRUE(absl::StartsWith(line, path_ + ": ")) << line;
      EXPECT_FALSE(absl::StrContains(line, '\n')) << line;
      EXPECT_LT(line.size(), 600) << line;
    }
    return loaded;
  }

  std::string Error(absl::string_view bytes) const {
    const absl::StatusOr<Value> loaded = Load(bytes);
    return loaded.ok() ? "loaded"
                       : std::string(loaded.status().message().substr(
                             path_.size() + 2));
  }

 private:
  int descriptor_;
  std::string path_;
};

std::string OurFile() {
  const std::string path = altprop::testing::NewFolder("ours") + "/x.pt";
  const Value value(Dict{{"model", Dict{{"w", at::full({5}, 0.75)}}},
                         {"step", 7},
                         {"loss", 0.5},
                         {"flags", List{"a", true}}});
  EXPECT_TRUE(SaveCheckpoint(path, value).ok());
  return altprop::testing::ReadFile(path);
}

// Every bit flipped, one at a time: how many loads succeeded. Those of a zip
// file must give the same value.
int FlipEveryBit(const std::string& bytes, bool may_differ) {
  const Loader loader;
  const absl::StatusOr<Value> whole = loader.Load(bytes);
  EXPECT_TRUE(whole.ok()) << whole.status();
  int loaded_anyway = 0;
  std::string damaged = bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      damaged[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      const absl::StatusOr<Value> loaded = loader.Load(damaged);
      if (!loaded.ok()) continue;
      ++loaded_anyway;
      EXPECT_TRUE(may_differ || *loaded == *whole)
          << "bit " << bit << " of byte " << i;
    }
    damaged[i] = bytes[i];
  }
  return loaded_anyway;
}

void TruncateEverywhere(const std::string& bytes) {
  const Loader loader;
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(loader.Load(bytes.substr(0, length)).ok()) << length;
  }
}

TEST(DamagedZipTest, NoFlippedBitOfOursChangesAValue) {
  FlipEveryBit(OurFile(), /*may_differ=*/false);
}

TEST(DamagedZipTest, NoFlippedBitOfPythonsChangesAValue) {
  FlipEveryBit(
      altprop::testing::ReadFile(absl::StrCat(kTestData, "shared_zip.pt")),
      /*may_differ=*/false);
}

TEST(DamagedZipTest, NoFlippedBitOfADeflatedFileChangesAValue) {
  FlipEveryBit(
      altprop::testing::ReadFile(absl::StrCat(kTestData, "shared_deflated.pt")),
      /*may_differ=*/false);
}

TEST(DamagedZipTest, EveryTruncationIsAnError) {
  TruncateEverywhere(OurFile());
  TruncateEverywhere(altprop::testing::ReadFile(
      absl::StrCat(kTestData, "shared_deflated.pt")));
}

TEST(DamagedStreamTest, NoFlippedBitCrashes) {
  for (const char* name : {"shared_stream.pt", "nested_stream.pt"}) {
    const std::string bytes =
        altprop::testing::ReadFile(absl::StrCat(kTestData, name));
    EXPECT_LT(FlipEveryBit(bytes, /*may_differ=*/true), 8 * bytes.size());
  }
}

TEST(DamagedStreamTest, EveryTruncationIsAnError) {
  TruncateEverywhere(
      altprop::testing::ReadFile(absl::StrCat(kTestData, "shared_stream.pt")));
}

TEST(DamagedStreamTest, MoreBytesThanStoragesAreAnError) {
  const std::string bytes =
      altprop::testing::ReadFile(absl::StrCat(kTestData, "shared_stream.pt"));
  EXPECT_EQ(Loader().Error(bytes + "abc"),
            "is damaged: 3 bytes follow the last storage");
}

// ---- Pickles that torch.save would not write, in a stream file ----

std::string Bytes(absl::string_view bytes) { return std::string(bytes); }

std::string Text(absl::string_view text) {
  return absl::StrCat(Bytes("U"),
                      std::string(1, static_cast<char>(text.size())), text);
}

// A stream file around a pickle's body: magic number, protocol, byte order,
// body, keys of the storages, storages.
std::string Stream(absl::string_view body, absl::string_view keys = "]",
                   absl::string_view storages = "") {
  return absl::StrCat(
      "\x80\2\x8a\x0a",
      absl::string_view("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10),
      ".\x80\2M\xe9\3.\x80\2}", Text("little_endian"), "\x88s.\x80\2", body,
      ".\x80\2", keys, ".", storages);
}

// The persistent id of float storage "0".
std::string FloatStorage(absl::string_view size_opcodes) {
  return absl::StrCat("(", Text("storage"), "ctorch\nFloatStorage\n", Text("0"),
                      Text("cpu"), size_opcodes, "NtQ");
}

// {"w": a view of a float storage of two elements}.
std::string ViewFile(absl::string_view offset, absl::string_view sizes,
                     absl::string_view strides) {
  const std::string body =
      absl::StrCat("}", Text("w"), "ctorch._utils\n_rebuild_tensor_v2\n(",
                   FloatStorage("K\2"), offset, sizes, strides, "\x89}tRs");
  return Stream(
      body, absl::StrCat("]", Text("0"), "a"),
      absl::string_view("\2\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40", 16));
}

constexpr absl::string_view kZero("K\0", 2);

TEST(HostilePickleTest, TheHandmadeFileItselfLoads) {
  const auto loaded = Loader().Load(
      ViewFile(kZero, absl::string_view("K\2\x85", 3), "K\1\x85"));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->Find("w")->tensor()->sum().item<double>(), 3.0);
}

TEST(HostilePickleTest, ForbiddenGlobalsAreNamedAndNotCalled) {
  const Loader loader;
  EXPECT_EQ(loader.Error(Stream(
                absl::StrCat("cposix\nsystem\n", Text("date"), "\x85R"))),
            "the pickle names the global posix.system, which is not data");
  EXPECT_EQ(loader.Error(Stream("cbuiltins\neval\n")),
            "the pickle names the global builtins.eval, which is not data");
  EXPECT_EQ(loader.Error(Stream("c__main__\nNet\n)\x81")),
            "the pickle names the global __main__.Net, which is not data");
  EXPECT_EQ(
      loader.Error(Stream(absl::StrCat(Text("torch"), Text("load"), "\x93"))),
      "the pickle names the global torch.load, which is not data");
  EXPECT_EQ(loader.Error(Stream("ctorch\nFloatStorage\n)R")),
            "the pickle calls torch.FloatStorage, which is not data");
}

TEST(HostilePickleTest, OtherOpcodesAreNamed) {
  const Loader loader;
  const std::string start = "the pickle uses the opcode ";
  const std::pair<const char*, const char*> kOpcodes[] = {
      {"(i", "INST (0x69)"},        {"}}\x81", "NEWOBJ (0x81)"},
      {"\x82", "EXT1 (0x82)"},      {"P0\n", "PERSID (0x50)"},
      {"\x8f", "EMPTY_SET (0x8f)"}, {"\xff", "0xff"},
  };
  for (const auto& [body, name] : kOpcodes) {
    EXPECT_TRUE(absl::StartsWith(loader.Error(Stream(body)),
                                 absl::StrCat(start, name, " at byte ")))
        << loader.Error(Stream(body));
  }
}

TEST(HostilePickleTest, ViewsOutsideTheirStorageAreRefused) {
  const Loader loader;
  const std::string outside =
      "tensor w: its sizes, strides and offset do not fit its storage of 8 "
      "bytes";
  const std::string max =
      absl::StrCat("\x8a\x08", std::string(7, '\xff'), "\x7f");
  EXPECT_EQ(loader.Error(ViewFile("K\1", "K\2\x85", "K\1\x85")), outside);
  EXPECT_EQ(loader.Error(ViewFile("J\xff\xff\xff\xff", "K\1\x85", "K\1\x85")),
            outside);
  EXPECT_EQ(loader.Error(ViewFile(kZero, "J\xfe\xff\xff\xff\x85", "K\1\x85")),
            outside);
  EXPECT_EQ(loader.Error(ViewFile(kZero, "K\2\x85", "J\xff\xff\xff\xff\x85")),
            outside);
  EXPECT_EQ(loader.Error(ViewFile(kZero, max + "\x85", max + "\x85")), outside);
  EXPECT_EQ(loader.Error(ViewFile(max, "K\1\x85", "K\1\x85")), outside);
  EXPECT_EQ(loader.Error(ViewFile(kZero, max + max + "\x86",
                                  absl::StrCat(kZero, kZero, "\x86"))),
            outside);
  EXPECT_EQ(loader.Error(ViewFile(kZero, "K\2K\1\x86", "K\1\x85")), outside);
}

TEST(HostilePickleTest, HugeExpansionIsRefused) {
  // 2^31 - 1 elements, all of them the first.
  EXPECT_EQ(Loader().Error(ViewFile(kZero, "J\xff\xff\xff\x7f\x85",
                                    absl::StrCat(kZero, "\x85"))),
            "tensor w: expands 8 bytes to 2147483647 elements");
}

TEST(HostilePickleTest, HugeStorageIsRefusedBeforeMemoryIsTaken) {
  const std::string body = absl::StrCat(
      "}", Text("w"), "ctorch._utils\n_rebuild_tensor_v2\n(",
      FloatStorage(absl::StrCat("\x8a\x08", std::string(7, '\xff'), "\x7f")),
      kZero, ")", ")\x89}tRs");
  EXPECT_EQ(Loader().Error(Stream(body, absl::StrCat("]", Text("0"), "a"),
                                  std::string(7, '\xff') + "\x7f")),
            "is truncated or damaged: the storage 0 of 9223372036854775807 "
            "elements is not whole");
}

TEST(HostilePickleTest, NestingAndCyclesEnd) {
  const Loader loader;
  const std::string deep =
      "objects are nested more than 256 deep or in a cycle";
  EXPECT_EQ(loader.Error(
                Stream(std::string(100'000, ']') + std::string(99'999, 'a'))),
            deep);
  EXPECT_EQ(loader.Error(Stream(std::string("]q\0h\0a", 6))), deep);
  EXPECT_EQ(loader.Error(Stream(std::string(258, ']') + std::string(257, 'a'))),
            deep);
  EXPECT_TRUE(
      loader.Load(Stream(std::string(250, ']') + std::string(249, 'a'))).ok());
}

TEST(HostilePickleTest, RepeatedObjectsDoNotMultiply) {
  // Thirty lists, each of ten times the one before: 10^30 entries.
  std::string body("(]q\0", 4);
  for (char level = 0; level < 30; ++level) {
    const std::string get{'h', level};
    body += absl::StrCat("](", get, get, get, get, get, get, get, get, get, get,
                         "eq", std::string(1, static_cast<char>(level + 1)));
  }
  EXPECT_EQ(Loader().Error(Stream(body + "t")),
            "the pickle repeats its objects too often for its size");
}

TEST(HostilePickleTest, LengthsBeyondTheEndAreRefused) {
  const Loader loader;
  for (const char* body : {"X\xff\xff\xff\x7f", "\x8b\xff\xff\xff\xff",
                           "\x8d\xff\xff\xff\xff\xff\xff\xff\xff"}) {
    EXPECT_TRUE(absl::StartsWith(loader.Error(Stream(body)),
                                 "the pickle is damaged: it ends too early"))
        << loader.Error(Stream(body));
  }
}

TEST(HostilePickleTest, AStackThatIsEmptyIsAnError) {
  const Loader loader;
  for (const char* body :
       {"",     "a",    "s",    "t",      "R",   "b",   "Q",   "\x85",
        "\x87", "e",    "u",    "}}",     "(",   "(]a", "q\1", "h\1",
        "\x94", "\x93", "]]}s", "](NNNu", ")Na", "N)R", "NQ"}) {
    EXPECT_TRUE(absl::StrContains(loader.Error(Stream(body)), "pickle"))
        << body << loader.Error(Stream(body));
  }
}

TEST(HostilePickleTest, KeysThatCollideAsTextAreRefused) {
  EXPECT_EQ(Loader().Error(Stream(absl::StrCat("}", "K\1NsU\1", "1Ns"))),
            "a dictionary has the key 1 twice");
}

TEST(HostilePickleTest, HugeIntegersBecomeDigits) {
  const auto loaded = Loader().Load(Stream(absl::StrCat(
      "\x8a\x09", std::string(8, '\xff'), absl::string_view("\0", 1))));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(*loaded->string(), "18446744073709551615");
}

}  // namespace
}  // namespace altprop::training
