#include "eqprop/relax_conv.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ThreadLocalState.h"
#include "ATen/ops/constant_pad_nd.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/zeros.h"
#include "common/logging.h"
#include "eqprop/relax_conv_kernel.h"
#include "eqprop/relax_cpu.h"

namespace altprop::eqprop {
namespace {

constexpr int64_t kStepsBetweenChecks = 10;

template <typename T>
const relax::ConvKernels<T>& KernelsOf(const relax::ConvKernelSet& set) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return set.float32;
  } else {
    return set.float64;
  }
}

const relax::ConvKernelSet& BestConvKernels() {
  // The same instruction set as the perceptrons' kernel.
  const relax::Kernels* best = &BestKernels();
  return best == &relax::kAvx512 ? relax::kConvAvx512
         : best == &relax::kAvx2 ? relax::kConvAvx2
                                 : relax::kConvDefault;
}

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A layer of matrices is an image of one pixel.
at::Tensor AsImage(const at::Tensor& t) {
  return t.dim() == 4 ? t : t.unsqueeze(-1).unsqueeze(-1);
}

// How the images of a buffer lie: [samples, rows, columns, channels] with
// `border` zeros on each side.
struct Shape {
  int64_t channels, height, width;
  int64_t padded;  // channels in memory
  int64_t border = 0;

  int64_t row() const { return (width + 2 * border) * padded; }
  int64_t sample() const { return (height + 2 * border) * row(); }
  int64_t units() const { return height * width * padded; }
};

template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(int64_t samples, const Shape& shape, at::TensorOptions options)
      : Buffer(samples, shape.height + 2 * shape.border,
               shape.width + 2 * shape.border, shape.padded, options) {
    shape_ = shape;
  }
  Buffer(int64_t samples, int64_t height, int64_t width, int64_t padded,
         at::TensorOptions options)
      : shape_{padded, height, width, padded},
        memory_(at::zeros({samples, height, width, padded}, options)) {}

  T* data() const {
    return memory_.defined() ? memory_.mutable_data_ptr<T>() : nullptr;
  }
  // The first pixel within the border.
  T* inside() const {
    return data() + shape_.border * (shape_.row() + shape_.padded);
  }
  // The images of the first `samples`, [samples, channels, height, width].
  at::Tensor Images(int64_t samples) const {
    return memory_.narrow(0, 0, samples)
        .narrow(1, shape_.border, shape_.height)
        .narrow(2, shape_.border, shape_.width)
        .narrow(3, 0, shape_.channels)
        .permute({0, 3, 1, 2});
  }

 private:
  Shape shape_ = {};
  at::Tensor memory_;
};

// A linear map, ready for the kernel.
template <typename T>
class Map {
 public:
  // `weight`: [out, in, height, width], as a convolution's. `bias` may be
  // undefined.
  Map(const at::Tensor& weight, const at::Tensor& bias, int64_t run_stride,
      std::vector<int32_t> offset, int64_t chunk)
      : offset_(std::move(offset)),
        pixels_(static_cast<int64_t>(offset_.size()) / chunk),
        run_stride_(run_stride) {
    const auto& kernels = KernelsOf<T>(BestConvKernels());
    const int64_t in = relax::Padded<T>(weight.size(1));
    vectors_ = relax::Padded<T>(weight.size(0)) / kernels.lanes;
    block_ = CeilDiv(vectors_, CeilDiv(vectors_, kernels.max_block));
    const int64_t blocks = CeilDiv(vectors_, block_);
    const int64_t columns = block_ * kernels.lanes;
    const int64_t more = blocks * columns - weight.size(0);
    weight_ = at::constant_pad_nd(weight,
                                  {0, 0, 0, 0, 0, in - weight.size(1), 0, more})
                  .view({blocks, columns, in, weight.size(2), weight.size(3)})
                  .permute({0, 3, 4, 2, 1})
                  .contiguous();
    bias_ = bias.defined() ? at::constant_pad_nd(bias, {0, more}).contiguous()
                           : at::zeros({blocks * columns}, weight.options());
    runs_ = weight.size(2);
    run_length_ = weight.size(3) * in;
  }

  // Windows of one run, which is the whole image of `in` entries.
  static Map OfWholeImages(const at::Tensor& weight, const at::Tensor& bias,
                           int64_t in, int64_t chunk) {
    std::vector<int32_t> offset;
    for (int64_t n = 0; n < chunk; ++n) {
      offset.push_back(static_cast<int32_t>(n * in));
    }
    Map map(weight, bias, 0, std::move(offset), chunk);
    map.run_length_ *= map.runs_;
    map.runs_ = 1;
    return map;
  }

