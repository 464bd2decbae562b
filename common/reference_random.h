// The random numbers that a Python program takes from PyTorch's global CPU
// generator while torch.utils.data.DataLoader feeds it: which samples form a
// batch, and how torchvision's RandomCrop and RandomHorizontalFlip change them.
// For methods whose authors' runs are to be repeated sample by sample.
//
// Everything is a function of (seed, pass, position), so a run resumes
// anywhere.
#ifndef COMMON_REFERENCE_RANDOM_H_
#define COMMON_REFERENCE_RANDOM_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace altprop {

// What one iteration over a loader takes from the global generator: the seed of
// its workers and, when it shuffles, that of its sampler.
struct LoaderPass {
  int64_t base_seed = 0;
  int64_t sampler_seed = 0;  // of a shuffled pass only
  bool shuffled = false;
};

// The passes of a program that called torch.manual_seed(`seed`) and takes
// nothing else from the generator: `shuffled` says of each, in order, whether
// its loader shuffles. Returns the last one. `next` (may be null) receives the
// unbounded 64-bit integer that the generator gives after them.
LoaderPass ReplayPasses(uint64_t seed, const std::vector<bool>& shuffled,
                        int64_t* next = nullptr);

// The order of `size` samples in a pass, int64 [size]: a shuffled pass draws
// torch.randperm from a generator of its own, another one counts.
at::Tensor PassOrder(const LoaderPass& pass, int64_t size);

// Per position in the pass (not per sample) the vertical and the horizontal
// offset of the crop, uniform on 0 .. 2 `pad`, and the number that decides the
// flip (below 1/2: flipped).
struct CropDraws {
  at::Tensor offsets;  // int32 [size, 2]
  at::Tensor uniform;  // float32 [size]
};

// Worker w of `workers` has the seed base_seed + w and makes batches w, w +
// workers, ... in this order, sample after sample.
CropDraws PassCrops(const LoaderPass& pass, int64_t size, int64_t batch_size,
                    int64_t workers, int64_t pad);

// The rows as kernels::Augment takes them, int32 [size, 3]: it mirrors the
// image before it pads and crops, torchvision crops first.
at::Tensor AugmentRows(const CropDraws& draws, int64_t pad);

}  // namespace altprop

#endif  // COMMON_REFERENCE_RANDOM_H_
