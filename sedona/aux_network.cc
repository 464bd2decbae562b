#include "sedona/aux_network.h"

#include <algorithm>

#include "ATen/TensorOperators.h"
#include "ATen/ops/adaptive_avg_pool2d.h"
#include "ATen/ops/avg_pool2d.h"
#include "ATen/ops/bernoulli.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/max_pool2d.h"
#include "ATen/ops/relu.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "sedona/losses.h"

namespace altprop::sedona {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

InvertedResidual MakeInvertedResidual(int64_t in, int64_t out, int64_t stride,
                                      int64_t expansion) {
  InvertedResidual block;
  const int64_t hidden = in * expansion;
  if (expansion != 1) {
    block.expand = MakeConvNorm({.in = in, .out = hidden}, Activation::kRelu);
  }
  block.depthwise = MakeConvNorm({.in = hidden,
                                  .out = hidden,
                                  .kernel = 3,
                                  .stride = stride,
                                  .groups = hidden},
                                 Activation::kRelu);
  block.project = MakeConvNorm({.in = hidden, .out = out}, Activation::kNone);
  block.shortcut = stride == 1 && in == out;
  return block;
}

at::Tensor Run(const InvertedResidual& block, const at::Tensor& x,
               const Mode& mode) {
  at::Tensor h = block.expand ? Forward(*block.expand, x, mode) : x;
  h = Forward(block.project, Forward(block.depthwise, h, mode), mode);
  return block.shortcut ? x + h : h;
}

at::Tensor GlobalMean(const at::Tensor& x) {
  return at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
}

at::Tensor Dropout(const at::Tensor& x, const Mode& mode) {
  if (!mode.training || mode.dropout == 0) return x;
  CHECK(mode.generator != nullptr);
  // Drawn on the CPU: the same masks on every device.
  const at::Tensor keep = at::empty(x.sizes(), at::kFloat)
                              .bernoulli_(1 - mode.dropout, *mode.generator);
  return x * (keep.to(x.device(), x.scalar_type()) / (1 - mode.dropout));
}

LocalOutput Run(const LightDecoder& aux, const at::Tensor& x,
                const Mode& mode) {
  at::Tensor h = Forward(aux.depthwise, Forward(aux.reduce, x, mode), mode);
  for (const InvertedResidual& block : aux.blocks) h = Run(block, h, mode);
  h = GlobalMean(Forward(aux.tail, h, mode));
  return {models::Forward(aux.linear, h), {}};
}

LocalOutput Run(const Mixture& aux, const at::Tensor& x,
                const at::Tensor& weights, const Mode& mode) {
  at::Tensor sum;
  const auto count = static_cast<int64_t>(aux.candidates.size());
  CHECK(!weights.defined() || weights.size(0) == count);
  for (int64_t k = 0; k < count; ++k) {
    at::Tensor logits =
        Run(aux.candidates[static_cast<size_t>(k)], x, mode).logits;
    if (weights.defined()) logits = logits * weights[k];
    sum = sum.defined() ? sum + logits : logits;
  }
  return {weights.defined() ? sum : sum / static_cast<double>(count), {}};
}

LocalOutput Run(const MlpSr& aux, const at::Tensor& x, const Mode& mode) {
  at::Tensor h = at::adaptive_avg_pool2d(x, {aux.first_size, aux.first_size});
  for (const ConvNorm& layer : aux.convolutions) h = Forward(layer, h, mode);
  h = at::adaptive_avg_pool2d(h, {aux.second_size, aux.second_size}).flatten(1);
  for (const MlpSr::Hidden& layer : aux.hidden) {
    h = Normalise(layer.norm, models::Forward(layer.linear, h), /*relu=*/true,
                  at::Tensor(), mode);
  }
  return {models::Forward(aux.linear, h), {}};
}

LocalOutput Run(const PredSim& aux, const at::Tensor& x) {
  const PoolShape& p = aux.pool;
  const at::Tensor pooled =
      p.identity()
          ? x
          : at::avg_pool2d(x, {p.kernel_h, p.kernel_w},
                           {p.kernel_h, p.kernel_w}, {p.pad_h, p.pad_w});
  const at::Tensor features =
      at::conv2d(x, aux.similarity_weight, {}, /*stride=*/1, /*padding=*/1);
  return {models::Forward(aux.linear, pooled.flatten(1)),
          SimilarityMatrix(features, aux.use_std)};
}

LocalOutput Run(const VggHead& head, const at::Tensor& x, const Mode& mode) {
  at::Tensor h = at::max_pool2d(x, 2, 2).flatten(1);
  for (size_t i = 0; i < 2; ++i) {
    h = Dropout(at::relu(models::Forward(head.linears[i], h)), mode);
  }
  return {models::Forward(head.linears[2], h), {}};
}

void VisitLight(LightDecoder& aux, const std::string& prefix,
                TensorVisitor visit) {
  const std::string layers = absl::StrCat(prefix, "layers.");
  Visit(aux.reduce, absl::StrCat(layers, "0.layers.0"),
        absl::StrCat(layers, "0.layers.1"), visit);
  Visit(aux.depthwise, absl::StrCat(layers, "0.layers.3"),
        absl::StrCat(layers, "0.layers.4"), visit);
  for (size_t j = 0; j < aux.blocks.size(); ++j) {
    InvertedResidual& block = aux.blocks[j];
    const std::string conv = absl::StrCat(layers, j + 1, ".conv.");
    int64_t at = 0;
    if (block.expand) {
      Visit(*block.expand, absl::StrCat(conv, at), absl::StrCat(conv, at + 1),
            visit);
      at += 3;
    }
    Visit(block.depthwise, absl::StrCat(conv, at), absl::StrCat(conv, at + 1),
          visit);
    Visit(block.project, absl::StrCat(conv, at + 3), absl::StrCat(conv, at + 4),
          visit);
  }
  const size_t depth = aux.blocks.size() + 1;
  Visit(aux.tail, absl::StrCat(layers, depth, ".layers.0"),
        absl::StrCat(layers, depth, ".layers.1"), visit);
  Visit(aux.linear, absl::StrCat(layers, depth + 3), visit);
}

void VisitMlpSr(MlpSr& aux, const std::string& prefix, TensorVisitor visit) {
  for (size_t i = 0; i < aux.convolutions.size(); ++i) {
    const std::string block = absl::StrCat(prefix, "blocks.", i, ".");
    Visit(aux.convolutions[i], absl::StrCat(block, 0), absl::StrCat(block, 1),
          visit);
  }
  for (size_t i = 0; i < aux.hidden.size(); ++i) {
    Visit(aux.hidden[i].linear, absl::StrCat(prefix, "classifier.", 3 * i),
          visit);
    Visit(aux.hidden[i].norm, absl::StrCat(prefix, "classifier.", 3 * i + 1),
          visit);
  }
  Visit(aux.linear, absl::StrCat(prefix, "classifier.9"), visit);
}

}  // namespace

