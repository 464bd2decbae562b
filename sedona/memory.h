// The weight memory: a bounded population of supernets at different points of
// their training, from which a search draws the weights it starts a
// meta-iteration with.
#ifndef SEDONA_MEMORY_H_
#define SEDONA_MEMORY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/training/value.h"
#include "sedona/numpy_random.h"

namespace altprop::sedona {

struct Snapshot {
  int64_t step = 0;
  training::Value model;      // {name: tensor}, parameters and buffers
  training::Value optimizer;  // training::Optimizer::State()
  double error = 0;           // top 1, when it was taken
};

// On the CPU, with storages of their own.
training::Value DeepCopy(const training::Value& value);

enum class Eviction { kOldest, kWorst };

// What must agree between those who fill a memory and those who use it, as
// "flag", "value".
using MemorySettings = std::vector<std::pair<std::string, std::string>>;

class WeightMemory {
 public:
  WeightMemory(int64_t capacity, Eviction eviction)
      : capacity_(capacity), eviction_(eviction) {}

  // The newest comes last. A full memory first loses its oldest snapshot, or
  // the one with the largest error above 0 (without any: none leaves, and the
  // new one is not taken).
  void Insert(Snapshot snapshot);

  // Draws one uniformly and takes it out. CHECKs that there is one.
  Snapshot Sample(NumpyRandom& random);

  int64_t size() const { return static_cast<int64_t>(snapshots_.size()); }
  bool empty() const { return snapshots_.empty(); }
  double MeanError() const;
  const std::vector<Snapshot>& snapshots() const { return snapshots_; }

  // A file per snapshot, named by the second it was written at and read in the
  // order of the names; settings.txt beside them. An older memory in the folder
  // is replaced once the new one is written.
  absl::Status Save(const std::string& folder,
                    const MemorySettings& settings) const;

  // Fills the memory with the newest snapshots in `folder`, as many as it
  // holds. Errors name the file: none there, not a snapshot, or other settings
  // than these.
  absl::Status Load(const std::string& folder, const MemorySettings& settings);

  // A checkpoint's entry, and back. The caller adds the file's name.
  training::Value ToValue() const;
  absl::Status FromValue(const training::Value& value);

 private:
  int64_t capacity_;
  Eviction eviction_;
  std::vector<Snapshot> snapshots_;
};

// "0", "0.1000", "1.00e-03": as the authors name their memories' folders.
std::string KeyNumber(double value);

}  // namespace altprop::sedona

#endif  // SEDONA_MEMORY_H_
