#include "ftprop/threshold.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <tuple>

#include "ATen/Parallel.h"
#include "ATen/core/LegacyTypeDispatch.h"
#include "ATen/core/dispatch/Dispatcher.h"
#include "ATen/ops/empty_like.h"
#include "c10/util/BFloat16.h"
#include "c10/util/Half.h"
#include "ftprop/threshold_check.h"
#include "ftprop/threshold_select.h"
#include "torch/csrc/autograd/custom_function.h"
#include "torch/library.h"

namespace altprop::ftprop {
namespace {

// One argument (x) or two (x, g). `f` is a copy and `out` is new memory, so
// that nothing in the loop depends on what it writes, and it becomes vectors.
template <typename T, typename F, typename... In>
[[gnu::always_inline]] inline void Loop(const F f, int64_t size,
                                        T* __restrict out, const In*... in) {
  for (int64_t i = 0; i < size; ++i) out[i] = f(in[i]...);
}

template <typename T, typename F, typename... In>
void LoopBaseline(const F& f, int64_t size, T* out, const In*... in) {
  Loop(f, size, out, in...);
}

#if defined(__x86_64__)
template <typename T, typename F, typename... In>
[[gnu::target("avx2")]] void LoopAvx2(const F& f, int64_t size, T* out,
                                      const In*... in) {
  Loop(f, size, out, in...);
}

template <typename T, typename F, typename... In>
[[gnu::target(
    "avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")]] void
LoopAvx512(const F& f, int64_t size, T* out, const In*... in) {
  Loop(f, size, out, in...);
}
#endif

// The widest vectors that this processor has. Nothing is contracted and no sum
// is reordered, so the bits are the same with each.
template <typename T, typename F, typename... In>
void RunLoop(const F& f, int64_t size, T* out, const In*... in) {
#if defined(__x86_64__)
  static const bool avx512 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  static const bool avx2 = __builtin_cpu_supports("avx2");
  if (avx512) return LoopAvx512(f, size, out, in...);
  if (avx2) return LoopAvx2(f, size, out, in...);
#endif
  LoopBaseline(f, size, out, in...);
}

// Sixteen-bit floats, a chunk at a time in float32, rounded at the end.
constexpr int64_t kChunk = 256;
using Chunk = std::array<float, kChunk>;

template <typename Half>
const float* Widen(const Half* from, int64_t size, Chunk& to) {
  std::transform(from, from + size, to.begin(),
                 [](Half value) { return static_cast<float>(value); });
  return to.data();
}

template <typename Half, typename F, typename... In>
void RunHalfLoop(const F& f, int64_t size, Half* out, const In*... in) {
  for (int64_t start = 0; start < size; start += kChunk) {
    const int64_t part = std::min(kChunk, size - start);
    Chunk result;                           // NOLINT: filled by the loop
    std::array<Chunk, sizeof...(In)> wide;  // NOLINT: filled by Widen
    size_t next = 0;
    // In braces they are made from left to right.
    const std::array<const float*, sizeof...(In)> rows = {
        Widen(in + start, part, wide[next++])...};
    std::apply(
        [&](const auto*... row) { RunLoop(f, part, result.data(), row...); },
        rows);
    std::transform(result.begin(), result.begin() + part, out + start,
                   [](float value) { return static_cast<Half>(value); });
  }
}

// out[i] = f(in[i]...) over memory, on ATen's threads.
template <typename T, typename F, typename... In>
void Map(const F& f, const at::Tensor& out, const In&... in) {
  constexpr int64_t kGrain = 16384;  // elements worth a thread
  T* const to = out.mutable_data_ptr<T>();
  at::parallel_for(0, out.numel(), kGrain, [&](int64_t begin, int64_t end) {
    if constexpr (sizeof(T) == 2) {
      RunHalfLoop(f, end - begin, to + begin,
                  in.template const_data_ptr<T>() + begin...);
    } else {
      RunLoop(f, end - begin, to + begin,
              in.template const_data_ptr<T>() + begin...);
    }
  });
}

// Calls run.operator()<T, Wide>() with the tensor's type and the type that it
// is computed in.
template <typename Run>
void ForType(at::ScalarType type, const Run& run) {
  switch (type) {
    case at::kDouble:
      return run.template operator()<double, double>();
    case at::kFloat:
      return run.template operator()<float, float>();
    case at::kBFloat16:
      return run.template operator()<c10::BFloat16, float>();
    default:  // CheckFloating() lets nothing else pass
      return run.template operator()<c10::Half, float>();
  }
}

at::Tensor ThresholdCpu(const at::Tensor& x, c10::string_view nonlin,
                        c10::string_view rule, bool scaled,
                        bool sste_v2_as_coded) {
  const Threshold t = ReadThreshold(nonlin, rule, scaled, sste_v2_as_coded);
  CheckFloating(x);
  const at::Tensor in = Dense(x);
  const at::Tensor out = at::empty_like(in);
  ForType(x.scalar_type(), [&]<typename T, typename Wide>() {
    SelectForward<Wide>(t.nonlinearity,
                        [&](const auto& f) { Map<T>(f, out, in); });
  });
  return out;
}

at::Tensor ThresholdBackwardCpu(const at::Tensor& grad, const at::Tensor& x,
                                c10::string_view nonlin, c10::string_view rule,
                                bool scaled, bool sste_v2_as_coded) {
  const Threshold t = ReadThreshold(nonlin, rule, scaled, sste_v2_as_coded);
  CheckGradient(grad, x);
  const at::Tensor in = Dense(x);
  const at::Tensor out = at::empty_like(in);
  // A gradient need not lie in memory as x does.
  const at::Tensor g =
      grad.strides() == in.strides() ? grad : at::empty_like(in).copy_(grad);
  ForType(x.scalar_type(), [&]<typename T, typename Wide>() {
    SelectBackward<Wide>(t, Samples(grad),
                         [&](const auto& f) { Map<T>(f, out, in, g); });
  });
  return out;
}

at::Tensor CallForward(const at::Tensor& x, c10::string_view nonlin,
                       c10::string_view rule, bool scaled,
                       bool sste_v2_as_coded) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("altprop::threshold", "")
                             .typed<decltype(ThresholdCpu)>();
  return op.call(x, nonlin, rule, scaled, sste_v2_as_coded);
}

at::Tensor CallBackward(const at::Tensor& grad, const at::Tensor& x,
                        c10::string_view nonlin, c10::string_view rule,
                        bool scaled, bool sste_v2_as_coded) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("altprop::threshold_backward", "")
          .typed<decltype(ThresholdBackwardCpu)>();
  return op.call(grad, x, nonlin, rule, scaled, sste_v2_as_coded);
}

