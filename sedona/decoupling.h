// From decision variables to blocks: where a network of L units is cut into K
// blocks, and which auxiliary network each cut keeps.
#ifndef SEDONA_DECOUPLING_H_
#define SEDONA_DECOUPLING_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"

namespace altprop::sedona {

struct Decoupling {
  // Units that end a block, ascending; the last one, L - 1, is not among them.
  std::vector<int64_t> cuts;
  // Per cut, the candidate with the largest beta, from 0; empty without beta.
  std::vector<int64_t> candidates;

  int64_t blocks() const { return static_cast<int64_t>(cuts.size()) + 1; }
};

// The K - 1 units whose margin alpha_i0 - alpha_i1 is largest are cuts; of
// equal margins (taken in double) the lower index. K = 0: every unit with
// alpha_i0 >= alpha_i1. alpha: [L - 1, 2]; beta: [L - 1, M], or undefined or
// without columns. CHECKs 0 <= K <= L.
Decoupling Decode(const at::Tensor& alpha, const at::Tensor& beta, int64_t k);

// Blocks of nearly equal length: c_j = max(0, floor(j L / K) - 1), j = 1 ..
// K - 1. CHECKs 1 <= K <= L.
Decoupling UniformDecoupling(int64_t units, int64_t k);

}  // namespace altprop::sedona

#endif  // SEDONA_DECOUPLING_H_
