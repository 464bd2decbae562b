#include "eqprop/relax_cpu.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "ATen/Parallel.h"
#include "ATen/Version.h"
#include "ATen/ops/empty_like.h"

namespace altprop::eqprop {
namespace {

using Tensors = std::vector<at::Tensor>;

template <typename T>
relax::Kernel<T> KernelOf(const relax::Kernels& kernels) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return kernels.float32;
  } else {
    return kernels.float64;
  }
}

// Zeroed memory for rows that start on a vector boundary.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t length)
      : data_(static_cast<T*>(::operator new[](length * sizeof(T), kAlign))) {
    std::memset(data_.get(), 0, length * sizeof(T));
  }
  // The next `length` entries, a whole number of vectors.
  T* Take(int64_t length) {
    T* taken = data_.get() + used_;
    used_ += length;
    return taken;
  }

 private:
  static constexpr std::align_val_t kAlign{relax::kAlignment};
  struct Free {
    void operator()(T* p) const { ::operator delete[](p, kAlign); }
  };
  std::unique_ptr<T[], Free> data_;
  int64_t used_ = 0;
};

// Rows of a contiguous [n, length] matrix to rows of Padded(length) and back.
template <typename T>
void PadRows(const T* from, int64_t rows, int64_t length, T* to) {
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(to + r * relax::Padded<T>(length), from + r * length,
                length * sizeof(T));
  }
}
template <typename T>
void UnpadRows(const T* from, int64_t rows, int64_t length, T* to) {
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(to + r * length, from + r * relax::Padded<T>(length),
                length * sizeof(T));
  }
}

// Rows of a weight per pass: equal passes, none above kMaxTile.
int64_t TileOf(int64_t rows, int64_t max_tile) {
  const int64_t passes = (rows + max_tile - 1) / max_tile;
  return (rows + passes - 1) / passes;
}

// Weights and biases with padded rows, shared by all threads.
template <typename T>
class PackedEdges {
 public:
  PackedEdges(const RelaxArguments& args, int64_t max_tile)
      : memory_(Length(args, max_tile)) {
    layers_.push_back({args.size(0), 0, nullptr, nullptr, nullptr, nullptr});
    for (size_t l = 1; l < args.state.size(); ++l) {
      const int64_t rows = args.size(l);
      const int64_t columns = args.size(l - 1);
      const int64_t tile = TileOf(rows, max_tile);
      T* weight = memory_.Take(WeightLength(rows, columns, tile));
      T* bias = memory_.Take(relax::Padded<T>(rows));
      PadRows(args.weights[l - 1].const_data_ptr<T>(), rows, columns, weight);
      PadRows(args.biases[l - 1].const_data_ptr<T>(), 1, rows, bias);
      layers_.push_back({rows, tile, weight, bias, nullptr, nullptr});
    }
  }

  // The layers without state and drive.
  const std::vector<relax::Layer<T>>& layers() const { return layers_; }

 private:
  static int64_t WeightLength(int64_t rows, int64_t columns, int64_t tile) {
    return (rows + tile - 1) / tile * tile * relax::Padded<T>(columns);
  }
  static int64_t Length(const RelaxArguments& args, int64_t max_tile) {
    int64_t length = 0;
    for (size_t l = 1; l < args.state.size(); ++l) {
      const int64_t rows = args.size(l);
      length += WeightLength(rows, args.size(l - 1), TileOf(rows, max_tile)) +
                relax::Padded<T>(rows);
    }
    return length;
  }

  Scratch<T> memory_;
  std::vector<relax::Layer<T>> layers_;
};

// A thread's own block of kRows samples.
template <typename T>
class Worker {
 public:
  Worker(const RelaxArguments& args, const PackedEdges<T>& edges)
      : args_(args), layers_(edges.layers()), memory_(Length(args)) {
    for (relax::Layer<T>& layer : layers_) {
      const int64_t length = relax::kRows * relax::Padded<T>(layer.size);
      layer.state = memory_.Take(length);
      layer.drive = memory_.Take(length);
    }
    drive_ = memory_.Take(relax::kRows * relax::Padded<T>(args.size(0)));
    target_ =
        memory_.Take(relax::kRows * relax::Padded<T>(layers_.back().size));
  }

