// The opcodes of Python's pickle that this project reads or refuses.
#ifndef COMMON_TRAINING_PICKLE_OPCODES_H_
#define COMMON_TRAINING_PICKLE_OPCODES_H_

#include <cstdint>
#include <string>

namespace altprop::training {

namespace opcode {
inline constexpr uint8_t kMark = '(';
inline constexpr uint8_t kStop = '.';
inline constexpr uint8_t kProto = 0x80;
inline constexpr uint8_t kFrame = 0x95;
inline constexpr uint8_t kNone = 'N';
inline constexpr uint8_t kTrue = 0x88;
inline constexpr uint8_t kFalse = 0x89;
inline constexpr uint8_t kBinInt = 'J';
inline constexpr uint8_t kBinInt1 = 'K';
inline constexpr uint8_t kBinInt2 = 'M';
inline constexpr uint8_t kLong1 = 0x8A;
inline constexpr uint8_t kLong4 = 0x8B;
inline constexpr uint8_t kBinFloat = 'G';
inline constexpr uint8_t kBinUnicode = 'X';
inline constexpr uint8_t kShortBinUnicode = 0x8C;
inline constexpr uint8_t kBinUnicode8 = 0x8D;
inline constexpr uint8_t kBinString = 'T';
inline constexpr uint8_t kShortBinString = 'U';
inline constexpr uint8_t kBinBytes = 'B';
inline constexpr uint8_t kShortBinBytes = 'C';
inline constexpr uint8_t kBinBytes8 = 0x8E;
inline constexpr uint8_t kEmptyList = ']';
inline constexpr uint8_t kAppend = 'a';
inline constexpr uint8_t kAppends = 'e';
inline constexpr uint8_t kEmptyTuple = ')';
inline constexpr uint8_t kTuple = 't';
inline constexpr uint8_t kTuple1 = 0x85;
inline constexpr uint8_t kTuple2 = 0x86;
inline constexpr uint8_t kTuple3 = 0x87;
inline constexpr uint8_t kEmptyDict = '}';
inline constexpr uint8_t kSetItem = 's';
inline constexpr uint8_t kSetItems = 'u';
inline constexpr uint8_t kBinPut = 'q';
inline constexpr uint8_t kLongBinPut = 'r';
inline constexpr uint8_t kMemoize = 0x94;
inline constexpr uint8_t kBinGet = 'h';
inline constexpr uint8_t kLongBinGet = 'j';
inline constexpr uint8_t kGlobal = 'c';
inline constexpr uint8_t kStackGlobal = 0x93;
inline constexpr uint8_t kReduce = 'R';
inline constexpr uint8_t kBuild = 'b';
inline constexpr uint8_t kBinPersId = 'Q';
}  // namespace opcode

// "NEWOBJ (0x81)" for an opcode that is not among the above; "0xff" if pickle
// has none of that number.
std::string OpcodeName(uint8_t code);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_PICKLE_OPCODES_H_
