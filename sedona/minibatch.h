#ifndef SEDONA_MINIBATCH_H_
#define SEDONA_MINIBATCH_H_

#include "ATen/core/Tensor.h"

namespace altprop::sedona {

struct Minibatch {
  at::Tensor x;       // [B, 3, S, S], normalised, on the run's device
  at::Tensor labels;  // int64 [B]
};

}  // namespace altprop::sedona

#endif  // SEDONA_MINIBATCH_H_
