// The side of `benchmarks/compare cnn` that is ours (serve.h): a training step
// of equilibrium propagation on a convolutional network. Its line of a part is
// "NAME SECONDS FLOPS". The arguments are the number of threads and the
// setting.

#include <cstdlib>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/sin.h"
#include "benchmarks/serve.h"
#include "common/models/init.h"
#include "common/training/memory.h"
#include "common/training/optimizer.h"
#include "eqprop/equilibrium.h"
#include "eqprop/estimate.h"
#include "eqprop/network.h"
#include "eqprop/phases.h"

namespace altprop::benchmarks {
namespace {

struct Setting {
  eqprop::Architecture architecture;
  int64_t batch, free_steps, nudged_steps;
  double beta;
  bool symmetric;
};

// mse, float32. The same settings are in eqprop_cnn_torch.py.
std::optional<Setting> FindSetting(const std::string& name) {
  eqprop::Architecture a;
  a.model = eqprop::Model::kCnn;
  a.fc = {10};
  if (name == "mnist") {
    a.activation = eqprop::Activation::kHardSigmoid;
    a.input_channels = 1;
    a.input_size = 28;
    a.channels = {32, 64};
    a.kernels = {5, 5};
    a.paddings = {0, 0};
  } else {
    a.activation = eqprop::Activation::kMyHardSig;
    a.input_channels = 3;
    a.input_size = 32;
    a.channels = {16, 32, 64, 64};
    a.kernels = {3, 3, 3, 3};
    a.paddings = {1, 1, 1, 0};
  }
  if (name == "published") a.channels = {128, 256, 512, 512};
  a.strides.assign(a.channels.size(), 1);
  a.pools.assign(a.channels.size(), eqprop::Pool::kMax);
  if (name == "mnist") return Setting{a, 100, 200, 10, 0.4, false};
  if (name == "narrow") return Setting{a, 128, 20, 8, 0.5, true};
  if (name == "published") return Setting{a, 8, 20, 5, 0.5, true};
  return std::nullopt;
}

training::Optimizer MakeSgd(const eqprop::Network& network) {
  std::vector<training::ParameterGroup> groups;
  const auto parameters = Parameters(network);
  for (size_t i = 0; i < parameters.size(); i += 2) {
    groups.push_back({{parameters[i], parameters[i + 1]}, 0.01, 0});
  }
  return training::Optimizer::Sgd(std::move(groups), 0.9);
}

// Pixel i of sample b is 0.5 + 0.5 sin(0.05 (b + 1) i + b), its class in step t
// 7 b + t modulo the classes.
at::Tensor MakeInput(const Setting& setting) {
  const eqprop::Architecture& a = setting.architecture;
  const int64_t pixels = a.input_channels * a.input_size * a.input_size;
  const at::Tensor b = at::arange(setting.batch, at::kDouble).unsqueeze(1);
  const at::Tensor i = at::arange(pixels, at::kDouble).unsqueeze(0);
  return (at::sin(0.05 * (b + 1) * i + b) * 0.5 + 0.5)
      .to(at::kFloat)
      .view({setting.batch, a.input_channels, a.input_size, a.input_size});
}

class CnnStep {
 public:
  explicit CnnStep(const Setting& setting)
      : setting_(setting),
        network_(MakeNetwork(setting.architecture, std::nullopt,
                             models::SeededGenerator(0))),
        x_(MakeInput(setting)),
        optimizer_(MakeSgd(network_)) {
    NextLabels();
  }

  // The mean loss at the free state, before the update.
  double Run() {
    const eqprop::Clamped input = ClampInput();
    const eqprop::State free = Free(input);
    const at::Tensor output = eqprop::Output(network_, input, free);
    const double loss = LossPerSample(eqprop::Loss::kMse, output, target_)
                            .mean()
                            .item<double>();
    Update(Gradient(input, Nudged(input, free)));
    NextLabels();
    return loss;
  }

  eqprop::Clamped ClampInput() const { return eqprop::Clamp(network_, x_); }
  eqprop::State Free(const eqprop::Clamped& input) const {
    return FreePhase(network_, input, setting_.free_steps, dynamics_,
                     eqprop::Path::kFused);
  }
  eqprop::Contrast Nudged(const eqprop::Clamped& input,
                          const eqprop::State& free) const {
    const double beta = setting_.beta;
    if (setting_.symmetric) {
      eqprop::NudgedPair pair =
          NudgedPhases(network_, input, free, setting_.nudged_steps, target_,
                       beta, dynamics_, eqprop::Path::kFused);
      return eqprop::Between({pair.plus, beta}, {pair.minus, -beta}, target_);
    }
    return eqprop::Between(
        {free, 0},
        {NudgedPhase(network_, input, free, setting_.nudged_steps,
                     eqprop::NudgeTowards(target_, beta), dynamics_,
                     eqprop::Path::kFused),
         beta},
        target_);
  }
  std::vector<at::Tensor> Gradient(const eqprop::Clamped& input,
                                   const eqprop::Contrast& contrast) const {
    return ContrastGradient(network_, input,
                            eqprop::LaidOut(contrast, eqprop::Path::kFused));
  }
  void Update(const std::vector<at::Tensor>& gradient) {
    optimizer_.Step(gradient);
  }