  // Of the first `samples` images of `in`, one after the other in `out`.
  void Run(int64_t samples, const T* in, const T* addend, T* out) const {
    KernelsOf<T>(BestConvKernels())
        .product({in, offset_.data(), samples * pixels_, runs_, run_length_,
                  run_stride_, weight_.template const_data_ptr<T>(),
                  bias_.template const_data_ptr<T>(), addend, out, vectors_,
                  block_});
  }

 private:
  std::vector<int32_t> offset_;
  int64_t pixels_;  // of a sample
  int64_t runs_, run_length_, run_stride_;
  at::Tensor weight_, bias_;
  int64_t vectors_, block_;
};

// The offsets of a grid of windows: rows and columns `step` pixels apart, the
// first at (origin, origin), in images with `row` and `sample` entries.
std::vector<int32_t> Grid(int64_t chunk, int64_t height, int64_t width,
                          int64_t origin, int64_t step, int64_t padded,
                          int64_t row, int64_t sample) {
  CHECK_LE(chunk * sample, std::numeric_limits<int32_t>::max());
  std::vector<int32_t> offset;
  offset.reserve(chunk * height * width);
  for (int64_t n = 0; n < chunk; ++n) {
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        offset.push_back(static_cast<int32_t>(n * sample +
                                              (origin + y * step) * row +
                                              (origin + x * step) * padded));
      }
    }
  }
  return offset;
}

relax::Window WindowOf(Pool pool) {
  switch (pool) {
    case Pool::kNone:
      return relax::Window::kNone;
    case Pool::kMax:
      return relax::Window::kMax;
    case Pool::kAverage:
      return relax::Window::kAverage;
  }
  return relax::Window::kNone;
}

// The adjoint of a convolution in parts whose sums fit the registers.
struct Part {
  at::Tensor weight;    // as relax::Scatter has it
  int64_t rows, width;  // of the window, in vectors
  int64_t row, column;  // where in the window it begins; column: in entries
};

struct Adjoints {
  std::vector<Part> parts;
  int64_t block;  // channels whose weights in one part fit a core's own cache
};

// The rows of each channel's window, [channels, k, k * padded channels below].
template <typename T>
at::Tensor WindowRows(const at::Tensor& weight) {
  const int64_t below = relax::Padded<T>(weight.size(1));
  const int64_t kernel = weight.size(2);
  return at::constant_pad_nd(weight, {0, 0, 0, 0, 0, below - weight.size(1)})
      .permute({0, 2, 3, 1})
      .reshape({weight.size(0), kernel, kernel * below});
}

// Each row of a window in pieces of at most `width` vectors.
std::vector<Part> RowByRow(const at::Tensor& rows, int64_t width,
                           int64_t lanes) {
  const int64_t vectors = rows.size(2) / lanes;
  std::vector<Part> parts;
  for (int64_t row = 0; row < rows.size(1); ++row) {
    const at::Tensor whole = rows.select(1, row);
    for (int64_t first = 0; first < vectors; first += width) {
      const int64_t some = std::min(width, vectors - first);
      parts.push_back(
          {whole.narrow(1, first * lanes, some * lanes).contiguous(), 1, some,
           row, first * lanes});
    }
  }
  return parts;
}

// `weight`: [channels, channels below, k, k].
template <typename T>
Adjoints MakeAdjoints(const at::Tensor& weight) {
  constexpr int64_t kCacheBytes = 384 << 10;
  constexpr int64_t kRowsTogether = 3;
  constexpr int64_t kWidestTogether = 6;
  const auto& kernels = KernelsOf<T>(BestConvKernels());
  const at::Tensor rows = WindowRows<T>(weight);
  const int64_t kernel = weight.size(2);
  const int64_t vectors = rows.size(2) / kernels.lanes;
  // Narrow windows as a whole, so that there are enough sums under way at once.
  const bool whole = kernel == kRowsTogether && vectors <= kWidestTogether &&
                     kernel * vectors <= kernels.max_sums;
  const int64_t width = CeilDiv(vectors, CeilDiv(vectors, kernels.max_sums));
  const int64_t sums = whole ? kernel * vectors : width;
  const auto channel_bytes =
      static_cast<int64_t>(sums * kernels.lanes * sizeof(T));
  const int64_t step = relax::Padded<T>(1);
  return {whole ? std::vector<Part>{{rows.contiguous(), kernel, vectors, 0, 0}}
                : RowByRow(rows, width, kernels.lanes),
          std::max(step, kCacheBytes / channel_bytes / step * step)};
}

