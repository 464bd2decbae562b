// What ends a block: the auxiliary networks of SEDONA, DGL and PredSim, the
// mixture of candidates that the search trains, and the classification heads.
// Each maps a unit's output [N, C, S, S] to logits [N, classes].
#ifndef SEDONA_AUX_NETWORK_H_
#define SEDONA_AUX_NETWORK_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ATen/core/Tensor.h"
#include "sedona/layers.h"

namespace altprop::sedona {

// MobileNet v2's block (Sandler et al. 2018): expand by 1x1 (where r is not 1),
// depthwise 3x3, project by 1x1, add the input where shapes allow. ReLU always.
struct InvertedResidual {
  std::optional<ConvNorm> expand;
  ConvNorm depthwise;
  ConvNorm project;
  bool shortcut = false;
};

// SEDONA's candidate of depth d: 1x1 to C/r channels, depthwise 3x3 of stride
// 2, d - 1 inverted residual blocks, 1x1 to D channels, global mean, linear.
struct LightDecoder {
  ConvNorm reduce;
  ConvNorm depthwise;
  std::vector<InvertedResidual> blocks;
  ConvNorm tail;
  models::Linear linear;
};

// The candidates of one unit during the search.
struct Mixture {
  std::vector<LightDecoder> candidates;
};

// DGL's MLP-SR (Belilovsky et al. 2020).
struct MlpSr {
  struct Hidden {
    models::Linear linear;
    models::BatchNorm norm;
  };
  int64_t first_size = 0, second_size = 0;  // of the two average pools
  std::array<ConvNorm, 3> convolutions;
  std::array<Hidden, 3> hidden;
  models::Linear linear;
};

// The average pool that brings C S^2 values to about a target.
struct PoolShape {
  int64_t kernel_h = 1, kernel_w = 1, pad_h = 0, pad_w = 0;
  int64_t features = 0;  // after it, flattened

  bool identity() const { return kernel_h == 1 && kernel_w == 1; }
};
PoolShape PoolTowards(int64_t channels, int64_t size, int64_t target);

// A linear classifier of the pooled input, and the similarity matrix of a 3x3
// convolution's output (Nokland & Eidnes 2019).
struct PredSim {
  PoolShape pool;
  models::Linear linear;
  at::Tensor similarity_weight;  // [C, C, 3, 3]
  bool use_std = true;
};

struct VggHead {
  std::array<models::Linear, 3> linears;
};

struct ResNetHead {
  models::Linear linear;
};

using Aux = std::variant<std::monostate, Mixture, LightDecoder, MlpSr, PredSim,
                         VggHead, ResNetHead>;

// What an auxiliary network is made for.
struct AuxShape {
  int64_t channels = 0;  // C
  int64_t size = 0;      // S
  int64_t classes = 0;
  int64_t expansion = 4;  // r
  int64_t tail = 512;     // D
  Activation nonlin = Activation::kRelu;
};

// C / r must not be 0.
LightDecoder MakeLightDecoder(const AuxShape& shape, int64_t depth);
// Depths `min_depth` + 1 to `max_depth`.
Mixture MakeMixture(const AuxShape& shape, int64_t min_depth,
                    int64_t max_depth);
MlpSr MakeMlpSr(const AuxShape& shape);
PredSim MakePredSim(const AuxShape& shape, int64_t target, bool use_std);

struct LocalOutput {
  at::Tensor logits;
  at::Tensor similarity;  // [N, N], PredSim's only
};

// `weights`: [M] for a mixture of M candidates' logits; undefined: their mean.
LocalOutput Forward(const Aux& aux, const at::Tensor& x,
                    const at::Tensor& weights, const Mode& mode);

// Names below `prefix`, as the authors' state dictionaries have them.
void Visit(Aux& aux, const std::string& prefix, TensorVisitor visit);

}  // namespace altprop::sedona

#endif  // SEDONA_AUX_NETWORK_H_
