#include "common/training/pickle_opcodes.h"

#include <array>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace altprop::training {
namespace {

struct Named {
  uint8_t code;
  absl::string_view name;
};

// Those of Python 3's pickletools that Unpickler refuses.
constexpr auto kRefused = std::to_array<Named>({
    {'0', "POP"},          {'1', "POP_MARK"},
    {'2', "DUP"},          {'F', "FLOAT"},
    {'I', "INT"},          {'L', "LONG"},
    {'P', "PERSID"},       {'S', "STRING"},
    {'V', "UNICODE"},      {'d', "DICT"},
    {'g', "GET"},          {'i', "INST"},
    {'l', "LIST"},         {'o', "OBJ"},
    {'p', "PUT"},          {0x81, "NEWOBJ"},
    {0x82, "EXT1"},        {0x83, "EXT2"},
    {0x84, "EXT4"},        {0x8F, "EMPTY_SET"},
    {0x90, "ADDITEMS"},    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},   {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
});

}  // namespace

std::string OpcodeName(uint8_t code) {
  for (const Named& named : kRefused) {
    if (named.code == code) {
      return absl::StrFormat("%s (0x%02x)", named.name, code);
    }
  }
  return absl::StrFormat("0x%02x", code);
}

}  // namespace altprop::training
