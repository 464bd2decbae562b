// A trained network as level indices, a few bits per weight, for sharing.

#ifndef CBP_EXPORT_LEVELS_H_
#define CBP_EXPORT_LEVELS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cbp/flags.h"
#include "cbp/network.h"
#include "common/cli/parse.h"
#include "common/training/value.h"

namespace altprop::cbp {

struct ExportSummary {
  int64_t weights = 0;      // of all layers
  int64_t constrained = 0;  // of those, packed
  int64_t ties = 0;         // weights on a midpoint: they took the upper level
  int64_t bytes = 0;        // of the tensors written
  int64_t float_bytes = 0;  // of the same network in float32, counters in int64
};

// Writes a .safetensors file (weights_file.h). A network under the constraint
// is packed; one in full precision is written as it is.
absl::StatusOr<ExportSummary> ExportLevels(const std::string& path,
                                           const Options& options,
                                           const Network& network);

// The same, with a line about it on stdout.
absl::Status ExportNetwork(const std::string& path, const Options& options,
                           const Network& network);

// A network with the weights of `file` under the constraint (--quant), its
// scales the file's, or else mean |w|. Where `file` is a checkpoint of :train,
// flags that the command line does not give are taken from it first: see
// RestoreFileFlags. The shape of first and last layer decides channels and
// classes.
absl::StatusOr<Network> LoadNetwork(Options& options, const std::string& file);

// Whether `weights` are those of --model and --width, in names and shapes; the
// scales and counters may be missing.
absl::Status CheckWeights(Options& options, const training::Dict& weights,
                          const std::string& file);

// Sets the flags that `file` holds, but for those given: all flags of a
// checkpoint of :train, model, width and quant of a file of :export. --quant is
// none where the file's weights were not under the constraint. A flag given
// that contradicts a file of :export is a usage error. Does nothing for other
// files.
absl::Status RestoreFileFlags(const std::string& file,
                              const cli::ParsedArguments& arguments);

// --checkpoint, or the authors' place: model/MODEL_QUANT_prequantized.pth.
std::string FileToRead(const Options& options);

}  // namespace altprop::cbp

#endif  // CBP_EXPORT_LEVELS_H_
