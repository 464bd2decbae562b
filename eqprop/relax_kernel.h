// The inner loop of relax_op.h for the CPU: all time steps of a few samples,
// their states and the weights in the first-level cache. One compilation per
// instruction set; nothing here needs LibTorch.

#ifndef EQPROP_RELAX_KERNEL_H_
#define EQPROP_RELAX_KERNEL_H_

#include <cstdint>

namespace altprop::eqprop::relax {

// Samples that one call of a kernel moves together.
inline constexpr int kRows = 2;

// Lengths are padded to whole vectors of the widest instruction set.
inline constexpr int64_t kAlignment = 64;
template <typename T>
constexpr int64_t Padded(int64_t length) {
  constexpr auto kLanes = static_cast<int64_t>(kAlignment / sizeof(T));
  return (length + kLanes - 1) / kLanes * kLanes;
}

// The order of eqprop::Activation.
enum class Sigma {
  kMysig,
  kSigmoid,
  kTanh,
  kHardSigmoid,
  kMyHardSig,
  kCtrdHardSig,
};

enum class Pull { kNone, kMse, kCel };

// A layer of kRows samples and the edge that leads up to it. Every pointer is
// aligned to kAlignment; a row has Padded(size) entries, those beyond `size`
// zero in weights and bias.
template <typename T>
struct Layer {
  int64_t size;  // n_l
  int64_t tile;  // rows of the weight that a pass takes, 1 to kMaxTile
  const T*
      weight;     // [ceil(n_l / tile) * tile, Padded(n_{l-1})]; unused for l=1
  const T* bias;  // [Padded(n_l)]; unused for l = 1
  T* state;       // [kRows, Padded(n_l)], in and out
  T* drive;       // [kRows, Padded(n_l)], scratch
};
inline constexpr int kMaxTile = 10;

template <typename T>
struct Block {
  int layers;
  Layer<T>* layer;
  const T* input_drive;  // W_1 x + b_1, [kRows, Padded(n_1)]
  const T* beta;         // [kRows]; unused with kNone
  const T* target;       // [kRows, Padded(n_S)]; unused with kNone
  int64_t steps;
  Sigma sigma;
  Pull pull;
  bool linear_output;
};

// `steps` time steps of one block.
template <typename T>
using Kernel = void (*)(const Block<T>&);

struct Kernels {
  const char* name;  // as at::get_cpu_capability() has it
  Kernel<float> float32;
  Kernel<double> float64;
  int64_t max_tile;  // at most kMaxTile; as the registers allow
};

extern const Kernels kAvx512;   // AVX-512 F, DQ, BW, VL
extern const Kernels kAvx2;     // AVX2 and FMA
extern const Kernels kDefault;  // x86-64, or what the compiler targets

}  // namespace altprop::eqprop::relax

#endif  // EQPROP_RELAX_KERNEL_H_
