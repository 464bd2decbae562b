// The decision variables that the authors published with their program, as text
// (searched/): found on CIFAR-10, a row per unit but the last.
#ifndef SEDONA_SEARCHED_VARIABLES_H_
#define SEDONA_SEARCHED_VARIABLES_H_

namespace altprop::sedona {

struct SearchedVariables {
  const char* file;  // "vgg19/alpha.txt"
  const char* text;
};

inline constexpr SearchedVariables kSearchedVariables[] = {
#include "sedona/searched_variables.inc"
};

}  // namespace altprop::sedona

#endif  // SEDONA_SEARCHED_VARIABLES_H_
