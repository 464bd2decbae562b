// One edge of the network: a linear map between two layers, with the pooling
// that stands behind it. Plain functions on tensors; nothing records autograd.
//
//   paper              here
//   A_l(s) + b_l = z   Preactivation
//   P_l(z)             PoolForward, with the routing that U and G need
//   U_l(v; z)          Unpool: the adjoint of the linearised pooling
//   G_l(e; z)          Gather: the linearised pooling itself
//   A_l^T(e)           Adjoint, the data gradient of the map
//   wgrad(s, e)        WeightGradient
//
// A map is a matrix [n, m], applied to the input flattened channel by channel,
// or a convolution [c, d, k, k] (cross-correlation with stride and zero
// padding). Tensors of a batch are [B, n] or [B, C, H, W].

#ifndef EQPROP_EDGE_H_
#define EQPROP_EDGE_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"

namespace altprop::eqprop {

// 2x2 windows, stride 2; an odd last row or column is dropped. kMax takes the
// first maximum of a window in row-major order.
enum class Pool { kNone, kMax, kAverage };

struct Edge {
  at::Tensor weight;  // W_l, [n_l, n_{l-1}] or [c_l, c_{l-1}, k, k]
  at::Tensor bias;    // b_l, [n_l] or [c_l]
  // B_l of a vector-field network, which carries s_l down to layer l-1 in place
  // of W_l; undefined elsewhere. Shaped as W_l, but in a VFMLP, where the
  // authors store its transpose (BackwardWeight in network.h).
  at::Tensor backward;
  int64_t stride = 1, padding = 0;  // of a convolution
  Pool pool = Pool::kNone;          // of a convolution

  bool convolution() const { return weight.dim() == 4; }
};

// A(below) + bias, or A(below) alone where `bias` is undefined. `weight` is the
// edge's W or a backward weight of its shape.
at::Tensor Preactivation(const Edge& edge, const at::Tensor& weight,
                         const at::Tensor& bias, const at::Tensor& below);

// A pooled pre-activation and how it came about.
struct Pooled {
  at::Tensor p;        // P(z)
  at::Tensor z;        // kept for its shape
  at::Tensor indices;  // kMax: where in z each p was, int64, shaped as p
};
Pooled PoolForward(Pool pool, const at::Tensor& z);

// U(v; z): v at the places its window's maximum had, or spread evenly.
at::Tensor Unpool(Pool pool, const at::Tensor& v, const Pooled& at);

// G(e; z): e at those places, or averaged.
at::Tensor Gather(Pool pool, const at::Tensor& e, const Pooled& at);

// A^T(e), shaped as `below`.
at::Tensor Adjoint(const Edge& edge, const at::Tensor& weight,
                   const at::Tensor& e, const at::Tensor& below);

// d<e, A(below)>/dW, summed over the batch.
at::Tensor WeightGradient(const Edge& edge, const at::Tensor& below,
                          const at::Tensor& e);

// d<e, z>/db: e summed over the batch and over space.
at::Tensor BiasGradient(const at::Tensor& e);

// `per_sample`, [B], shaped so that it multiplies the samples of `like`.
at::Tensor PerSample(const at::Tensor& per_sample, const at::Tensor& like);

}  // namespace altprop::eqprop

#endif  // EQPROP_EDGE_H_
