// The continuous form of a decoupling (Pyeon et al. 2021, section 3): at unit i
// of L, alpha_i weighs its own loss against the signal from above, and beta_i
// weighs its candidate auxiliary networks.
#ifndef SEDONA_RELAXATION_H_
#define SEDONA_RELAXATION_H_

#include <vector>

#include "ATen/core/Tensor.h"

namespace altprop::sedona {

struct Relaxation {
  // [L - 1]: softmax(alpha_i), the local loss and the signal from above.
  at::Tensor p, q;
  at::Tensor b;  // [L - 1, M]: softmax(beta_i); undefined: the plain mean
  // [L]: P_i = prod_{j < i} q_j, the factor of unit i's gradient.
  std::vector<at::Tensor> P;
  // [L]: s_i = 1 / (p_i + 1e-5), a constant; 1 for the last unit.
  std::vector<double> scales;
};

// alpha: [L - 1, 2]. beta: [L - 1, M], or undefined or without columns. p, q, b
// and P carry the graph where alpha and beta require gradients.
Relaxation Relax(const at::Tensor& alpha, const at::Tensor& beta);

// The composite loss, from the last unit back:
//   L_{L-1} = l_{L-1},  L_i = q_i L_{i+1} + p_i l_i;  returns L_0.
at::Tensor CompositeLoss(const Relaxation& relaxation,
                         const std::vector<at::Tensor>& losses);

}  // namespace altprop::sedona

#endif  // SEDONA_RELAXATION_H_
