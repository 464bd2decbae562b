#include "common/data/md5.h"

#include <string>

#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

// RFC 1321, appendix A.5.
TEST(Md5, GivesTheAnswersOfItsRfc) {
  EXPECT_EQ(Md5Of(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(Md5Of("a"), "0cc175b9c0f1b6a831c399e269772661");
  EXPECT_EQ(Md5Of("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(Md5Of("abcdefghijklmnopqrstuvwxyz"),
            "c3fcd3d76192e4007dfb496cca67e13b");
  EXPECT_EQ(Md5Of("1234567890123456789012345678901234567890123456789012345678"
                  "9012345678901234567890"),
            "57edf4a22be3c955ac49da2e2107b67a");
}

// Lengths around the block of 64 and its padding at 56.
TEST(Md5, IsTheSameInPieces) {
  for (size_t size = 0; size < 200; ++size) {
    const std::string text(size, 'x');
    Md5 md5;
    for (size_t at = 0; at < size; at += 7) md5.Update(text.substr(at, 7));
    EXPECT_EQ(md5.Finish(), Md5Of(text)) << size;
  }
}

TEST(Md5, ReadsFiles) {
  const std::string path = testing::NewFolder("md5") + "/file";
  const std::string text(600000, 'y');
  testing::WriteFile(path, text);
  EXPECT_EQ(Md5OfFile(path).value(), Md5Of(text));
  EXPECT_FALSE(Md5OfFile(path + ".missing").ok());
}

}  // namespace
}  // namespace altprop::data
