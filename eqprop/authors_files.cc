#include "eqprop/authors_files.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/training/atomic_file.h"

namespace altprop::eqprop {
namespace {

absl::string_view YesNo(bool value) { return value ? "True" : "False"; }

absl::string_view AlgorithmName(Algorithm algorithm) {
  constexpr absl::string_view kNames[] = {"EP", "BPTT", "CEP"};
  return kNames[static_cast<size_t>(algorithm)];
}

// The pooling list of a CNN, then an edge a line.
std::string NetworkText(const Architecture& a) {
  std::string text = absl::StrCat("\n", ModelName(a.model), " ", SizesText(a));
  if (a.convolutional()) {
    absl::StrAppend(&text, "\npoolings: ");
    for (const Pool pool : a.pools) {
      absl::StrAppend(&text, pool == Pool::kMax       ? "m"
                             : pool == Pool::kAverage ? "a"
                                                      : "i");
    }
    for (size_t l = 0; l < a.channels.size(); ++l) {
      absl::StrAppend(&text, "\nconvolution ", a.channels[l], ", kernel ",
                      a.kernels[l], ", stride ", a.strides[l], ", padding ",
                      a.paddings[l]);
    }
    for (const int64_t units : a.fc) absl::StrAppend(&text, "\nlinear ", units);
  }
  return absl::StrCat(text, "\n");
}

std::string Numbers(const std::vector<double>& values) {
  return absl::StrCat("[", absl::StrJoin(values, ", "), "]");
}

}  // namespace

std::string AuthorsFolder(const Options& options, absl::Time now) {
  return absl::StrCat(
      "results/", AlgorithmName(options.algorithm),
      options.dropout.empty() ? "/" : "/dropout/", LossName(options.loss), "/",
      absl::FormatTime("%Y-%m-%d/%H-%M-%S", now, absl::LocalTimeZone()), "_gpu",
      static_cast<int>(options.run.device.index()));
}

absl::Status WriteHyperparameters(const std::string& folder, const Options& o) {
  std::string text = absl::StrCat(
      "- task: ", o.dataset, "\n- data aug: ", YesNo(o.augment_data),
      "\n- lr decay: ", YesNo(o.decay_learning_rate),
      "\n- scale: ", o.scale.has_value() ? absl::StrCat(*o.scale) : "None",
      "\n- activation: ", ActivationName(o.architecture.activation));
  absl::StrAppend(
      &text, "\n- learning rates: ", Numbers(o.learning_rates),
      "\n- weight decays: ", Numbers(o.weight_decays),
      "\n- momentum: ", o.momentum,
      "\n- optimizer: ", o.optimizer == OptimizerKind::kAdam ? "adam" : "sgd",
      "\n- loss: ", LossName(o.loss), "\n- alg: ", AlgorithmName(o.algorithm),
      "\n- minibatch size: ", o.batch_size, "\n- T1: ", o.free_steps,
      "\n- T2: ", o.nudged_steps, "\n- betas: ", Numbers({o.beta_1, o.beta_2}));
  absl::StrAppend(
      &text, "\n- random sign: ", YesNo(o.estimator == Estimator::kRandomSign),
      "\n- third phase: ", YesNo(o.estimator == Estimator::kSymmetric),
      "\n- five phases: ", YesNo(o.estimator == Estimator::kFivePhase),
      "\n- softmax: ", YesNo(o.architecture.softmax),
      "\n- same update: ", YesNo(o.rule.same_update),
      "\n- dropouts: ", Numbers(o.dropout), "\n- epochs: ", o.epochs,
      "\n- seed: ", o.run.seed, "\n- device: ", o.run.device.str(), "\n",
      NetworkText(o.architecture));
  return training::WriteFileAtomically(
      absl::StrCat(folder, "/hyperparameters.txt"), text);
}

absl::Status AppendAccuracies(const std::string& folder, const Score& train,
                              const Score& test) {
  const std::string path = absl::StrCat(folder, "/hyperparameters.txt");
  std::ofstream file(path, std::ios::app);
  file << absl::StrFormat("\ntrain accuracy %.17g\ntest accuracy %.17g\n",
                          train.accuracy(), test.accuracy());
  file.flush();
  if (!file) {
    return absl::UnavailableError(
        absl::StrCat(path, ": cannot append: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace altprop::eqprop
