#include "common/reference_random.h"

#include <algorithm>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/randperm.h"
#include "common/logging.h"

namespace altprop {
namespace {

at::Generator Generator(int64_t seed) {
  return at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
}

// torch.empty((), dtype=torch.int64).random_()
int64_t Unbounded(at::Generator& generator) {
  return at::empty({}, at::kLong).random_(generator).item<int64_t>();
}

LoaderPass Take(at::Generator& generator, bool shuffled) {
  LoaderPass pass;
  pass.base_seed = Unbounded(generator);
  pass.shuffled = shuffled;
  if (shuffled) pass.sampler_seed = Unbounded(generator);
  return pass;
}

// torch.rand(1) of float32: 24 bits of a 32-bit draw.
float Uniform(uint32_t draw) {
  return static_cast<float>(draw & ((1U << 24) - 1)) * 0x1p-24F;
}

}  // namespace

LoaderPass ReplayPasses(uint64_t seed, const std::vector<bool>& shuffled,
                        int64_t* next) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  LoaderPass pass;
  for (const bool one : shuffled) pass = Take(generator, one);
  if (next != nullptr) *next = Unbounded(generator);
  return pass;
}

at::Tensor PassOrder(const LoaderPass& pass, int64_t size) {
  if (!pass.shuffled) return at::arange(size, at::kLong);
  return at::randperm(size, Generator(pass.sampler_seed), at::kLong);
}

CropDraws PassCrops(const LoaderPass& pass, int64_t size, int64_t batch_size,
                    int64_t workers, int64_t pad) {
  CHECK_GT(batch_size, 0);
  CHECK_GT(workers, 0);
  CropDraws draws = {at::empty({size, 2}, at::kInt),
                     at::empty({size}, at::kFloat)};
  auto* offsets = draws.offsets.mutable_data_ptr<int32_t>();
  auto* uniform = draws.uniform.mutable_data_ptr<float>();
  const auto positions = static_cast<uint32_t>(2 * pad + 1);
  for (int64_t worker = 0; worker < workers; ++worker) {
    at::Generator generator = Generator(pass.base_seed + worker);
    auto* draw = generator.get<at::CPUGeneratorImpl>();
    for (int64_t first = worker * batch_size; first < size;
         first += workers * batch_size) {
      const int64_t end = std::min(first + batch_size, size);
      for (int64_t i = first; i < end; ++i) {
        // torch.randint: the 32-bit draw modulo the range.
        offsets[2 * i] = static_cast<int32_t>(draw->random() % positions);
        offsets[2 * i + 1] = static_cast<int32_t>(draw->random() % positions);
        uniform[i] = Uniform(draw->random());
      }
    }
  }
  return draws;
}

at::Tensor AugmentRows(const CropDraws& draws, int64_t pad) {
  const int64_t size = draws.uniform.size(0);
  at::Tensor rows = at::empty({size, 3}, at::kInt);
  const auto* offsets = draws.offsets.const_data_ptr<int32_t>();
  const auto* uniform = draws.uniform.const_data_ptr<float>();
  auto* row = rows.mutable_data_ptr<int32_t>();
  for (int64_t i = 0; i < size; ++i, row += 3) {
    const bool flip = uniform[i] < 0.5F;
    row[0] = offsets[2 * i];
    // Column x of the flipped crop is column W - 1 - x + left of the padded
    // image, which is column x + (2 pad - left) of the mirrored one.
    row[1] = flip ? static_cast<int32_t>(2 * pad) - offsets[2 * i + 1]
                  : offsets[2 * i + 1];
    row[2] = flip ? 1 : 0;
  }
  return rows;
}

}  // namespace altprop
