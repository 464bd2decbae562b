#include "cbp/weight_rule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/core/dispatch/Dispatcher.h"
#include "ATen/ops/tensor.h"
#include "c10/util/Exception.h"
#include "cbp/weight_kernel.h"
#include "cbp/weight_rule_check.h"
#include "torch/library.h"

namespace altprop::cbp {
namespace {

const WeightKernels& ChooseKernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    return kWeightAvx512;
  }
  if (__builtin_cpu_supports("avx2")) return kWeightAvx2;
#endif
  return kWeightDefault;
}

const WeightKernels& Kernels() {
  static const WeightKernels& kernels = ChooseKernels();
  return kernels;
}

// A stretch of one layer, of at most kStretch weights: so many are summed in
// the weights' own type.
struct Stretch {
  size_t layer;
  int64_t begin, size;
};
constexpr int64_t kStretch = 2048;

std::vector<Stretch> Stretches(at::ArrayRef<int64_t> offsets) {
  std::vector<Stretch> stretches;
  for (size_t k = 0; k + 1 < offsets.size(); ++k) {
    for (int64_t i = offsets[k]; i < offsets[k + 1]; i += kStretch) {
      stretches.push_back({k, i, std::min(kStretch, offsets[k + 1] - i)});
    }
  }
  return stretches;
}

// Calls `work` for every stretch, on all threads, and adds what it returns in
// the stretches' order.
template <typename Work>
KernelSums ForStretches(at::ArrayRef<int64_t> offsets, const Work& work) {
  const std::vector<Stretch> stretches = Stretches(offsets);
  std::vector<KernelSums> sums(stretches.size());
  constexpr int64_t kGrain = 8;  // stretches worth a thread: some 10 us
  at::parallel_for(0, static_cast<int64_t>(stretches.size()), kGrain,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       sums[i] = work(stretches[i]);
                     }
                   });
  KernelSums total;
  for (const KernelSums& sum : sums) {
    total.constraint += sum.constraint;
    total.distance += sum.distance;
  }
  return total;
}

// d u for the gaps below s / 2 and above, in T as the plain form has it.
template <typename T>
struct Edges {
  T inner, outer;
};

template <typename T>
Edges<T> EdgesOf(Mode mode, T s, double u) {
  constexpr T kNone = std::numeric_limits<T>::infinity();
  if (u >= 1) return {kNone, kNone};
  const LevelSet levels = LevelsOf(mode);
  const auto window = static_cast<T>(u);
  return {s * static_cast<T>(levels.gap(levels.size / 2 - 1)) * window,
          s * static_cast<T>(levels.gap(0)) * window};
}

template <typename T>
KernelSums UpdateTyped(const at::Tensor& w, at::TensorList gradients,
                       const at::Tensor& lambda, const at::Tensor& v,
                       const at::Tensor& q, const at::Tensor& scales,
                       at::ArrayRef<int64_t> offsets, Mode mode,
                       const WeightStep& step) {
  std::vector<const T*> gradient;
  gradient.reserve(gradients.size());
  for (const at::Tensor& g : gradients) {
    gradient.push_back(g.const_data_ptr<T>());
  }
  T* const weights = w.mutable_data_ptr<T>();
  T* const momentum = v.mutable_data_ptr<T>();
  T* const quantized = q.mutable_data_ptr<T>();
  const T* const multipliers = lambda.const_data_ptr<T>();
  const T* const scale = scales.const_data_ptr<T>();
  return ForStretches(offsets, [&](const Stretch& at) {
    const Edges<T> edges = EdgesOf<T>(mode, scale[at.layer], step.u);
    const WeightStretch<T> x = {
        at.size,
        weights + at.begin,
        gradient[at.layer] + (at.begin - offsets[at.layer]),
        multipliers + at.begin,
        momentum + at.begin,
        quantized + at.begin};
    const WeightConstants<T> c = {scale[at.layer],
                                  edges.inner,
                                  edges.outer,
                                  static_cast<T>(step.learning_rate),
                                  static_cast<T>(step.weight_decay),
                                  static_cast<T>(step.momentum)};
    if constexpr (std::is_same_v<T, float>) {
      return Kernels().update32(mode, x, c);
    } else {
      return Kernels().update64(mode, x, c);
    }
  });
}

