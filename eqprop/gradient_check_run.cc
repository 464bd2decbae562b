#include "eqprop/gradient_check_run.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/cli/parse.h"
#include "common/data/loader.h"
#include "common/status.h"
#include "common/training/run_directory.h"
#include "eqprop/authors_files.h"
#include "eqprop/evaluation.h"
#include "eqprop/gradient_check.h"
#include "eqprop/gradient_check_report.h"

namespace altprop::eqprop {
namespace {

constexpr int64_t kSamples = 20;
constexpr int64_t kSamplesInTraining = 5;

// The check on the first `samples` of a minibatch, nudged by `beta_2`.
GradientCheck Check(const Options& o, const Network& network,
                    const at::Tensor& x, const at::Tensor& target,
                    int64_t samples, double beta_2) {
  const int64_t count = std::min(samples, x.size(0));
  GradientCheckOptions options;
  options.t1 = o.free_steps;
  options.t2 = o.nudged_steps;
  options.beta_1 = o.beta_1;
  options.beta_2 = beta_2;
  options.dynamics = o.TrainingDynamics();
  options.rule = o.rule;
  options.path = o.path;
  return CheckGradient(network, Clamp(network, x.narrow(0, 0, count)),
                       target.narrow(0, 0, count), options);
}

// The authors' lines, then what they leave out.
std::string Table(const GradientCheck& check) {
  std::string text;
  for (const GradientCheckRow& row : check.rows) {
    const Agreement agreement = Compare(row.ep, row.bptt);
    absl::StrAppend(&text, AgreementLine(row.key, agreement));
    if (row.corrected.defined()) {
      absl::StrAppendFormat(&text, "\t with sigma' = %.4f",
                            Compare(row.ep, row.corrected).rmse);
    } else {
      absl::StrAppendFormat(&text, "\t cosine = %.4f", agreement.cosine);
    }
    text += '\n';
  }
  return text;
}

// A run directory of its own, also for a loaded network: the report page of the
// run that trained it stays.
absl::Status Write(const Options& o, const Start& start,
                   const GradientCheck& plus, const GradientCheck* minus) {
  training::RunDirectory::Options where;
  where.path = o.run.run_dir;
  if (where.path.empty() && o.save) where.path = AuthorsFolder(o, absl::Now());
  where.method = "eqprop";
  where.name =
      absl::StrCat("gducheck-", o.dataset, "-", SizesText(o.architecture));
  where.flags = cli::FlagValues(EqpropProgram("//eqprop:gducheck"));
  ALTPROP_ASSIGN_OR_RETURN(
      const std::unique_ptr<training::RunDirectory> directory,
      training::RunDirectory::Create(where));
  if (o.save && start.file.empty()) {
    ALTPROP_RETURN_IF_ERROR(WriteHyperparameters(directory->path(), o));
  }
  GradientCheckPage page;
  page.header.title =
      absl::StrCat("Gradient check: ", ModelName(o.architecture.model), " ",
                   SizesText(o.architecture), " on ", o.dataset);
  page.header.subtitle =
      "Equilibrium propagation step by step beside backpropagation through "
      "time (Ernoult et al. 2019; Laborieux et al. 2021)";
  page.header.state = training::RunState::kFinished;
  page.header.state_text = start.file.empty() ? "of the network as initialised"
                                              : absl::StrCat("of ", start.file);
  page.facts = {{"Check",
                 {{"T1", absl::StrCat(o.free_steps)},
                  {"T2", absl::StrCat(o.nudged_steps)},
                  {"betas", absl::StrCat(o.beta_1, ", ", o.beta_2)},
                  {"loss", std::string(LossName(o.loss))}}},
                {"Flags", where.flags}};
  page.semantics = o.rule.semantics;
  page.seed = o.run.seed;
  ALTPROP_RETURN_IF_ERROR(
      WriteGradientCheck(directory->path(), plus, minus, page));
  std::cout << "run directory: " << directory->path()
            << "  report: " << directory->File("report.html") << std::endl;
  return absl::OkStatus();
}

}  // namespace

std::string TheoremTable(const Options& options, const Network& network,
                         const at::Tensor& x, const at::Tensor& target) {
  return Table(
      Check(options, network, x, target, kSamplesInTraining, options.beta_2));
}

absl::Status GradientCheckRun(const Options& o, const Start& start) {
  ALTPROP_ASSIGN_OR_RETURN(const Network network, BuildNetwork(o, start));
  ALTPROP_ASSIGN_OR_RETURN(const data::Dataset data, LoadData(o));
  data::BatchLoader loader(data.train, {.batch_size = o.batch_size,
                                        .shuffle = o.run.shuffle,
                                        .seed = o.run.seed});
  const data::Batch batch = loader.Get(0, 0);
  const at::Tensor x = TrainingInput(o, 0, batch);
  const at::Tensor target = OneHot(batch.labels, network.classes(), x);

  const GradientCheck plus = Check(o, network, x, target, kSamples, o.beta_2);
  std::cout << Table(plus) << std::flush;
  std::optional<GradientCheck> minus;
  if (o.estimator == Estimator::kSymmetric) {
    minus = Check(o, network, x, target, kSamples, -o.beta_2);
  }
  return Write(o, start, plus, minus.has_value() ? &*minus : nullptr);
}

}  // namespace altprop::eqprop
