#include "common/kernels/batch_norm.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/Version.h"
#include "ATen/core/LegacyTypeDispatch.h"
#include "ATen/core/dispatch/Dispatcher.h"
#include "ATen/ops/batch_norm.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/relu.h"
#include "common/kernels/batch_norm_kernel.h"
#include "torch/csrc/autograd/custom_function.h"
#include "torch/library.h"

namespace altprop::kernels {
namespace {

using batch_norm::Backward;
using batch_norm::Forward;
using batch_norm::Kernels;
using Floats = std::vector<float>;
using Doubles = std::vector<double>;

const Kernels& BestKernels() {
  static const Kernels& best = []() -> const Kernels& {
#if defined(__x86_64__)
    const std::string capability = at::get_cpu_capability();
    if (capability == batch_norm::kAvx512.name) return batch_norm::kAvx512;
    if (capability == batch_norm::kAvx2.name) return batch_norm::kAvx2;
#endif
    return batch_norm::kDefault;
  }();
  return best;
}

// Rows of one task; sums over them are combined in their order.
constexpr int64_t kTaskRows = 1024;

// x as a matrix: N H W rows of C channels that lie together.
struct Matrix {
  explicit Matrix(const at::Tensor& x)
      : channels(x.size(1)), rows(x.numel() / std::max<int64_t>(1, channels)) {}

  int64_t tasks() const { return (rows + kTaskRows - 1) / kTaskRows; }
  int64_t begin(int64_t task) const { return task * kTaskRows; }
  int64_t size(int64_t task) const {
    return std::min(kTaskRows, rows - begin(task));
  }
  // work(task) for each, in parallel.
  template <typename Work>
  void Each(const Work& work) const {
    at::parallel_for(0, tasks(), 1, [&](int64_t first, int64_t last) {
      for (int64_t task = first; task < last; ++task) work(task);
    });
  }

  int64_t channels, rows;
};

// Two sums per channel over all rows: `add(task, scratch, first, second)` adds
// a task's.
template <typename Add>
std::pair<Doubles, Doubles> Sums(const Matrix& m, const Add& add) {
  const int64_t channels = m.channels;
  Doubles parts(2 * channels * m.tasks());
  m.Each([&](int64_t task) {
    Floats scratch(2 * channels);
    double* part = parts.data() + 2 * channels * task;
    add(task, scratch.data(), part, part + channels);
  });
  Doubles first(channels), second(channels);
  for (int64_t task = 0; task < m.tasks(); ++task) {
    const double* part = parts.data() + 2 * channels * task;
    for (int64_t c = 0; c < channels; ++c) {
      first[c] += part[c];
      second[c] += part[channels + c];
    }
  }
  return {std::move(first), std::move(second)};
}

const float* Data(const at::Tensor& tensor) {
  return tensor.const_data_ptr<float>();
}

using ForwardResult = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// y, and the batch's mean and 1 / sqrt(variance + eps).
ForwardResult ForwardCpu(const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias, at::Tensor running_mean,
                         at::Tensor running_var,
                         const std::optional<at::Tensor>& shortcut,
                         double momentum, double eps, bool relu) {
  const Matrix m(x);
  const Kernels& kernels = BestKernels();
  const float* in = Data(x);
  at::Tensor y = at::empty_like(x);
  const float* added = shortcut.has_value() ? Data(*shortcut) : nullptr;
  const auto block = [&](int64_t task) {
    const int64_t at = m.begin(task) * m.channels;
    return Forward{in + at, added == nullptr ? nullptr : added + at,
                   y.mutable_data_ptr<float>() + at, m.size(task), m.channels};
  };

  // The first row, so that the squares do not cancel.
  const Floats shift(in, in + m.channels);
  const auto [sum, square] =
      Sums(m, [&](int64_t task, float* scratch, double* first, double* second) {
        kernels.moments(block(task), shift.data(), scratch, first, second);
      });

  at::Tensor mean = at::empty({m.channels}, x.options());
  at::Tensor inverse = at::empty({m.channels}, x.options());
  Floats scale(m.channels), offset(m.channels);
  const auto rows = static_cast<double>(m.rows);
  for (int64_t c = 0; c < m.channels; ++c) {
    const double centre = sum[c] / rows;
    const double average = shift[c] + centre;
    const double variance = std::max(0.0, square[c] / rows - centre * centre);
    const double inv = 1 / std::sqrt(variance + eps);
    mean.mutable_data_ptr<float>()[c] = static_cast<float>(average);
    inverse.mutable_data_ptr<float>()[c] = static_cast<float>(inv);
    scale[c] = static_cast<float>(inv * Data(weight)[c]);
    offset[c] =
        static_cast<float>(Data(bias)[c] - average * inv * Data(weight)[c]);
    float& kept_mean = running_mean.mutable_data_ptr<float>()[c];
    float& kept_var = running_var.mutable_data_ptr<float>()[c];
    kept_mean =
        static_cast<float>(momentum * average + (1 - momentum) * kept_mean);
    kept_var = static_cast<float>(momentum * variance * rows / (rows - 1) +
                                  (1 - momentum) * kept_var);
  }
  m.Each([&](int64_t task) {
    kernels.apply(block(task), scale.data(), offset.data(), relu);
  });
  return {y, mean, inverse};
}

using BackwardResult =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// dx, dweight, dbias, and dshortcut where it is asked for. `y`: given where
// there is a rectifier.
BackwardResult BackwardCpu(const at::Tensor& dy, const at::Tensor& x,
                           const std::optional<at::Tensor>& y,
                           const at::Tensor& weight, const at::Tensor& mean,
                           const at::Tensor& inverse, bool shortcut) {
  const Matrix m(x);
  const Kernels& kernels = BestKernels();
  at::Tensor dx = at::empty_like(x);
  at::Tensor dshortcut = shortcut ? at::empty_like(x) : at::Tensor();
  const auto block = [&](int64_t task) {
    const int64_t at = m.begin(task) * m.channels;
    return Backward{
        Data(dy) + at,
        y.has_value() ? Data(*y) + at : nullptr,
        Data(x) + at,
        dx.mutable_data_ptr<float>() + at,
        shortcut ? dshortcut.mutable_data_ptr<float>() + at : nullptr,
        m.size(task),
        m.channels};
  };

  const auto [sum, product] =
      Sums(m, [&](int64_t task, float* scratch, double* first, double* second) {
        kernels.reduce(block(task), Data(mean), scratch, first, second);
      });
  at::Tensor dweight = at::empty_like(weight), dbias = at::empty_like(weight);
  // dx = w inv (dz - sum / n - (x - mean) inv^2 product / n)
  Floats a(m.channels), b(m.channels), d(m.channels);
  const auto rows = static_cast<double>(m.rows);
  for (int64_t c = 0; c < m.channels; ++c) {
    const double inv = Data(inverse)[c];
    const double slope = inv * Data(weight)[c];
    dweight.mutable_data_ptr<float>()[c] = static_cast<float>(product[c] * inv);
    dbias.mutable_data_ptr<float>()[c] = static_cast<float>(sum[c]);
    a[c] = static_cast<float>(slope);
    b[c] = static_cast<float>(-slope * inv * inv * product[c] / rows);
    d[c] = static_cast<float>(-slope * sum[c] / rows);
  }
  m.Each([&](int64_t task) {
    kernels.gradient(block(task), Data(mean), a.data(), b.data(), d.data());
  });
  return {dx, dweight, dbias, dshortcut};
}

template <typename Function>
auto Operator(const char* name) {
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow(name, "")
      .typed<Function>();
}

std::optional<at::Tensor> Optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// `tensor` as x lies.
at::Tensor LaidOutAs(const at::Tensor& tensor, const at::Tensor& x) {
  return x.dim() == 4 ? tensor.contiguous(at::MemoryFormat::ChannelsLast)
                      : tensor.contiguous();
}

class Fused : public torch::autograd::Function<Fused> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context,
                            const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias,
                            const at::Tensor& running_mean,
                            const at::Tensor& running_var,
                            const std::optional<at::Tensor>& shortcut,
                            double momentum, double eps, bool relu) {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    static const auto op =
        Operator<decltype(ForwardCpu)>("altprop::batch_norm_act");
    std::optional<at::Tensor> added = shortcut;
    if (added.has_value()) added = LaidOutAs(*added, x);
    auto [y, mean, inverse] = op.call(x, weight, bias, running_mean,
                                      running_var, added, momentum, eps, relu);
    context->save_for_backward(
        {x, weight, mean, inverse, relu ? y : at::Tensor()});
    context->saved_data["shortcut"] = shortcut.has_value();
    return y;
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context,
      torch::autograd::variable_list gradients) {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    static const auto op =
        Operator<decltype(BackwardCpu)>("altprop::batch_norm_act_backward");
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    auto [dx, dweight, dbias, dshortcut] =
        op.call(LaidOutAs(gradients[0], x), x, Optional(saved[4]), saved[1],
                saved[2], saved[3], context->saved_data["shortcut"].toBool());
    return {dx, dweight, dbias, {}, {}, dshortcut, {}, {}, {}};
  }
};