// Edge l >= 1 (0-based), which joins the layers l - 1 and l.
template <typename T>
struct Link {
  bool convolution = false;
  relax::Window window = relax::Window::kNone;
  int64_t z_height = 0, z_width = 0, z_padded = 0;
  int64_t channels = 0, stride = 1;
  std::optional<Map<T>> up;
  std::optional<Map<T>> routing;  // B, where it decides the routing
  std::optional<Map<T>> down;     // of a matrix
  Adjoints adjoints;              // of a convolution

  int64_t z_pixels() const { return z_height * z_width; }
};

template <typename T>
Map<T> ConvolutionUp(const Edge& edge, const at::Tensor& weight,
                     const at::Tensor& bias, const Shape& below,
                     const Link<T>& link, int64_t chunk) {
  return Map<T>(weight, bias, below.row(),
                Grid(chunk, link.z_height, link.z_width, 0, edge.stride,
                     below.padded, below.row(), below.sample()),
                chunk);
}

// The matrix of a layer above an image, [n, channels, height, width].
at::Tensor OnImage(const at::Tensor& weight, const Shape& below) {
  return weight.reshape(
      {weight.size(0), below.channels, below.height, below.width});
}

template <typename T>
Map<T> MatrixUp(const at::Tensor& weight, const at::Tensor& bias,
                const Shape& below, int64_t chunk) {
  return Map<T>::OfWholeImages(OnImage(weight, below), bias, below.sample(),
                               chunk);
}

template <typename T>
Map<T> MatrixDown(const at::Tensor& weight, const Shape& below, int64_t chunk) {
  const at::Tensor units =
      at::constant_pad_nd(OnImage(weight, below),
                          {0, 0, 0, 0, 0, below.padded - below.channels})
          .permute({2, 3, 1, 0})
          .reshape({below.units(), weight.size(0), 1, 1});
  return Map<T>::OfWholeImages(units, at::Tensor(),
                               relax::Padded<T>(weight.size(0)), chunk);
}

template <typename T>
Link<T> MakeLink(const Network& network, size_t l, const Shape& below,
                 int64_t chunk) {
  const Edge& edge = network.edges[l];
  const at::Tensor backward = BackwardWeight(network, l);
  Link<T> link;
  link.convolution = edge.convolution();
  if (!link.convolution) {
    link.up = MatrixUp<T>(edge.weight, edge.bias, below, chunk);
    link.down = MatrixDown<T>(backward, below, chunk);
    return link;
  }
  const int64_t kernel = edge.weight.size(2);
  link.window = WindowOf(edge.pool);
  link.z_height =
      SizeAfter(below.height, kernel, edge.stride, edge.padding, Pool::kNone);
  link.z_width =
      SizeAfter(below.width, kernel, edge.stride, edge.padding, Pool::kNone);
  link.z_padded = relax::Padded<T>(edge.weight.size(0));
  link.channels = edge.weight.size(0);
  link.stride = edge.stride;
  link.up = ConvolutionUp(edge, edge.weight, edge.bias, below, link, chunk);
  if (IsVectorField(network.model) && edge.pool == Pool::kMax) {
    link.routing =
        ConvolutionUp(edge, backward, at::Tensor(), below, link, chunk);
  }
  link.adjoints = MakeAdjoints<T>(backward);
  return link;
}

// What all threads share: the shapes and the reordered weights.
template <typename T>
struct Plan {
  int64_t chunk;
  std::vector<Shape> layers;
  std::vector<Link<T>> links;  // links[0], from the clamped input, is empty
  std::optional<Map<T>> readout_up, readout_down;
};

