// Weights from files of several kinds, by the authors' names.

#ifndef CBP_WEIGHTS_FILE_H_
#define CBP_WEIGHTS_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cbp/levels.h"
#include "common/training/safetensors.h"
#include "common/training/value.h"

namespace altprop::cbp {

// The dictionary of tensors in `file`, without a "module." before the names:
//   ours                      "model" of a checkpoint
//   the authors'              "model_state_dict"
//   torchvision's and others' "state_dict", or the file's own dictionary
//   .safetensors              all of it; level indices that :export packed
//                             become the weights they stand for
absl::StatusOr<training::Dict> ReadWeightsFile(const std::string& file);

// Copies `weights` over the tensors of `into` of the same names. An unknown
// name and another shape are errors, all of them listed; what the file lacks
// stays as it is and is returned.
absl::StatusOr<std::vector<std::string>> OverlayWeights(
    const training::Dict& weights, const std::string& file,
    const training::NamedTensors& into);

// What :export writes for a constrained layer NAME, beside NAME.scale [1]:
//   NAME.levels  uint8 [bits, ceil(n / 8)]: the index of each weight's level,
//   as
//                training::PackBitPlanes lays it out
//   NAME.shape   int64: the weight's shape
// and in the metadata, of the file: format "cbp-levels", quant, and the levels
// in units of the scale, "-1,0,1".
inline constexpr char kLevelsFormat[] = "cbp-levels";

// Replaces, in `tensors`, the three entries of each packed layer by NAME.weight
// and NAME.scale.
absl::StatusOr<training::Dict> UnpackLevels(const training::Safetensors& file,
                                            const std::string& name);

}  // namespace altprop::cbp

#endif  // CBP_WEIGHTS_FILE_H_
