// Writes an example run into a folder, with made-up measurements: to look at
// report.html when working on it, and for check_event_files.py.
//
//   tools/bazel run //common/training:report_example -- DIRECTORY [running]

#include <cmath>
#include <iostream>
#include <string>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/ops/empty.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/training/run_directory.h"

namespace altprop::training {
namespace {

constexpr int64_t kEpochs = 12, kStepsPerEpoch = 1200;

// `count` numbers of a normal distribution.
at::Tensor Normal(double mean, double deviation, int64_t count) {
  static at::Generator generator = at::detail::createCPUGenerator(1);
  return at::empty({count}).normal_(mean, deviation, generator);
}

absl::Status LogEpoch(int64_t epoch, RunDirectory& run) {
  const int64_t step = epoch * kStepsPerEpoch;
  const double progress = std::exp(-0.45 * static_cast<double>(epoch));
  const double wiggle = 0.002 * std::sin(2.3 * static_cast<double>(epoch));
  ALTPROP_RETURN_IF_ERROR(run.Log({"train",
                                   epoch,
                                   step,
                                   {{"loss", 0.012 + 0.17 * progress},
                                    {"accuracy", 0.992 - 0.11 * progress},
                                    {"learning_rate", 5e-4 * progress}}}));
  ALTPROP_RETURN_IF_ERROR(
      run.Log({"test",
               epoch,
               step,
               {{"loss", 0.026 + 0.11 * progress - wiggle},
                {"accuracy", 0.972 - 0.06 * progress + wiggle}}}));
  ALTPROP_RETURN_IF_ERROR(
      run.LogHistogram("s_1", step, Normal(0.4, 0.12, 25600).clamp(0, 1)));
  return run.LogHistogram("synapses.0.weight", step,
                          Normal(0, 0.01 + 0.002 * epoch, 40000));
}

absl::Status WriteExample(const std::string& path, bool running) {
  RunDirectory::Options options;
  options.path = path;
  options.flags = {{"model", "MLP"},     {"archi", "784,512,10"},
                   {"act", "mysig"},     {"T1", "30"},
                   {"T2", "10"},         {"betas", "0,0.1"},
                   {"optim", "adam"},    {"lrs", "0.0005,0.0005"},
                   {"task", "MNIST"},    {"data_root", "/data/mnist"},
                   {"epochs", "12"},     {"mbs", "50"},
                   {"run_dir", "x & y"}, {"seed", "0"}};
  ALTPROP_ASSIGN_OR_RETURN(const auto run, RunDirectory::Create(options));
  ReportHeader header;
  header.title = "Equilibrium propagation: MLP 784-512-10 on MNIST";
  header.subtitle =
      "Laborieux et al. 2021, Scaling Equilibrium Propagation to Deep ConvNets";
  header.paper_values = {{"test", "accuracy", 0.9692, "an example's source"}};
  const int64_t epochs = running ? 3 : kEpochs;
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    ALTPROP_RETURN_IF_ERROR(LogEpoch(epoch, *run));
  }
  header.state = running ? RunState::kRunning : RunState::kFinished;
  header.state_text = absl::StrCat("epoch ", epochs, " of ", kEpochs);
  return run->WriteReport(header);
}

}  // namespace
}  // namespace altprop::training

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::cerr << "usage: report_example DIRECTORY [running]\n";
    return 2;
  }
  const absl::Status status =
      altprop::training::WriteExample(argv[1], argc == 3);
  if (!status.ok()) std::cerr << status.message() << "\n";
  return altprop::ExitCode(status);
}