PoolShape PoolTowards(int64_t channels, int64_t size, int64_t target) {
  PoolShape pool;
  int64_t out_h = size, out_w = size;
  const auto features = [&] { return channels * out_h * out_w; };
  while (features() > target && pool.kernel_h < size) {
    pool.kernel_h *= 2;
    out_h = CeilDiv(size, pool.kernel_h);
    if (features() > target) {
      pool.kernel_w *= 2;
      out_w = CeilDiv(size, pool.kernel_w);
    }
  }
  pool.pad_h = pool.kernel_h * (out_h - size / pool.kernel_h) / 2;
  pool.pad_w = pool.kernel_w * (out_w - size / pool.kernel_w) / 2;
  pool.features = features();
  return pool;
}

LightDecoder MakeLightDecoder(const AuxShape& shape, int64_t depth) {
  LightDecoder aux;
  int64_t width = shape.channels / shape.expansion;
  const int64_t first = width;
  CHECK_GE(width, 1);
  aux.reduce = MakeConvNorm({.in = shape.channels, .out = width}, shape.nonlin);
  aux.depthwise = MakeConvNorm(
      {.in = width, .out = width, .kernel = 3, .stride = 2, .groups = width},
      shape.nonlin);
  // The authors halve S downwards, whatever the strides make of odd sizes.
  int64_t tracked = shape.size / 2;
  for (int64_t j = 0; j + 1 < depth; ++j) {
    const bool strided = tracked >= 2 && j % 2 == 1;
    int64_t out = width;
    if (strided) {
      out += shape.expansion == 1 ? first : first / 2;
      tracked /= 2;
    }
    aux.blocks.push_back(
        MakeInvertedResidual(width, out, strided ? 2 : 1, shape.expansion));
    width = out;
  }
  aux.tail = MakeConvNorm({.in = width, .out = shape.tail}, shape.nonlin);
  aux.linear = ZeroLinear(shape.tail, shape.classes);
  return aux;
}