at::Tensor UpdateWeightsCpu(const at::Tensor& w, at::TensorList gradients,
                            const at::Tensor& lambda, const at::Tensor& v,
                            const at::Tensor& q, const at::Tensor& scales,
                            at::IntArrayRef offsets, int64_t mode, double u,
                            double learning_rate, double weight_decay,
                            double momentum) {
  CheckMode(mode);
  CheckFlat({w, lambda, v, q}, scales, offsets);
  CheckGradients(gradients, w, offsets);
  const WeightStep step = {u, learning_rate, weight_decay, momentum};
  const auto which = static_cast<Mode>(mode);
  const KernelSums sums =
      w.scalar_type() == at::kFloat
          ? UpdateTyped<float>(w, gradients, lambda, v, q, scales, offsets,
                               which, step)
          : UpdateTyped<double>(w, gradients, lambda, v, q, scales, offsets,
                                which, step);
  return at::tensor({sums.constraint, sums.distance}, at::kDouble);
}

template <typename T>
KernelSums AscendTyped(const at::Tensor& w, const at::Tensor& lambda,
                       const at::Tensor& m, const at::Tensor& v,
                       const at::Tensor& scales, at::ArrayRef<int64_t> offsets,
                       Mode mode, double u, double lr_lambda, double t) {
  const T* const weights = w.const_data_ptr<T>();
  T* const multipliers = lambda.mutable_data_ptr<T>();
  T* const first = m.mutable_data_ptr<T>();
  T* const second = v.mutable_data_ptr<T>();
  const T* const scale = scales.const_data_ptr<T>();
  return ForStretches(offsets, [&](const Stretch& at) {
    const Edges<T> edges = EdgesOf<T>(mode, scale[at.layer], u);
    const MultiplierStretch<T> x = {at.size, weights + at.begin,
                                    multipliers + at.begin, first + at.begin,
                                    second + at.begin};
    const MultiplierConstants<T> c = {
        scale[at.layer], edges.inner, edges.outer,
        static_cast<T>(lr_lambda / (1 - std::pow(kBeta1, t))),
        static_cast<T>(std::sqrt(1 - std::pow(kBeta2, t)))};
    if constexpr (std::is_same_v<T, float>) {
      return Kernels().ascend32(mode, x, c);
    } else {
      return Kernels().ascend64(mode, x, c);
    }
  });
}

at::Tensor UpdateMultipliersCpu(const at::Tensor& w, const at::Tensor& lambda,
                                const at::Tensor& m, const at::Tensor& v,
                                const at::Tensor& scales,
                                at::IntArrayRef offsets, int64_t mode, double u,
                                double lr_lambda, int64_t t) {
  CheckMode(mode);
  CheckFlat({w, lambda, m, v}, scales, offsets);
  TORCH_CHECK(t >= 1, "cbp: multiplier update ", t, ", expected at least 1");
  const auto which = static_cast<Mode>(mode);
  const auto count = static_cast<double>(t);
  const KernelSums sums =
      w.scalar_type() == at::kFloat
          ? AscendTyped<float>(w, lambda, m, v, scales, offsets, which, u,
                               lr_lambda, count)
          : AscendTyped<double>(w, lambda, m, v, scales, offsets, which, u,
                                lr_lambda, count);
  return at::tensor({sums.distance}, at::kDouble);
}