template <typename T>
Plan<T> MakePlan(const Network& network, const State& state, bool nudged,
                 int64_t chunk) {
  Plan<T> plan = {chunk, {}, {}, {}, {}};
  for (size_t l = 0; l < state.size(); ++l) {
    const at::Tensor image = AsImage(state[l]);
    const bool framed =
        l + 1 < state.size() && network.edges[l + 1].convolution();
    plan.layers.push_back({image.size(1), image.size(2), image.size(3),
                           relax::Padded<T>(image.size(1)),
                           framed ? network.edges[l + 1].padding : 0});
  }
  plan.links.emplace_back();
  for (size_t l = 1; l < state.size(); ++l) {
    plan.links.push_back(MakeLink<T>(network, l, plan.layers[l - 1], chunk));
  }
  if (network.softmax && nudged) {
    const Edge& readout = network.edges.back();
    const Shape& top = plan.layers.back();
    plan.readout_up = MatrixUp<T>(readout.weight, readout.bias, top, chunk);
    plan.readout_down = MatrixDown<T>(readout.weight, top, chunk);
  }
  return plan;
}

struct Arguments {
  const Network& network;
  const Clamped& input;
  const State& state;
  int64_t steps;
  const Nudge& nudge;
  const Dynamics& dynamics;
  const RelaxOptions& options;

  bool nudged() const { return nudge.beta.defined(); }
  bool masked() const { return !input.dropout.masks.empty(); }
  bool alternating() const { return options.updates == Updates::kAlternating; }
};

// force[k] = beta (target[k] - o[k]), or with softmax(o): -beta dl/do.
template <typename T>
void Force(Loss loss, int64_t classes, const T* o, const T* target, T beta,
           T* force) {
  if (loss == Loss::kMse) {
    for (int64_t k = 0; k < classes; ++k) force[k] = beta * (target[k] - o[k]);
    return;
  }
  const T most = *std::max_element(o, o + classes);
  T sum = 0;
  for (int64_t k = 0; k < classes; ++k) {
    force[k] = std::exp(o[k] - most);
    sum += force[k];
  }
  for (int64_t k = 0; k < classes; ++k) {
    force[k] = beta * (target[k] - force[k] / sum);
  }
}

// A thread's own samples, at most Plan::chunk at a time.
template <typename T>
class Worker {
 public:
  Worker(const Arguments& args, const Plan<T>& plan);

  // Samples [first, first + count) of the batch, into `out`.
  void Run(int64_t first, int64_t count, const State& out);

 private:
  struct Layer {
    // With the border that the edge above needs; that of u is not read.
    Buffer<T> v;  // mask s
    Buffer<T> u;
    Buffer<T> s, mask;  // with dropout alone; without a border
  };
  struct Edge {
    // Of convolutions.
    Buffer<T> z;
    Buffer<T> z_route;                 // of B, where it decides the routing
    at::Tensor count, channel, value;  // relax::Active, U(s)
  };

  void MakeEdge(size_t l, at::TensorOptions options);
  void LoadSamples(int64_t first);
  void StoreSamples(int64_t first, const State& out) const;

  // The parts of a time step, in the notation of equilibrium.h.
  void BottomUp(size_t l);           // z_l
  void PoolUp(size_t l);             // u_l = P_l(z_l)
  void ListDown(size_t l);           // U_l(s_l)
  void PoolUpAndListDown(size_t l);  // both, in one pass if z_l is for both
  void TopDown(size_t l);            // u_{l-1} += A_l^T U_l(s_l)
  void Pull();
  void Move(size_t l, T* change);  // s_l

  void RouteLink(size_t l, const Buffer<T>& z, bool up, bool down);
  relax::Active<T> ActiveOf(size_t l) const;
  void StartLowest();
  void SynchronousStep(T* change);
  void AlternatingStep(T* change);
  void MoveEveryOther(size_t start, T* change);

  const Arguments& args_;
  const Plan<T>& plan_;
  const relax::ConvKernels<T>& kernels_ = KernelsOf<T>(BestConvKernels());
  std::vector<Layer> layers_;
  std::vector<Edge> edges_;
  Buffer<T> bottom_;
  Buffer<T> pull_;            // of an output layer
  Buffer<T> logits_, force_;  // of a readout
  int64_t first_ = 0, count_ = 0;
};

