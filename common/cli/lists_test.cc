#include "common/cli/lists.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace altprop::cli {
namespace {

std::vector<int64_t> Ints(const std::string& text) {
  IntList list;
  std::string error;
  EXPECT_TRUE(AbslParseFlag(text, &list, &error)) << text << ": " << error;
  return list.values;
}

// The error of a text that must not parse.
template <typename List>
std::string ErrorOf(const std::string& text) {
  List list;
  list.values = {7};
  std::string error;
  EXPECT_FALSE(AbslParseFlag(text, &list, &error)) << text;
  EXPECT_EQ(list.values.size(), 1) << "the list was touched";
  return error;
}

TEST(IntList, ReadsEveryNotation) {
  for (const char* text : {"42,57", "42 57", "42, 57", "[42,57]", "[42, 57]",
                           "[ 42 57 ]", "(42,57)", "\"[42,57]\"", "'42 57'",
                           " 42\t57 ", "42,57,", "(42,57,)"}) {
    EXPECT_EQ(Ints(text), (std::vector<int64_t>{42, 57})) << text;
  }
}

TEST(IntList, ReadsTheEmptyList) {
  for (const char* text : {"", " ", "[]", "[ ]", "()", "\"\""}) {
    EXPECT_TRUE(Ints(text).empty()) << text;
  }
}

TEST(IntList, ReadsNegativeAndLargeNumbers) {
  EXPECT_EQ(Ints("-1,9223372036854775807"),
            (std::vector<int64_t>{-1, std::numeric_limits<int64_t>::max()}));
}

TEST(IntList, NamesWhatIsNoWholeNumber) {
  EXPECT_EQ(ErrorOf<IntList>("128 25b 512"), "\"25b\" is not a whole number");
  EXPECT_EQ(ErrorOf<IntList>("1,2.5"), "\"2.5\" is not a whole number");
  EXPECT_EQ(ErrorOf<IntList>("1,,2"), "\"\" is not a whole number");
  EXPECT_EQ(ErrorOf<IntList>(","), "\"\" is not a whole number");
  EXPECT_EQ(ErrorOf<IntList>("[1,2"), "\"[1\" is not a whole number");
  EXPECT_EQ(ErrorOf<IntList>("[1],[2]"), "\"1]\" is not a whole number");
  EXPECT_EQ(ErrorOf<IntList>("9223372036854775808"),
            "\"9223372036854775808\" is not a whole number");
}

TEST(IntList, IsWrittenWithCommas) {
  EXPECT_EQ(AbslUnparseFlag(IntList{{784, 512, 10}}), "784,512,10");
  EXPECT_EQ(AbslUnparseFlag(IntList{}), "");
}

TEST(FloatList, ReadsNumbers) {
  FloatList list;
  std::string error;
  ASSERT_TRUE(AbslParseFlag("0.0 -0.5,3e-4 .5 2", &list, &error)) << error;
  EXPECT_EQ(list.values, (std::vector<double>{0, -0.5, 3e-4, 0.5, 2}));
}

TEST(FloatList, NamesWhatIsNoNumber) {
  EXPECT_EQ(ErrorOf<FloatList>("0.1,[LR]"), "\"[LR]\" is not a number");
  EXPECT_EQ(ErrorOf<FloatList>("1;2"), "\"1;2\" is not a number");
}

TEST(FloatList, IsWrittenWithTheFewestDigitsThatReadBack) {
  const FloatList list{
      {0.0, 0.1, 3e-4, 1.0 / 3, -0.5, 5e-324, 1e300, 0.1 + 0.2, 120}};
  const std::string text = AbslUnparseFlag(list);
  EXPECT_EQ(text,
            "0,0.1,0.0003,0.3333333333333333,-0.5,4.94065645841247e-324,1e+300,"
            "0.30000000000000004,120");
  FloatList again;
  std::string error;
  ASSERT_TRUE(AbslParseFlag(text, &again, &error)) << error;
  EXPECT_EQ(again, list);
}

}  // namespace
}  // namespace altprop::cli
