// Decision variables on disk: what a search leaves behind and a greedy training
// starts from.
#ifndef SEDONA_VARIABLES_H_
#define SEDONA_VARIABLES_H_

#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace altprop::sedona {

struct Variables {
  at::Tensor alpha;  // [L - 1, 2]
  at::Tensor beta;   // [L - 1, M]; M = 0: none were searched
};

// alpha.pt and beta.pt in `folder` (a tensor each, in any of torch.save's
// formats), or alpha.txt and beta.txt (a row a line), which win where a .pt is
// missing. A folder that is not there but whose path ends in one of the
// published searches (sedona_outputs/resnet50, also vgg19, resnet101,
// resnet152) stands for the variables that the authors published, which are
// part of the program. Errors name the file: no such folder, not a matrix of
// finite numbers.
absl::StatusOr<Variables> ReadVariables(const std::string& folder,
                                        bool with_beta = true);

// Whether they are for `units` units with `candidates` auxiliary networks each;
// the error names the folder and what was expected. `with_beta` false: beta is
// not looked at.
absl::Status CheckVariables(const std::string& folder,
                            const Variables& variables, int64_t units,
                            int64_t candidates, bool with_beta);

// alpha.pt, beta.pt, in the tensors' own type, and a .txt copy of each whose
// numbers read back as the same values. Makes the folder.
absl::Status WriteVariables(const std::string& folder,
                            const Variables& variables);

}  // namespace altprop::sedona

#endif  // SEDONA_VARIABLES_H_