template <typename T>
Worker<T>::Worker(const Arguments& args, const Plan<T>& plan)
    : args_(args), plan_(plan) {
  const at::TensorOptions options = args.state.front().options();
  for (const Shape& shape : plan.layers) {
    Shape plain = shape;
    plain.border = 0;
    Layer& layer = layers_.emplace_back();
    layer.v = Buffer<T>(plan.chunk, shape, options);
    layer.u = Buffer<T>(plan.chunk, shape, options);
    if (!args.masked()) continue;
    layer.s = Buffer<T>(plan.chunk, plain, options);
    layer.mask = Buffer<T>(plan.chunk, plain, options);
  }
  edges_.resize(plan.links.size());
  for (size_t l = 1; l < edges_.size(); ++l) MakeEdge(l, options);
  bottom_ = Buffer<T>(plan.chunk, plan.layers.front(), options);
  const int64_t classes = relax::Padded<T>(args.network.classes());
  pull_ = Buffer<T>(plan.chunk, 1, 1, classes, options);
  logits_ = Buffer<T>(plan.chunk, 1, 1, classes, options);
  force_ = Buffer<T>(plan.chunk, 1, 1, classes, options);
}

template <typename T>
void Worker<T>::MakeEdge(size_t l, at::TensorOptions options) {
  const Link<T>& link = plan_.links[l];
  if (!link.convolution) return;
  Edge& edge = edges_[l];
  const int64_t pixels = plan_.chunk * link.z_pixels();
  const int64_t blocks = CeilDiv(link.channels, link.adjoints.block);
  edge.count = at::zeros({pixels * blocks}, options.dtype(at::kInt));
  edge.channel = at::zeros({pixels * link.z_padded}, options.dtype(at::kInt));
  edge.value = at::zeros({pixels * link.z_padded}, options);
  const auto make = [&] {
    return Buffer<T>(plan_.chunk, link.z_height, link.z_width, link.z_padded,
                     options);
  };
  edge.z = make();
  if (link.routing.has_value()) edge.z_route = make();
}

template <typename T>
void Worker<T>::LoadSamples(int64_t first) {
  const auto rows = [&](const at::Tensor& t) {
    return AsImage(t).narrow(0, first, count_);
  };
  bottom_.Images(count_).copy_(rows(args_.input.bottom.p));
  for (size_t l = 0; l < layers_.size(); ++l) {
    const at::Tensor state = rows(args_.state[l]);
    if (!args_.masked()) {
      layers_[l].v.Images(count_).copy_(state);
      continue;
    }
    const at::Tensor mask = rows(args_.input.dropout.masks[l]);
    layers_[l].s.Images(count_).copy_(state);
    layers_[l].mask.Images(count_).copy_(mask);
    layers_[l].v.Images(count_).copy_(state * mask);
  }
}

template <typename T>
void Worker<T>::StoreSamples(int64_t first, const State& out) const {
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Buffer<T>& s = args_.masked() ? layers_[l].s : layers_[l].v;
    AsImage(out[l]).narrow(0, first, count_).copy_(s.Images(count_));
  }
}

template <typename T>
void Worker<T>::BottomUp(size_t l) {
  const Link<T>& link = plan_.links[l];
  const T* below = layers_[l - 1].v.data();
  // A matrix has no pooling behind it: z is the drive.
  T* z = link.convolution ? edges_[l].z.data() : layers_[l].u.data();
  link.up->Run(count_, below, nullptr, z);
  if (link.routing.has_value()) {
    link.routing->Run(count_, below, nullptr, edges_[l].z_route.data());
  }
}

template <typename T>
relax::Active<T> Worker<T>::ActiveOf(size_t l) const {
  const Edge& edge = edges_[l];
  return {plan_.links[l].adjoints.block,
          edge.count.template mutable_data_ptr<int32_t>(),
          edge.channel.template mutable_data_ptr<int32_t>(),
          edge.value.template mutable_data_ptr<T>()};
}

template <typename T>
void Worker<T>::RouteLink(size_t l, const Buffer<T>& z, bool up, bool down) {
  const Link<T>& link = plan_.links[l];
  const Shape& shape = plan_.layers[l];
  kernels_.route({link.window, count_, shape.padded, link.channels,
                  shape.height, shape.width, link.z_height, link.z_width,
                  shape.row(), shape.sample(), z.data(), layers_[l].v.inside(),
                  up ? layers_[l].u.inside() : nullptr,
                  down ? ActiveOf(l) : relax::Active<T>{}});
}

template <typename T>
void Worker<T>::PoolUp(size_t l) {
  if (plan_.links[l].convolution) RouteLink(l, edges_[l].z, true, false);
}

template <typename T>
void Worker<T>::ListDown(size_t l) {
  const Link<T>& link = plan_.links[l];
  if (!link.convolution) return;
  RouteLink(l, link.routing.has_value() ? edges_[l].z_route : edges_[l].z,
            false, true);
}

