#include "eqprop/relax_op.h"

#include <optional>

#include "ATen/core/dispatch/Dispatcher.h"
#include "absl/status/statusor.h"
#include "c10/util/Exception.h"
#include "eqprop/relax_cpu.h"
#include "torch/library.h"

namespace altprop::eqprop {
namespace {

using Tensors = std::vector<at::Tensor>;

Tensors Contiguous(at::TensorList list) {
  Tensors contiguous;
  for (const at::Tensor& tensor : list)
    contiguous.push_back(tensor.contiguous());
  return contiguous;
}

std::optional<at::Tensor> Contiguous(const std::optional<at::Tensor>& tensor) {
  if (!tensor.has_value() || !tensor->defined()) return std::nullopt;
  return tensor->contiguous();
}

Dynamics DynamicsOf(c10::string_view loss, bool linear_output) {
  const absl::StatusOr<Loss> parsed = ParseLoss({loss.data(), loss.size()});
  TORCH_CHECK(parsed.ok(), "altprop::relax: loss ", parsed.status().message());
  return {*parsed, linear_output};
}

Activation ActivationOf(c10::string_view name) {
  const auto parsed = ParseActivation({name.data(), name.size()});
  TORCH_CHECK(parsed.ok(), "altprop::relax: activation ",
              parsed.status().message());
  return *parsed;
}

// The plain form, for every device.
Tensors RelaxPlain(const at::Tensor& drive, at::TensorList state,
                   at::TensorList weights, at::TensorList biases,
                   const std::optional<at::Tensor>& beta,
                   const std::optional<at::Tensor>& target, int64_t steps,
                   c10::string_view activation, c10::string_view loss,
                   bool linear_output) {
  Network network;
  network.activation = ActivationOf(activation);
  network.edges.resize(1);  // edge 1 is in the drive
  for (size_t i = 0; i < weights.size(); ++i) {
    Edge& edge = network.edges.emplace_back();
    edge.weight = weights[i];
    edge.bias = biases[i];
  }
  const Nudge nudge{beta.value_or(at::Tensor()), target.value_or(at::Tensor())};
  return Relax(network, {at::Tensor(), {drive, drive, {}}, {}}, state.vec(),
               steps, nudge, DynamicsOf(loss, linear_output));
}

// The kernel reads memory by these sizes, so they are checked here, where
// Python can call it too.
void CheckShapes(const RelaxArguments& args) {
  const size_t layers = args.state.size();
  TORCH_CHECK(layers >= 1 && args.weights.size() + 1 == layers &&
                  args.biases.size() + 1 == layers,
              "altprop::relax: ", layers, " layers, ", args.weights.size(),
              " weights, ", args.biases.size(), " biases");
  const auto check = [&](const at::Tensor& tensor, at::IntArrayRef shape) {
    TORCH_CHECK(tensor.sizes() == shape && tensor.device().is_cpu() &&
                    tensor.scalar_type() == args.drive.scalar_type(),
                "altprop::relax: expected ", args.drive.scalar_type(), " ",
                shape, " on the CPU, not ", tensor.toString(), " ",
                tensor.sizes());
  };
  TORCH_CHECK(
      args.drive.dim() == 2 && args.state[0].sizes() == args.drive.sizes(),
      "altprop::relax: drive ", args.drive.sizes(), ", first layer ",
      args.state[0].sizes());
  for (size_t l = 0; l < layers; ++l) {
    TORCH_CHECK(args.state[l].dim() == 2, "altprop::relax: layer ", l);
    check(args.state[l], {args.batch(), args.size(l)});
    if (l == 0) continue;
    check(args.weights[l - 1], {args.size(l), args.size(l - 1)});
    check(args.biases[l - 1], {args.size(l)});
  }
  TORCH_CHECK(args.beta.has_value() == args.target.has_value(),
              "altprop::relax: beta and target come together");
  if (!args.beta.has_value()) return;
  check(*args.beta, {args.batch(), 1});
  check(*args.target, {args.batch(), args.size(layers - 1)});
}

Tensors RelaxCpu(const at::Tensor& drive, at::TensorList state,
                 at::TensorList weights, at::TensorList biases,
                 const std::optional<at::Tensor>& beta,
                 const std::optional<at::Tensor>& target, int64_t steps,
                 c10::string_view activation, c10::string_view loss,
                 bool linear_output) {
  std::vector<int64_t> sizes;
  for (const at::Tensor& layer : state) sizes.push_back(layer.size(-1));
  const at::ScalarType dtype = drive.scalar_type();
  if ((dtype != at::kFloat && dtype != at::kDouble) ||
      !FusedKernelTakes(sizes)) {
    return RelaxPlain(drive, state, weights, biases, beta, target, steps,
                      activation, loss, linear_output);
  }
  const RelaxArguments args{drive.contiguous(),
                            Contiguous(state),
                            Contiguous(weights),
                            Contiguous(biases),
                            Contiguous(beta),
                            Contiguous(target),
                            steps,
                            ActivationOf(activation),
                            DynamicsOf(loss, linear_output)};
  CheckShapes(args);
  return RelaxOnCpu(args);
}

}  // namespace

absl::string_view FusedInstructionSet() { return BestKernels().name; }

bool FusedKernelTakes(const std::vector<int64_t>& sizes) {
  // Between two wide hidden layers a matrix library reuses what it loads over
  // more samples than this kernel does; measured, the two meet about here.
  constexpr int64_t kLargestMatrix = 256 * 256;
  for (size_t l = 1; l < sizes.size(); ++l) {
    if (sizes[l - 1] * sizes[l] > kLargestMatrix) return false;
  }
  return true;
}

State RelaxFused(const Network& network, const Clamped& input,
                 const State& state, int64_t steps, const Nudge& nudge,
                 const Dynamics& dynamics) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("altprop::relax", "")
                             .typed<decltype(RelaxCpu)>();
  Tensors weights;
  Tensors biases;
  for (size_t l = 1; l < network.edges.size(); ++l) {
    weights.push_back(network.edges[l].weight);
    biases.push_back(network.edges[l].bias);
  }
  std::optional<at::Tensor> beta;
  std::optional<at::Tensor> target;
  if (nudge.beta.defined()) {
    beta = nudge.beta;
    target = nudge.target;
  }
  const absl::string_view activation = ActivationName(network.activation);
  const absl::string_view loss = LossName(dynamics.loss);
  return op.call(input.bottom.p, state, weights, biases, beta, target, steps,
                 {activation.data(), activation.size()},
                 {loss.data(), loss.size()}, dynamics.linear_output);
}

TORCH_LIBRARY_FRAGMENT(altprop, m) {
  m.def(
      "relax(Tensor drive, Tensor[] state, Tensor[] weights, Tensor[] biases, "
      "Tensor? beta, Tensor? target, int steps, str activation, str loss, "
      "bool linear_output) -> Tensor[]");
}
TORCH_LIBRARY_IMPL(altprop, CPU, m) { m.impl("relax", RelaxCpu); }
TORCH_LIBRARY_IMPL(altprop, CompositeExplicitAutograd, m) {
  m.impl("relax", RelaxPlain);
}

}  // namespace altprop::eqprop
