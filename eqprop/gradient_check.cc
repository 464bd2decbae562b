#include "eqprop/gradient_check.h"

#include <limits>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/cumsum.h"
#include "ATen/ops/maximum.h"
#include "ATen/ops/ones_like.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/where.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/logging.h"
#include "eqprop/bptt.h"

namespace altprop::eqprop {
namespace {

// A list over time for each row.
using Series = std::vector<std::vector<at::Tensor>>;

struct Backwards {
  Series bptt;
  Series corrected;  // one per layer
  State state;       // after T1 steps
};

Backwards BackwardHalf(const Network& network, const Clamped& input,
                       const at::Tensor& target,
                       const GradientCheckOptions& o) {
  const Nudge nudge = NudgeTowards(target, o.beta_1);
  const State start =
      FreePhase(network, input, o.t1 - o.t2, o.dynamics, o.path, nudge);
  const size_t parameters = Parameters(network).size();
  const auto batch = static_cast<double>(input.batch());
  Backwards half;
  half.bptt.resize(parameters + network.layers());
  half.corrected.resize(network.layers());
  half.state = BackpropagateSteps(
      network, input, start, o.t2, nudge, target, o.dynamics,
      [&](BackwardStep step) {
        for (size_t i = 0; i < parameters; ++i) {
          half.bptt[i].push_back(std::move(step.gradient[i]));
        }
        for (size_t l = 0; l < step.delta.size(); ++l) {
          const at::Tensor term = step.delta[l] * -batch;
          half.bptt[parameters + l].push_back(term);
          half.corrected[l].push_back(term * step.slope[l]);
        }
      });
  return half;
}

Series ForwardHalf(const Network& network, const Clamped& input, State state,
                   const at::Tensor& target, const GradientCheckOptions& o) {
  const Nudge nudge = NudgeTowards(target, o.beta_2);
  const double difference = o.beta_2 - o.beta_1;
  Series ep(Parameters(network).size() + network.layers());
  for (int64_t t = 0; t < o.t2; ++t) {
    State next = Step(network, input, state, nudge, o.dynamics);
    const Contrast contrast{
        {state, o.beta_2}, {next, o.beta_2}, -difference, target};
    size_t row = 0;
    for (at::Tensor& update :
         GradientOf(network, input, state, contrast, o.rule)) {
      ep[row++].push_back(std::move(update));
    }
    for (size_t l = 0; l < next.size(); ++l) {
      ep[row++].push_back((next[l] - state[l]).div_(difference));
    }
    state = std::move(next);
  }
  return ep;
}

std::vector<std::string> Keys(const Network& network) {
  std::vector<std::string> keys;
  for (const auto& [name, tensor] : Parameters(network)) keys.push_back(name);
  for (size_t l = 0; l < network.layers(); ++l) {
    keys.push_back(absl::StrCat("neurons_", l));
  }
  return keys;
}

at::Tensor RootMeanSquare(const at::Tensor& x) {
  return x.square().mean(0).sqrt_();
}

double Cosine(const at::Tensor& a, const at::Tensor& b) {
  const double norms = a.norm().item<double>() * b.norm().item<double>();
  if (norms == 0) return std::numeric_limits<double>::quiet_NaN();
  return (a * b).sum().item<double>() / norms;
}

// Four decimals as Python prints them: 0.0255, 0.5, 0.0.
std::string Rounded(double value) {
  std::string text = absl::StrFormat("%.4f", value);
  while (absl::EndsWith(text, "0") && !absl::EndsWith(text, ".0")) {
    text.pop_back();
  }
  return text;
}

}  // namespace

GradientCheck CheckGradient(const Network& network, const Clamped& input,
                            const at::Tensor& target,
                            const GradientCheckOptions& options) {
  CHECK(1 <= options.t2 && options.t2 <= options.t1);
  CHECK_NE(options.beta_1, options.beta_2);
  Backwards backwards = BackwardHalf(network, input, target, options);
  Series ep =
      ForwardHalf(network, input, std::move(backwards.state), target, options);
  const std::vector<std::string> keys = Keys(network);
  const size_t parameters = keys.size() - network.layers();
  GradientCheck check;
  for (size_t i = 0; i < keys.size(); ++i) {
    GradientCheckRow row{keys[i], at::stack(backwards.bptt[i]),
                         at::stack(ep[i]), at::Tensor()};
    if (i >= parameters) {
      row.corrected = at::stack(backwards.corrected[i - parameters]);
    }
    // The lists and their stacks at once would take twice the memory.
    backwards.bptt[i].clear();
    ep[i].clear();
    check.rows.push_back(std::move(row));
  }
  return check;
}

Agreement Compare(const at::Tensor& ep, const at::Tensor& bptt) {
  const at::Tensor scale =
      at::maximum(RootMeanSquare(ep), RootMeanSquare(bptt)).add_(1e-10);
  Agreement agreement;
  agreement.rmse = RootMeanSquare(ep - bptt).div_(scale).mean().item<double>();
  agreement.sign_error =
      (ep * bptt).lt(0).sum().item<double>() / static_cast<double>(ep.numel());
  agreement.cosine =
      Cosine(ep.sum(0).to(at::kDouble), bptt.sum(0).to(at::kDouble));
  return agreement;
}

std::string AgreementLine(absl::string_view key, const Agreement& agreement) {
  return absl::StrCat(absl::StrReplaceAll(key, {{".", "_"}}),
                      "\t RMSE = ", Rounded(agreement.rmse),
                      "\t SIGN err = ", Rounded(agreement.sign_error));
}

at::Tensor Integrated(const at::Tensor& terms, Semantics semantics) {
  const at::Tensor zero = at::zeros_like(terms.narrow(0, 0, 1));
  const int64_t summed =
      terms.size(0) - (semantics == Semantics::kReference ? 1 : 0);
  return at::cat({zero, at::cumsum(terms.narrow(0, 0, summed), 0)});
}

at::Tensor IntegratedEstimate(const at::Tensor& terms, Semantics semantics) {
  const int64_t summed =
      terms.size(0) - (semantics == Semantics::kReference ? 1 : 0);
  return terms.narrow(0, 0, summed).sum(0);
}

bool IsWeight(absl::string_view key) { return absl::EndsWith(key, ".weight"); }

double BarHeight(const at::Tensor& ep, const at::Tensor& ep_minus,
                 const at::Tensor& bptt) {
  const at::Tensor both = ((ep + ep_minus) / 2 - bptt).abs().mul_(2);
  const at::Tensor each = (ep - bptt).abs() + (ep_minus - bptt).abs();
  return at::where(each == 0, at::ones_like(each), both / each)
      .mean()
      .item<double>();
}

}  // namespace altprop::eqprop