Mixture MakeMixture(const AuxShape& shape, int64_t min_depth,
                    int64_t max_depth) {
  Mixture aux;
  for (int64_t depth = min_depth + 1; depth <= max_depth; ++depth) {
    aux.candidates.push_back(MakeLightDecoder(shape, depth));
  }
  return aux;
}

MlpSr MakeMlpSr(const AuxShape& shape) {
  MlpSr aux;
  aux.first_size = CeilDiv(shape.size, 4);
  aux.second_size = std::min<int64_t>(aux.first_size, 2);
  for (ConvNorm& layer : aux.convolutions) {
    layer = MakeConvNorm({.in = shape.channels, .out = shape.channels},
                         Activation::kRelu);
  }
  const int64_t width = shape.channels * aux.second_size * aux.second_size;
  for (MlpSr::Hidden& layer : aux.hidden) {
    layer = {ZeroLinear(width, width), models::MakeBatchNorm(width)};
  }
  aux.linear = ZeroLinear(width, shape.classes);
  return aux;
}

PredSim MakePredSim(const AuxShape& shape, int64_t target, bool use_std) {
  PredSim aux;
  aux.pool = PoolTowards(shape.channels, shape.size, target);
  aux.linear = ZeroLinear(aux.pool.features, shape.classes);
  aux.similarity_weight = at::zeros({shape.channels, shape.channels, 3, 3});
  aux.use_std = use_std;
  return aux;
}

LocalOutput Forward(const Aux& aux, const at::Tensor& x,
                    const at::Tensor& weights, const Mode& mode) {
  if (const auto* a = std::get_if<Mixture>(&aux)) {
    return Run(*a, x, weights, mode);
  }
  if (const auto* a = std::get_if<LightDecoder>(&aux)) return Run(*a, x, mode);
  if (const auto* a = std::get_if<MlpSr>(&aux)) return Run(*a, x, mode);
  if (const auto* a = std::get_if<PredSim>(&aux)) return Run(*a, x);
  if (const auto* a = std::get_if<VggHead>(&aux)) return Run(*a, x, mode);
  const auto* head = std::get_if<ResNetHead>(&aux);
  CHECK(head != nullptr) << "a unit without an auxiliary network";
  return {models::Forward(head->linear, GlobalMean(x)), {}};
}

void Visit(Aux& aux, const std::string& prefix, TensorVisitor visit) {
  if (auto* a = std::get_if<Mixture>(&aux)) {
    for (size_t k = 0; k < a->candidates.size(); ++k) {
      VisitLight(a->candidates[k], absl::StrCat(prefix, "decoders.", k, "."),
                 visit);
    }
  } else if (auto* a = std::get_if<LightDecoder>(&aux)) {
    VisitLight(*a, prefix, visit);
  } else if (auto* a = std::get_if<MlpSr>(&aux)) {
    VisitMlpSr(*a, prefix, visit);
  } else if (auto* a = std::get_if<PredSim>(&aux)) {
    Visit(a->linear, absl::StrCat(prefix, "pred.layers.2"), visit);
    visit(absl::StrCat(prefix, "sim.layers.0.weight"), a->similarity_weight,
          true);
  } else if (auto* a = std::get_if<VggHead>(&aux)) {
    for (size_t i = 0; i < a->linears.size(); ++i) {
      Visit(a->linears[i], absl::StrCat(prefix, 3 * i + 2), visit);
    }
  } else if (auto* a = std::get_if<ResNetHead>(&aux)) {
    Visit(a->linear, absl::StrCat(prefix, "2"), visit);
  }
}

}  // namespace altprop::sedona