bool ChannelsTogether(const at::Tensor& x) {
  return x.dim() == 2
             ? x.is_contiguous()
             : x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace

at::Tensor BatchNormAct(const at::Tensor& x, const BatchNormTensors& norm,
                        const at::Tensor& shortcut,
                        const BatchNormOptions& options) {
  const bool fused =
      options.training && x.is_cpu() && x.scalar_type() == at::kFloat &&
      norm.weight.scalar_type() == at::kFloat &&
      (!shortcut.defined() || shortcut.scalar_type() == at::kFloat) &&
      ChannelsTogether(x) && x.numel() > x.size(1);
  if (!fused) return BatchNormActPlain(x, norm, shortcut, options);
  return Fused::apply(x, norm.weight, norm.bias, norm.running_mean,
                      norm.running_var, Optional(shortcut), options.momentum,
                      options.eps, options.relu);
}

at::Tensor BatchNormActPlain(const at::Tensor& x, const BatchNormTensors& norm,
                             const at::Tensor& shortcut,
                             const BatchNormOptions& options) {
  at::Tensor y = at::batch_norm(x, norm.weight, norm.bias, norm.running_mean,
                                norm.running_var, options.training,
                                options.momentum, options.eps,
                                /*cudnn_enabled=*/true);
  if (shortcut.defined()) y = y.add(shortcut);
  return options.relu ? at::relu(y) : y;
}

TORCH_LIBRARY_FRAGMENT(altprop, m) {
  m.def(
      "batch_norm_act(Tensor x, Tensor weight, Tensor bias, "
      "Tensor(a!) running_mean, Tensor(b!) running_var, Tensor? shortcut, "
      "float momentum, float eps, bool relu) -> (Tensor, Tensor, Tensor)");
  m.def(
      "batch_norm_act_backward(Tensor dy, Tensor x, Tensor? y, Tensor weight, "
      "Tensor mean, Tensor inverse, bool shortcut) "
      "-> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(altprop, CPU, m) {
  m.impl("batch_norm_act", &ForwardCpu);
  m.impl("batch_norm_act_backward", &BackwardCpu);
}

}  // namespace altprop::kernels
