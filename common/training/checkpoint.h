// Checkpoints: files that Python's torch.load(file, weights_only=True) opens as
// plain dictionaries, and that a crash cannot leave half written.
#ifndef COMMON_TRAINING_CHECKPOINT_H_
#define COMMON_TRAINING_CHECKPOINT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/training/value.h"

namespace altprop::training {

// Writes `root`, usually a dictionary, to `path` as torch.save's zip format,
// through AtomicFile (atomic_file.h): after an error the old file is whole.
//
// The bytes are a function of the value alone: each tensor is written
// contiguous, from the CPU, in a storage of its own and exactly its size,
// however it lay in memory (a view, transposed, sharing a storage, on a GPU).
// Tensors: strided; bool, uint8, int8 to int64, half, bfloat16, float, double,
// complex64, complex128. Anything else, a key used twice in a dictionary or a
// string that is not UTF-8 is InvalidArgument, naming the entry.
absl::Status SaveCheckpoint(const std::string& path, const Value& root);

// Reads what SaveCheckpoint or Python's torch.save wrote: zip files, and the
// stream files of torch before 1.6. All tensors come to the CPU, without
// requires_grad; those that share a storage in the file share it here.
//
// Data only. Dictionaries, OrderedDicts, lists, tuples and torch.Size (both as
// List), tensors, Parameters, numbers, strings, None; torch.dtype and
// torch.device become strings ("torch.float32", "cpu"), bytes become a string,
// integers outside int64 a string of decimal digits, and so do the dictionary
// keys that are integers (an optimizer's state). Any other pickle opcode or
// global is refused by its name; nothing in a file is ever executed.
//
// Every error is one line that begins with `path`: NotFound (no such file),
// InvalidArgument (a directory, empty, not a checkpoint, something we do not
// read), DataLoss (truncated, or contents that contradict themselves or their
// checksum; the line names the tensor). In a zip file each record that is read
// is held against its CRC-32 and its two headers, so a flipped bit is an error
// or lies where no content is (a time stamp, padding, torch's serialization
// id); stream files have no checksums: damage to their structure is found,
// damage to numbers is not.
//
// Safe on hostile files: tensors take no more memory than the file is long (16
// times that or 1 GiB where its records are deflated), all else at most 256
// times the pickle's length and 1 GiB; nesting ends at 256.
absl::StatusOr<Value> LoadCheckpoint(const std::string& path);

// Copies `model`'s tensors into those of `into`, by name and in place,
// converting dtype and device. Names and shapes must agree exactly; if not,
// nothing is copied and one line lists every difference:
//   `model.pt: does not fit the network: missing synapses.1.weight [10, 512];
//    left over conv.weight [8, 1, 3, 3]; synapses.0.weight is [64, 784],
//    expected [512, 784]`.
// `file`: the name for messages. A `model` that is no dictionary, or an entry
// that is no tensor, is InvalidArgument too.
absl::Status CopyParameters(const Value& model, const std::string& file,
                            const NamedTensors& into);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_CHECKPOINT_H_