void QuantizeCpu(const at::Tensor& w, const at::Tensor& q,
                 const at::Tensor& scales, at::IntArrayRef offsets,
                 int64_t mode) {
  CheckMode(mode);
  CheckFlat({w, q}, scales, offsets);
  const auto which = static_cast<Mode>(mode);
  ForStretches(offsets, [&](const Stretch& at) {
    if (w.scalar_type() == at::kFloat) {
      Kernels().quantize32(which, w.const_data_ptr<float>() + at.begin, at.size,
                           scales.const_data_ptr<float>()[at.layer],
                           q.mutable_data_ptr<float>() + at.begin);
    } else {
      Kernels().quantize64(which, w.const_data_ptr<double>() + at.begin,
                           at.size, scales.const_data_ptr<double>()[at.layer],
                           q.mutable_data_ptr<double>() + at.begin);
    }
    return KernelSums();
  });
}

using UpdateFunction = at::Tensor(const at::Tensor&, at::TensorList,
                                  const at::Tensor&, const at::Tensor&,
                                  const at::Tensor&, const at::Tensor&,
                                  at::IntArrayRef, int64_t, double, double,
                                  double, double);
using AscendFunction = at::Tensor(const at::Tensor&, const at::Tensor&,
                                  const at::Tensor&, const at::Tensor&,
                                  const at::Tensor&, at::IntArrayRef, int64_t,
                                  double, double, int64_t);
using QuantizeFunction = void(const at::Tensor&, const at::Tensor&,
                              const at::Tensor&, at::IntArrayRef, int64_t);

}  // namespace

at::Tensor UpdateWeights(const at::Tensor& w, at::TensorList gradients,
                         const at::Tensor& lambda, const at::Tensor& v,
                         const at::Tensor& q, const FlatLayers& layers,
                         Mode mode, const WeightStep& step) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("altprop::cbp_update_weights", "")
          .typed<UpdateFunction>();
  return op.call(w, gradients, lambda, v, q, layers.scales, layers.offsets,
                 static_cast<int64_t>(mode), step.u, step.learning_rate,
                 step.weight_decay, step.momentum);
}

at::Tensor UpdateMultipliers(const at::Tensor& w, const at::Tensor& lambda,
                             const at::Tensor& m, const at::Tensor& v,
                             const FlatLayers& layers, Mode mode, double u,
                             double lr_lambda, int64_t t) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("altprop::cbp_update_multipliers", "")
          .typed<AscendFunction>();
  return op.call(w, lambda, m, v, layers.scales, layers.offsets,
                 static_cast<int64_t>(mode), u, lr_lambda, t);
}

void QuantizeInto(const at::Tensor& w, const at::Tensor& q,
                  const FlatLayers& layers, Mode mode) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("altprop::cbp_quantize", "")
                             .typed<QuantizeFunction>();
  op.call(w, q, layers.scales, layers.offsets, static_cast<int64_t>(mode));
}

TORCH_LIBRARY_FRAGMENT(altprop, m) {
  m.def(
      "cbp_update_weights(Tensor(a!) w, Tensor[] gradients, Tensor multipliers,"
      " Tensor(b!) v, Tensor(c!) q, Tensor scales, int[] offsets, int mode, "
      "float u, float learning_rate, float weight_decay, float momentum) -> "
      "Tensor");
  m.def(
      "cbp_update_multipliers(Tensor w, Tensor(a!) multipliers, Tensor(b!) m, "
      "Tensor(c!) v, Tensor scales, int[] offsets, int mode, float u, float "
      "lr_lambda, int t) -> Tensor");
  m.def(
      "cbp_quantize(Tensor w, Tensor(a!) q, Tensor scales, int[] offsets, int "
      "mode) -> ()");
}

TORCH_LIBRARY_IMPL(altprop, CPU, m) {
  m.impl("cbp_update_weights", &UpdateWeightsCpu);
  m.impl("cbp_update_multipliers", &UpdateMultipliersCpu);
  m.impl("cbp_quantize", &QuantizeCpu);
}

}  // namespace altprop::cbp