class ThresholdFunction : public torch::autograd::Function<ThresholdFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context,
                            const at::Tensor& x, std::string nonlin,
                            std::string rule, bool scaled,
                            bool sste_v2_as_coded) {
    context->save_for_backward({x});
    context->saved_data["nonlin"] = nonlin;
    context->saved_data["rule"] = rule;
    context->saved_data["scaled"] = scaled;
    context->saved_data["sste_v2_as_coded"] = sste_v2_as_coded;
    const at::AutoDispatchBelowADInplaceOrView below;
    return CallForward(x, nonlin, rule, scaled, sste_v2_as_coded);
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context,
      const torch::autograd::variable_list& grads) {
    auto& data = context->saved_data;
    const at::Tensor x = context->get_saved_variables()[0];
    return {CallBackward(grads[0], x, data["nonlin"].toStringRef(),
                         data["rule"].toStringRef(), data["scaled"].toBool(),
                         data["sste_v2_as_coded"].toBool()),
            at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor ThresholdAutograd(const at::Tensor& x, c10::string_view nonlin,
                             c10::string_view rule, bool scaled,
                             bool sste_v2_as_coded) {
  return ThresholdFunction::apply(x, std::string(nonlin), std::string(rule),
                                  scaled, sste_v2_as_coded);
}

}  // namespace

at::Tensor Apply(const Threshold& threshold, const at::Tensor& x) {
  const absl::string_view rule = RuleName(threshold.rule);
  return CallForward(x, NonlinearityName(threshold.nonlinearity),
                     {rule.data(), rule.size()}, threshold.scaled,
                     threshold.sste_v2_as_coded);
}

at::Tensor ThresholdBackward(const Threshold& threshold, const at::Tensor& grad,
                             const at::Tensor& x) {
  const absl::string_view rule = RuleName(threshold.rule);
  return CallBackward(grad, x, NonlinearityName(threshold.nonlinearity),
                      {rule.data(), rule.size()}, threshold.scaled,
                      threshold.sste_v2_as_coded);
}

TORCH_LIBRARY_FRAGMENT(altprop, m) {
  m.def(
      "threshold(Tensor x, str nonlin, str rule=\"SoftHinge\", "
      "bool scaled=True, bool sste_v2_as_coded=False) -> Tensor");
  m.def(
      "threshold_backward(Tensor grad, Tensor x, str nonlin, str rule, "
      "bool scaled, bool sste_v2_as_coded) -> Tensor");
}

TORCH_LIBRARY_IMPL(altprop, CPU, m) {
  m.impl("threshold", &ThresholdCpu);
  m.impl("threshold_backward", &ThresholdBackwardCpu);
}

TORCH_LIBRARY_IMPL(altprop, Autograd, m) {
  m.impl("threshold", &ThresholdAutograd);
}

}  // namespace altprop::ftprop
