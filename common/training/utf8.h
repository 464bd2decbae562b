#ifndef COMMON_TRAINING_UTF8_H_
#define COMMON_TRAINING_UTF8_H_

#include "absl/strings/string_view.h"

namespace altprop::training {

// Whether Python's strict decoder takes `text`: no overlong forms, no
// surrogates, nothing above U+10FFFF.
bool IsUtf8(absl::string_view text);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_UTF8_H_
