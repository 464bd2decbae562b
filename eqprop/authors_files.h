// What --save adds for those who know the authors' program: its folder names
// and its hyperparameters.txt.

#ifndef EQPROP_AUTHORS_FILES_H_
#define EQPROP_AUTHORS_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "eqprop/evaluation.h"
#include "eqprop/flags.h"

namespace altprop::eqprop {

// results/<alg>/<loss>/<YYYY-MM-DD>/<HH-MM-SS>_gpu<device>, local time; gpu-1
// is the CPU.
std::string AuthorsFolder(const Options& options, absl::Time now);

// hyperparameters.txt in `folder`: a line for each setting that the authors'
// program lists.
absl::Status WriteHyperparameters(const std::string& folder,
                                  const Options& options);

// Appends the two accuracies, unrounded, to `folder`'s hyperparameters.txt.
absl::Status AppendAccuracies(const std::string& folder, const Score& train,
                              const Score& test);

}  // namespace altprop::eqprop

#endif  // EQPROP_AUTHORS_FILES_H_