  // Multiplications and additions of the convolutions of a time step, both ways
  // along every edge but the first; and of the first, once.
  double TimeStepFlops() const {
    double flops = 0;
    const eqprop::Architecture& a = setting_.architecture;
    int64_t size = a.input_size;
    for (size_t l = 0; l < a.channels.size(); ++l) {
      if (l > 0) flops += 2 * EdgeFlops(l, size);
      size =
          eqprop::SizeAfter(size, a.kernels[l], 1, a.paddings[l], a.pools[l]);
    }
    return flops;
  }
  double ClampFlops() const {
    return EdgeFlops(0, setting_.architecture.input_size);
  }
  const Setting& setting() const { return setting_; }

 private:
  void NextLabels() {
    const at::Tensor labels = at::arange(setting_.batch, at::kLong)
                                  .mul(7)
                                  .add(step_++)
                                  .remainder(network_.classes());
    target_ = eqprop::OneHot(labels, network_.classes(), x_);
  }

  // Of edges[l] above images of `size`.
  double EdgeFlops(size_t l, int64_t size) const {
    const eqprop::Architecture& a = setting_.architecture;
    const int64_t after = eqprop::SizeAfter(size, a.kernels[l], 1,
                                            a.paddings[l], eqprop::Pool::kNone);
    return 2.0 * static_cast<double>(setting_.batch * after * after *
                                     network_.edges[l].weight.numel());
  }

  Setting setting_;
  eqprop::Dynamics dynamics_ = eqprop::TrainingDynamics(eqprop::Loss::kMse);
  eqprop::Network network_;
  at::Tensor x_;
  int64_t step_ = 0;
  at::Tensor target_;
  training::Optimizer optimizer_;
};

void Tell(const std::string& name, const std::function<void()>& work,
          double flops) {
  std::cout << name << '\t' << Typical(work, 5) << '\t' << flops << '\n';
}

void TellParts(const Setting& setting) {
  CnnStep step(setting);
  step.Run();
  const eqprop::Clamped input = step.ClampInput();
  const eqprop::State free = step.Free(input);
  const eqprop::Contrast contrast = step.Nudged(input, free);
  const auto gradient = step.Gradient(input, contrast);
  const double flops = step.TimeStepFlops();
  const auto nudged_steps =
      static_cast<double>(setting.nudged_steps) * (setting.symmetric ? 2 : 1);
  Tell(
      "first edge, once", [&] { step.ClampInput(); }, step.ClampFlops());
  Tell(
      "free phase", [&] { step.Free(input); },
      flops * static_cast<double>(setting.free_steps));
  Tell(
      "nudged phases", [&] { step.Nudged(input, free); }, flops * nudged_steps);
  // Routing in both phases, and a product over twice the batch.
  Tell(
      "contrast gradient", [&] { step.Gradient(input, contrast); },
      2 * flops + 4 * step.ClampFlops());
  Tell(
      "update", [&] { step.Update(gradient); }, 0);
  Tell(
      "whole step", [&] { step.Run(); }, 0);
  const at::Tensor square = at::rand({1024, 1024});
  Tell(
      "limit: product", [&] { at::mm(square, square); },
      2.0 * 1024 * 1024 * 1024);
}

int ServeSteps(const Setting& setting) {
  CnnStep step(setting);
  return Serve([&] { return step.Run(); }, [&] { TellParts(setting); });
}

}  // namespace
}  // namespace altprop::benchmarks

int main(int argc, char** argv) {
  const int threads = argc == 3 ? std::atoi(argv[1]) : 0;
  const auto setting =
      altprop::benchmarks::FindSetting(argc == 3 ? argv[2] : "");
  if (threads < 1 || !setting.has_value()) {
    std::cerr << "usage: eqprop_cnn_step THREADS mnist|narrow|published\n";
    return 2;
  }
  altprop::training::KeepFreedMemory();  // as the programs do
  at::set_num_threads(threads);
  return altprop::benchmarks::ServeSteps(*setting);
}
