// Binary weights with a straight-through gradient, and what evaluating them
// leaves behind (Lan 2021).
//
// A layer owns a real-valued master weight W. It computes with
//
//   E(W) = sign(W) where the layer is binary, else W,   sign(0) = 0,
//
// and the gradient with respect to E(W) is applied to W as it is: no scale, no
// threshold, no clipping. Biases and batch norm stay real-valued.

#ifndef ITERBIN_BINARIZE_H_
#define ITERBIN_BINARIZE_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"

namespace altprop::iterbin {

// Per layer, in forward order: is it binary now?
using Flags = std::vector<bool>;

// E(W), without gradient; `master` itself, its storage shared, when not binary.
at::Tensor Effective(const at::Tensor& master, bool binary);

// What happens to the masters when the network is evaluated.
//   kReference  as the authors' program does for MNIST and CIFAR-10: it
//               evaluates with E(W_t), W_t the masters of the last training
//               forward pass, one step behind biases, batch norm and optimizer;
//               afterwards the masters are E(W_t), so a binary layer's real
//               values are lost and the epoch's last step on W is undone.
//   kCorrected  evaluates with E(W) of the newest masters and leaves them
//   alone,
//               as the authors' ImageNet program does.
enum class Semantics { kReference, kCorrected };

// kReference's memory: E(W_t) of each layer, W_t the masters before the last
// update. Empty where there is none to remember.
using LastForward = std::vector<at::Tensor>;

// Copies E(masters); call it before the update that follows the forward pass.
LastForward RememberForward(const std::vector<at::Tensor>& masters,
                            const Flags& binary);

// masters := E(W_t), in place. Doing it again changes nothing.
void AdoptForward(const LastForward& last,
                  const std::vector<at::Tensor>& masters);

// Of the weights that a network is evaluated with, all binarizable layers
// together. The largest and smallest start from 0, as the authors' do.
struct WeightStatistics {
  double max = 0, min = 0;
  int64_t num_zeros = 0;   // exact zeros
  int64_t num_binary = 0;  // elements of binary layers
};
WeightStatistics Statistics(const std::vector<at::Tensor>& effective,
                            const Flags& binary);

// The sign of each weight, bool: true above 0.
std::vector<at::Tensor> SignsOf(const std::vector<at::Tensor>& weights);

// The share of the binary layers' weights whose sign differs from `before`
// (SignsOf); 0 where no layer is binary.
double FlippedShare(const std::vector<at::Tensor>& before,
                    const std::vector<at::Tensor>& weights,
                    const Flags& binary);

}  // namespace altprop::iterbin

#endif  // ITERBIN_BINARIZE_H_
