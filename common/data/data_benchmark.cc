// What a run waits for before its first step, and per batch.
//
// ALTPROP_DATA_ROOT=DIR adds the reading of real MNIST.
#include <cstdlib>
#include <string>

#include "benchmark/benchmark.h"
#include "common/data/dataset.h"
#include "common/data/glyphs.h"
#include "common/data/loader.h"

namespace altprop::data {
namespace {

void DrawAllGlyphs(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(DrawGlyphs(0, Split::kTrain, kGlyphsTrain));
    benchmark::DoNotOptimize(DrawGlyphs(0, Split::kTest, kGlyphsTest));
  }
  state.SetItemsProcessed(state.iterations() * (kGlyphsTrain + kGlyphsTest));
}
BENCHMARK(DrawAllGlyphs)->UseRealTime()->Unit(benchmark::kMillisecond);

void ReadMnist(benchmark::State& state) {
  const char* root = std::getenv("ALTPROP_DATA_ROOT");
  DatasetOptions options;
  options.name = "mnist";
  options.root = root == nullptr ? "" : root;
  for (auto _ : state) {
    const auto dataset = LoadDataset(options);
    if (!dataset.ok()) {
      state.SkipWithError(std::string(dataset.status().message()).c_str());
      return;
    }
  }
}
BENCHMARK(ReadMnist)->UseRealTime()->Unit(benchmark::kMillisecond);

void ShuffleAnEpoch(benchmark::State& state) {
  int64_t epoch = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(Permutation(1, epoch++, state.range(0)));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(ShuffleAnEpoch)->Arg(60000)->Unit(benchmark::kMicrosecond);

void GatherABatch(benchmark::State& state) {
  const int64_t size = state.range(0);
  BatchLoader loader(DrawGlyphs(0, Split::kTrain, kGlyphsTrain),
                     {.batch_size = size, .seed = 1});
  int64_t index = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(loader.Get(0, index));
    index = (index + 1) % loader.batches_per_epoch();
  }
  state.SetItemsProcessed(state.iterations() * size);
}
BENCHMARK(GatherABatch)->Arg(50)->Arg(128)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace altprop::data
