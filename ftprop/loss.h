// The output losses (--loss), and the hidden losses that target propagation
// takes the slopes of.

#ifndef FTPROP_LOSS_H_
#define FTPROP_LOSS_H_

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ftprop/nonlinearity.h"

namespace altprop::ftprop {

// With T_ij = +1 if j is the label of sample i, else -1:
enum class Loss {
  kCrossEntropy,  // crossent: softmax cross-entropy, mean over samples
  kHinge,         // hinge: sum_j max(0, 1 - T_ij z_ij), mean over i
  kHingeTrunc,    // hingeTrunc: sum_j min(max(1 - T_ij z_ij, 0), 2), mean
  kHingeSM,       // hingeSM: hinge of log-softmax(z)
  kHingeL2,       // hingeL2: sum_j max(0, 1 - T_ij z_ij)^2, mean. The authors'
                  // program takes the name and stops; the formula is its own
  kHingeTruncSM,  // hingeTrunc of log-softmax(z): not on the command line
};

// crossent, hinge, hingeL2, hingeSM or hingeTrunc; InvalidArgument with the
// names.
absl::StatusOr<Loss> ParseLoss(absl::string_view name);
absl::string_view LossName(Loss loss);

// z: [N, C], labels: int64 [N] in 0 .. C - 1. A scalar in z's type, which
// autograd can take back to z.
at::Tensor OutputLoss(Loss loss, const at::Tensor& z, const at::Tensor& labels);

// l(z, t) of a rule, element by element, without reduction; z and t of one
// shape, t in {-1, 0, 1}. Nothing in training evaluates it: the rules use its
// slope. InvalidArgument for the rules that have none (WeightedPerceptron,
// Adaline, STE, SSTE, SSTEv2, Ramp).
absl::StatusOr<at::Tensor> HiddenLoss(Rule rule, const at::Tensor& z,
                                      const at::Tensor& t);

}  // namespace altprop::ftprop

#endif  // FTPROP_LOSS_H_