template <typename T>
void Worker<T>::PoolUpAndListDown(size_t l) {
  const Link<T>& link = plan_.links[l];
  if (!link.convolution) return;
  if (!link.routing.has_value()) return RouteLink(l, edges_[l].z, true, true);
  PoolUp(l);
  ListDown(l);
}

template <typename T>
void Worker<T>::TopDown(size_t l) {
  const Link<T>& link = plan_.links[l];
  const Shape& below = plan_.layers[l - 1];
  T* u = layers_[l - 1].u.data();
  if (!link.convolution) {
    link.down->Run(count_, layers_[l].v.data(), u, u);
    return;
  }
  for (const Part& part : link.adjoints.parts) {
    kernels_.scatter(
        {ActiveOf(l), count_, link.channels, link.z_height, link.z_width,
         part.rows, part.width, part.weight.template const_data_ptr<T>(),
         u + part.row * below.row() + part.column, link.stride * below.padded,
         link.stride * below.row(), below.sample(), below.row()});
  }
}

// The output layer's pull goes to pull_; that of a readout, to the drive.
template <typename T>
void Worker<T>::Pull() {
  if (!args_.nudged()) return;
  const int64_t classes = args_.network.classes();
  const int64_t padded = relax::Padded<T>(classes);
  const bool softmax = args_.network.softmax;
  Layer& top = layers_.back();
  if (softmax)
    plan_.readout_up->Run(count_, top.v.data(), nullptr, logits_.data());
  const T* output = softmax          ? logits_.data()
                    : args_.masked() ? top.s.data()
                                     : top.v.data();
  T* force = softmax ? force_.data() : pull_.data();
  const T* target = args_.nudge.target.template const_data_ptr<T>();
  const T* beta = args_.nudge.beta.template const_data_ptr<T>();
  for (int64_t n = 0; n < count_; ++n) {
    Force(args_.dynamics.loss, classes, output + n * padded,
          target + (first_ + n) * classes, beta[first_ + n],
          force + n * padded);
  }
  if (softmax) {
    plan_.readout_down->Run(count_, force, top.u.data(), top.u.data());
  }
}

template <typename T>
void Worker<T>::Move(size_t l, T* change) {
  const Shape& shape = plan_.layers[l];
  const Layer& layer = layers_[l];
  const std::vector<double>& keep = args_.input.dropout.keep;
  const bool output = l + 1 == layers_.size();
  const bool pulled = output && args_.nudged() && !args_.network.softmax;
  kernels_.advance({static_cast<relax::Sigma>(args_.network.activation),
                    output && args_.dynamics.linear_output,
                    static_cast<T>(keep.empty() ? 1 : keep[l]), count_,
                    shape.height, shape.width * shape.padded, shape.row(),
                    shape.sample(), layer.u.inside(), layer.mask.data(),
                    pulled ? pull_.data() : nullptr, layer.s.data(),
                    layer.v.inside(), change});
}

// The drive of layer 1 starts from the clamped input's.
template <typename T>
void Worker<T>::StartLowest() {
  std::copy_n(bottom_.data(), count_ * plan_.layers[0].sample(),
              layers_[0].u.data());
}

template <typename T>
void Worker<T>::SynchronousStep(T* change) {
  for (size_t l = 1; l < layers_.size(); ++l) {
    BottomUp(l);
    PoolUpAndListDown(l);
    TopDown(l);
  }
  Pull();
  for (size_t l = 0; l < layers_.size(); ++l) Move(l, change);
}

// The layers start, start + 2, ... A layer's routing to them is that of the
// last half step, in which it moved: z of the edge above has not changed since.
template <typename T>
void Worker<T>::MoveEveryOther(size_t start, T* change) {
  const size_t last = layers_.size() - 1;
  for (size_t l = start; l <= last; l += 2) {
    if (l > 0) {
      BottomUp(l);
      PoolUp(l);
    }
    if (l < last) {
      ListDown(l + 1);
      TopDown(l + 1);
    }
    if (l == last) Pull();
    Move(l, change);
  }
}

template <typename T>
void Worker<T>::AlternatingStep(T* change) {
  MoveEveryOther(0, change);
  MoveEveryOther(1, change);
}

