// Saving and loading the checkpoint of an MLP 784-512-10: 407,050 parameters
// and Adam's two moments of each, 4.9 MB.
//   tools/bazel run //common/training:checkpoint_benchmark
// The file lies in TEST_TMPDIR, else in /tmp. Saving waits for that disk
// (fsync); with TEST_TMPDIR=/dev/shm only the rest is measured.
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/training/checkpoint.h"
#include "common/training/value.h"

namespace altprop::training {
namespace {

Dict Tensors(double fill) {
  return {{"synapses.0.weight", at::full({512, 784}, fill)},
          {"synapses.0.bias", at::full({512}, fill)},
          {"synapses.1.weight", at::full({10, 512}, fill)},
          {"synapses.1.bias", at::full({10}, fill)}};
}

Value Checkpoint() {
  return Dict{{"model", Tensors(0.5)},
              {"optimizer", Dict{{"exp_avg", Tensors(0.25)},
                                 {"exp_avg_sq", Tensors(0.125)},
                                 {"step", 1200}}},
              {"epoch", 1}};
}

std::string Path() {
  const char* folder = std::getenv("TEST_TMPDIR");
  return absl::StrCat(folder == nullptr ? "/tmp" : folder,
                      "/checkpoint_benchmark.pt");
}

void CountBytes(benchmark::State& state, const std::string& path) {
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(path));
  state.SetBytesProcessed(state.iterations() * bytes);
}

void Save(benchmark::State& state) {
  const std::string path = Path();
  const Value value = Checkpoint();
  for (auto _ : state) {
    const absl::Status status = SaveCheckpoint(path, value);
    if (!status.ok()) state.SkipWithError(status.ToString().c_str());
  }
  CountBytes(state, path);
  std::filesystem::remove(path);
}
BENCHMARK(Save)->UseRealTime()->Unit(benchmark::kMillisecond);

void Load(benchmark::State& state) {
  const std::string path = Path();
  const Value value = Checkpoint();
  if (!SaveCheckpoint(path, value).ok()) state.SkipWithError("not saved");
  absl::StatusOr<Value> loaded = absl::UnknownError("not run");
  for (auto _ : state) loaded = LoadCheckpoint(path);
  if (!loaded.ok() || !(*loaded == value)) {
    state.SkipWithError("read something else than was written");
  }
  CountBytes(state, path);
  std::filesystem::remove(path);
}
BENCHMARK(Load)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace altprop::training