  // Samples [begin, begin + rows) of the batch, rows <= kRows.
  void Run(relax::Kernel<T> kernel, int64_t begin, int64_t rows,
           const Tensors& out) {
    T beta[relax::kRows] = {};
    PadRows(args_.drive.const_data_ptr<T>() + begin * args_.size(0), rows,
            args_.size(0), drive_);
    if (args_.beta.has_value()) {
      std::copy_n(args_.beta->const_data_ptr<T>() + begin, rows, beta);
      const int64_t classes = layers_.back().size;
      PadRows(args_.target->const_data_ptr<T>() + begin * classes, rows,
              classes, target_);
    }
    for (size_t l = 0; l < layers_.size(); ++l) {
      const int64_t size = layers_[l].size;
      PadRows(args_.state[l].const_data_ptr<T>() + begin * size, rows, size,
              layers_[l].state);
    }
    kernel({static_cast<int>(layers_.size()), layers_.data(), drive_, beta,
            target_, args_.steps, static_cast<relax::Sigma>(args_.activation),
            PullOf(args_), args_.dynamics.linear_output});
    for (size_t l = 0; l < layers_.size(); ++l) {
      const int64_t size = layers_[l].size;
      UnpadRows(layers_[l].state, rows, size,
                out[l].mutable_data_ptr<T>() + begin * size);
    }
  }

 private:
  static relax::Pull PullOf(const RelaxArguments& args) {
    if (!args.beta.has_value()) return relax::Pull::kNone;
    return args.dynamics.loss == Loss::kMse ? relax::Pull::kMse
                                            : relax::Pull::kCel;
  }
  static int64_t Length(const RelaxArguments& args) {
    int64_t padded = relax::Padded<T>(args.size(0)) +
                     relax::Padded<T>(args.size(args.state.size() - 1));
    for (size_t l = 0; l < args.state.size(); ++l) {
      padded += 2 * relax::Padded<T>(args.size(l));
    }
    return relax::kRows * padded;
  }

  const RelaxArguments& args_;
  std::vector<relax::Layer<T>> layers_;
  Scratch<T> memory_;
  T* drive_;
  T* target_;
};

// Blocks per thread at least: below about 20 microseconds of work a second
// thread costs more than it saves.
int64_t GrainOf(const RelaxArguments& args) {
  constexpr int64_t kLeastWork = 400'000;
  int64_t work = args.size(0) * 16;
  for (size_t l = 1; l < args.state.size(); ++l) {
    work += args.size(l) * (args.size(l - 1) * 2 + 16);
  }
  return std::max<int64_t>(1,
                           kLeastWork / (work * relax::kRows * args.steps + 1));
}

template <typename T>
void RunKernel(const RelaxArguments& args, const Tensors& out) {
  const relax::Kernels& kernels = BestKernels();
  const PackedEdges<T> edges(args, kernels.max_tile);
  const int64_t blocks = (args.batch() + relax::kRows - 1) / relax::kRows;
  at::parallel_for(0, blocks, GrainOf(args), [&](int64_t begin, int64_t end) {
    Worker<T> worker(args, edges);
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * relax::kRows;
      worker.Run(KernelOf<T>(kernels), first,
                 std::min<int64_t>(relax::kRows, args.batch() - first), out);
    }
  });
}

}  // namespace

const relax::Kernels& BestKernels() {
  static const relax::Kernels& best = []() -> const relax::Kernels& {
    const std::string capability = at::get_cpu_capability();
#if defined(__x86_64__)
    if (capability == relax::kAvx512.name) return relax::kAvx512;
    if (capability == relax::kAvx2.name) return relax::kAvx2;
#endif
    return relax::kDefault;
  }();
  return best;
}

State RelaxOnCpu(const RelaxArguments& args) {
  State out;
  for (const at::Tensor& layer : args.state) {
    out.push_back(at::empty_like(layer));
  }
  if (args.drive.scalar_type() == at::kFloat) {
    RunKernel<float>(args, out);
  } else {
    RunKernel<double>(args, out);
  }
  return out;
}

}  // namespace altprop::eqprop
