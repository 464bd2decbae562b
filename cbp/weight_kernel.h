// The inner loops of weight_rule.h for the CPU: one pass over a stretch of one
// layer. One compilation per instruction set; nothing here needs LibTorch.

#ifndef CBP_WEIGHT_KERNEL_H_
#define CBP_WEIGHT_KERNEL_H_

#include <cstdint>

#include "cbp/levels.h"

namespace altprop::cbp {

// What a stretch adds to the sums: lambda cs(w) before an update, Y(w) after.
struct KernelSums {
  double constraint = 0;
  double distance = 0;
};

template <typename T>
struct WeightStretch {
  int64_t size;
  T* w;
  const T* gradient;
  const T* lambda;
  T* v;
  T* q;
};

template <typename T>
struct WeightConstants {
  T s;
  T edge_inner, edge_outer;  // d_k u, |w| below s / 2 and above; no gate: inf
  T learning_rate, weight_decay, momentum;
};

template <typename T>
struct MultiplierStretch {
  int64_t size;
  const T* w;
  T* lambda;
  T* m;
  T* v;
};

template <typename T>
struct MultiplierConstants {
  T s;
  T edge_inner, edge_outer;
  T step;  // lr / (1 - beta1^t)
  T root;  // sqrt(1 - beta2^t)
};

struct WeightKernels {
  const char* name;
  KernelSums (*update32)(Mode, const WeightStretch<float>&,
                         const WeightConstants<float>&);
  KernelSums (*update64)(Mode, const WeightStretch<double>&,
                         const WeightConstants<double>&);
  // Y(w) summed in .distance.
  KernelSums (*ascend32)(Mode, const MultiplierStretch<float>&,
                         const MultiplierConstants<float>&);
  KernelSums (*ascend64)(Mode, const MultiplierStretch<double>&,
                         const MultiplierConstants<double>&);
  // q = Q(w) alone.
  void (*quantize32)(Mode, const float* w, int64_t size, float s, float* q);
  void (*quantize64)(Mode, const double* w, int64_t size, double s, double* q);
};

extern const WeightKernels kWeightAvx512;   // AVX-512 F, DQ, BW, VL
extern const WeightKernels kWeightAvx2;     // AVX2
extern const WeightKernels kWeightDefault;  // what the compiler targets

}  // namespace altprop::cbp

#endif  // CBP_WEIGHT_KERNEL_H_