template <typename T>
void Worker<T>::Run(int64_t first, int64_t count, const State& out) {
  first_ = first;
  count_ = count;
  LoadSamples(first);
  const double tolerance = args_.options.tolerance;
  if (args_.alternating()) {
    for (size_t l = 1; l < layers_.size(); l += 2) BottomUp(l);
  }
  for (int64_t t = 1; t <= args_.steps; ++t) {
    const bool ask = tolerance > 0 && t % kStepsBetweenChecks == 0;
    T change = 0;
    StartLowest();
    if (args_.alternating()) {
      AlternatingStep(ask ? &change : nullptr);
    } else {
      SynchronousStep(ask ? &change : nullptr);
    }
    if (ask && change < tolerance) break;
  }
  StoreSamples(first, out);
}

// Few samples leave room in the cache for the weights; large weights, which do
// not fit anyway, are read once for all samples of a chunk.
int64_t ChunkOf(const Network& network, int64_t batch) {
  constexpr int64_t kLargeWeights = 1 << 20;
  int64_t weights = 0;
  for (size_t l = 1; l < network.edges.size(); ++l) {
    weights += network.edges[l].weight.numel();
  }
  const int64_t most = weights > kLargeWeights && batch >= 32 ? 8 : 4;
  return CeilDiv(batch, CeilDiv(batch, most));
}

template <typename T>
void RelaxChunks(const Arguments& args, int64_t batch, const State& out) {
  const Plan<T> plan = MakePlan<T>(args.network, args.state, args.nudged(),
                                   ChunkOf(args.network, batch));
  const int64_t chunks = CeilDiv(batch, plan.chunk);
  const int64_t workers =
      std::min<int64_t>(chunks, std::max(1, at::get_num_threads()));
  std::atomic<int64_t> next{0};
  // Whoever is free takes the next chunk: a thread that other programs slow
  // down takes fewer.
  const at::ThreadLocalState caller;  // of it, whether this is inference
  at::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    const at::ThreadLocalStateGuard as_caller(caller);
    Worker<T> worker(args, plan);
    for (int64_t w = begin; w < end; ++w) {
      for (int64_t i = next++; i < chunks; i = next++) {
        const int64_t first = i * plan.chunk;
        worker.Run(first, std::min(plan.chunk, batch - first), out);
      }
    }
  });
}

// Relax, left as soon as the tolerance says so.
State RelaxPlainly(const Arguments& args) {
  const auto move = [&](const State& state, int64_t steps) {
    return Relax(args.network, args.input, state, steps, args.nudge,
                 args.dynamics);
  };
  if (args.options.tolerance <= 0) return move(args.state, args.steps);
  State state = args.state;
  int64_t left = args.steps;
  for (; left >= kStepsBetweenChecks; left -= kStepsBetweenChecks) {
    const State before = move(state, kStepsBetweenChecks - 1);
    state = move(before, 1);
    double change = 0;
    for (size_t l = 0; l < state.size(); ++l) {
      change =
          std::max(change, (state[l] - before[l]).abs().max().item<double>());
    }
    if (change < args.options.tolerance) return state;
  }
  return move(state, left);
}

// Whether the fast loop takes it.
bool IsCovered(const Network& network, const State& state) {
  const at::Tensor& first = state.front();
  return IsConvolutional(network.model) && first.device().is_cpu() &&
         (first.scalar_type() == at::kFloat ||
          first.scalar_type() == at::kDouble) &&
         first.size(0) > 0 && (network.softmax || state.back().dim() == 2);
}

}  // namespace

State RelaxConvolutional(const Network& network, const Clamped& input,
                         const State& state, int64_t steps, const Nudge& nudge,
                         const Dynamics& dynamics,
                         const RelaxOptions& options) {
  CHECK_EQ(state.size(), network.layers());
  const Nudge dense = nudge.beta.defined() ? Nudge{nudge.beta.contiguous(),
                                                   nudge.target.contiguous()}
                                           : Nudge{};
  const Arguments args{network, input, state, steps, dense, dynamics, options};
  if (!IsCovered(network, state)) return RelaxPlainly(args);
  State out;
  for (const at::Tensor& layer : state) {
    out.push_back(at::empty_like(layer, at::MemoryFormat::Contiguous));
  }
  const int64_t batch = state.front().size(0);
  if (state.front().scalar_type() == at::kFloat) {
    RelaxChunks<float>(args, batch, out);
  } else {
    RelaxChunks<double>(args, batch, out);
  }
  return out;
}

}  // namespace altprop::eqprop
