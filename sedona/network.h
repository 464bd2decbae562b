// VGG and ResNet as lists of units, the smallest pieces that can end a block:
// one convolution of a VGG, one residual block of a ResNet.
#ifndef SEDONA_NETWORK_H_
#define SEDONA_NETWORK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/training/value.h"
#include "sedona/aux_network.h"
#include "sedona/layers.h"

namespace altprop::sedona {

struct Architecture {
  std::string name = "vgg19";  // ArchitectureNames()
  int64_t input_size = 32;     // 32, 64 or 224
  int64_t classes = 10;
  double feat_mult = 1;  // every width c is int(c feat_mult)
  Activation nonlin = Activation::kRelu;
  int64_t min_depth = 0, max_depth = 4;  // candidates: min + 1 .. max
  int64_t predsim_features = 512;        // --dim-in-decoder
  bool similarity_std = true;

  int64_t candidates() const { return max_depth - min_depth; }
};

// vgg11, ..., resnet152.
const std::vector<std::string>& ArchitectureNames();

// The auxiliary network that a unit carries. Heads come by themselves.
enum class AuxKind { kNone, kMixture, kLight, kMlpSr, kPredSim };
struct AuxChoice {
  AuxKind kind = AuxKind::kNone;
  int64_t depth = 0;  // of kLight
};

struct ResidualBlock {
  std::vector<ConvNorm> layers;  // 2 or 3, the last without activation
  std::optional<ConvNorm> shortcut;
};

struct Unit {
  int64_t position = 0;      // in the authors' module list
  bool pool_before = false;  // VGG: a 2x2 max-pool
  std::optional<ConvNorm> stem;
  bool stem_pool = false;  // 3x3, stride 2
  std::variant<ConvNorm, ResidualBlock> body;
  Aux aux;                         // the last unit's is the head
  int64_t channels = 0, size = 0;  // of its output

  bool ends_block() const { return aux.index() != 0; }
};

// Copies share the tensors.
struct Network {
  Architecture architecture;
  std::vector<Unit> units;
};

// Units of an architecture, L; 0 for a name that is none.
int64_t UnitCount(absl::string_view architecture);

// `aux`: one per unit but the last. The weights are zero. Errors are usage
// errors: a width of 0, an auxiliary network of 0 channels.
absl::StatusOr<Network> MakeNetwork(const Architecture& architecture,
                                    const std::vector<AuxChoice>& aux);

// Draws the weights, on the CPU in float.
void Initialise(Network& network, uint64_t seed);

// In the order of the authors' state dictionaries, with their names.
void Visit(Network& network, TensorVisitor visit);
void VisitUnit(Network& network, size_t unit, TensorVisitor visit);

// All tensors, or those that are trained, of the network or of one unit.
training::NamedTensors State(const Network& network);
training::NamedTensors Parameters(const Network& network);
training::NamedTensors UnitParameters(const Network& network, size_t unit);

// In place: the type (of floating tensors), the device, whether gradients are
// recorded for what is trained.
void ConvertTo(Network& network, at::ScalarType dtype, at::Device device);
void RequireGradients(Network& network);

// The same network with tensors of its own.
Network Clone(const Network& network);

// A unit's output [N, C, S, S].
at::Tensor Forward(const Unit& unit, const at::Tensor& x, const Mode& mode);

}  // namespace altprop::sedona

#endif  // SEDONA_NETWORK_H_
