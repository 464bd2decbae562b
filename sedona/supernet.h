// The undecoupled network with every candidate on every unit, trained by mixed
// signals (Pyeon et al. 2021, section 3).
#ifndef SEDONA_SUPERNET_H_
#define SEDONA_SUPERNET_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "sedona/network.h"
#include "sedona/relaxation.h"

namespace altprop::sedona {

// The auxiliary networks of a supernet: SEDONA's candidates, or the baseline
// alone (`baseline`, where the auxiliary network is not searched for).
std::vector<AuxChoice> SupernetAux(const Architecture& architecture,
                                   bool baseline);

struct SupernetOutput {
  std::vector<at::Tensor> losses;  // l_i, scalars
  at::Tensor logits;               // of the head
};

// Of unit i < L - 1: z_i = s_i sum_k b_ik D_ik(h_i / s_i), of the last one the
// head's logits; l_i is the smoothed cross-entropy of z_i. An undefined b mixes
// with equal shares.
SupernetOutput Forward(const Network& supernet, const at::Tensor& x,
                       const at::Tensor& labels, const Relaxation& relaxation,
                       double smoothing, const Mode& mode);

// The head's logits alone.
at::Tensor HeadLogits(const Network& supernet, const at::Tensor& x,
                      const Mode& mode);

// For each parameter, in order, the unit that it belongs to.
std::vector<size_t> UnitOfParameters(const Network& network);

struct WeightGradient {
  std::vector<at::Tensor> losses;     // l_i, without a graph
  at::Tensor composite;               // without a graph
  at::Tensor logits;                  // of the head, without a graph
  std::vector<at::Tensor> gradients;  // G, in the order of the parameters
};

// One training-mode pass and the gradient of the composite loss, divided by P_i
// in unit i: the direction in which pretraining and the search move the
// weights. alpha and beta are constants here.
WeightGradient MixedSignals(const Network& supernet, const at::Tensor& x,
                            const at::Tensor& labels,
                            const Relaxation& relaxation, double smoothing,
                            const Mode& mode);

}  // namespace altprop::sedona

#endif  // SEDONA_SUPERNET_H_
