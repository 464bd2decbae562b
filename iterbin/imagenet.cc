#include "iterbin/imagenet.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <utility>

#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/cli/path.h"
#include "common/data/image_folder.h"
#include "common/data/image_stream.h"
#include "common/kernels/augment.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/finite.h"
#include "common/training/optimizer.h"
#include "common/training/position.h"
#include "common/training/record.h"
#include "common/training/safetensors.h"
#include "common/training/stop.h"
#include "iterbin/network.h"
#include "iterbin/orders.h"
#include "iterbin/run_log.h"
#include "iterbin/schedule.h"
#include "iterbin/score.h"
#include "iterbin/shared_flags.h"
#include "iterbin/torch_optimizer.h"

namespace altprop::iterbin {
namespace {

using training::Dict;
using training::RunState;
using training::Score;
using training::Start;
using training::Value;

constexpr int64_t kDryBatches = 3;

struct State {
  Network network;
  training::Optimizer optimizer;
  training::Position at;
  LayerOrder order;  // as it is used; float: empty
};

struct Run {
  const ImageNetOptions& o;
  bool binary_program;
  State& state;
  data::ImageStream& train;
  data::ImageStream& val;
  training::Record* record;  // none with --evaluate
  RunLog& log;
  const training::StopSignal& stop;
  int64_t train_batches, val_batches;
};

// Running values of a status line, "v (average)".
struct Meter {
  double last = 0, sum = 0, count = 0;
  void Add(double value, double weight) {
    last = value;
    sum += value * weight;
    count += weight;
  }
  double mean() const { return count == 0 ? 0 : sum / count; }
};

struct Meters {
  Meter time, data, loss, acc1, acc5;

  void Add(const Score& score) {
    const auto n = static_cast<double>(score.samples);
    loss.Add(score.loss(), n);
    acc1.Add(100 * score.accuracy(), n);
    acc5.Add(100 * score.accuracy5(), n);
  }
};

std::string StatusLine(const std::string& prefix, int64_t batch,
                       int64_t batches, const Meters& m, bool training) {
  const auto width = static_cast<int>(absl::StrCat(batches).size());
  std::string line =
      absl::StrFormat("%s[%*d/%d]\tTime %6.3f (%6.3f)", prefix, width, batch,
                      batches, m.time.last, m.time.mean());
  if (training) {
    absl::StrAppendFormat(&line, "\tData %6.3f (%6.3f)", m.data.last,
                          m.data.mean());
  }
  absl::StrAppendFormat(
      &line, "\tLoss %.4e (%.4e)\tAcc@1 %6.2f (%6.2f)\tAcc@5 %6.2f (%6.2f)",
      m.loss.last, m.loss.mean(), m.acc1.last, m.acc1.mean(), m.acc5.last,
      m.acc5.mean());
  return line;
}

at::Tensor Input(const ImageNetOptions& o, const at::Tensor& images) {
  return kernels::Normalize(images.to(o.run.device), {0.485, 0.456, 0.406},
                            {0.229, 0.224, 0.225},
                            training::DtypeOf(o.run.precision));
}

Flags FlagsOf(const ImageNetOptions& o, const State& s, int64_t epoch) {
  const size_t layers = s.network.layers.size();
  if (!o.binarize) return Flags(layers, false);
  if (o.all_binary) return Flags(layers, true);
  return ScheduledFlags(s.order, epoch, o.epochs_per_layer);
}

// The epoch whose flags the weights have last been trained under.
int64_t LastTrained(const training::Position& at) {
  return at.batch > 0 ? at.epoch : std::max<int64_t>(0, at.epoch - 1);
}

// ---- Files ----

Value ToCheckpoint(const Run& run) {
  const State& s = run.state;
  Dict root{{"method", "iterbin"},
            {"model", training::ModelDict(s.network.entries())},
            {"optimizer", s.optimizer.State()}};
  for (auto& entry : training::PositionEntries(s.at)) {
    root.push_back(std::move(entry));
  }
  training::List order, binary;
  for (const int64_t layer : s.order) order.emplace_back(layer);
  for (const bool flag : FlagsOf(run.o, s, LastTrained(s.at))) {
    binary.emplace_back(flag);
  }
  root.emplace_back("schedule", Dict{{"order", std::move(order)},
                                     {"binary", std::move(binary)}});
  root.emplace_back("rng", Dict{{"seed", absl::StrCat(run.o.run.seed)}});
  root.emplace_back(
      "flags", training::FlagDict(ImageNetResultFlags(run.binary_program)));
  return root;
}

absl::Status Save(const Run& run, absl::string_view name) {
  return training::SaveFinite(run.record->File(name),
                              run.state.network.entries(), run.state.at.step,
                              ToCheckpoint(run));
}

double BestPercent(const Run& run) {
  return 100.0 *
         static_cast<double>(std::max<int64_t>(0, run.state.at.best_correct)) /
         static_cast<double>(run.val.size());
}

// The authors' files, after epoch `at.epoch` - 1.
absl::Status SaveAuthors(const Run& run, bool best) {
  const State& s = run.state;
  const Dict root{
      {"epoch", s.at.epoch},
      {"state_dict", training::ModelDict(s.network.entries())},
      {"best_acc1", BestPercent(run)},
      {"optimizer", TorchState(s.optimizer, SgdSettings(run.o.momentum))}};
  std::vector<std::string> names = {"checkpoint.pth.tar"};
  if (best) names.emplace_back("model_best.pth.tar");
  const int64_t interval = run.o.checkpoint_interval;
  if (interval > 0 && s.at.epoch % interval == 0) {
    names.push_back(absl::StrCat("checkpoint", s.at.epoch - 1, ".pth.tar"));
  }
  for (const std::string& name : names) {
    ALTPROP_RETURN_IF_ERROR(
        training::SaveCheckpoint(run.record->File(name), root));
  }
  return absl::OkStatus();
}

absl::Status Interrupt(const Run& run) {
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  const std::string where = absl::StrCat("after step ", run.state.at.step);
  ALTPROP_RETURN_IF_ERROR(run.record->Report(RunState::kStopped, where));
  return InterruptedError(
      run.stop.Requested(),
      absl::StrCat("stopped ", where, "; --resume=",
                   run.record->File("checkpoint.pt"), " goes on"));
}

// ---- Passes ----

absl::Status TrainMinibatch(Run& run, const Flags& flags, Meters& meters) {
  State& s = run.state;
  const absl::Time begin = absl::Now();
  ALTPROP_ASSIGN_OR_RETURN(const data::Batch batch,
                           run.train.Get(s.at.epoch, s.at.batch));
  meters.data.Add(absl::ToDoubleSeconds(absl::Now() - begin), 1);
  const at::Tensor labels = batch.labels.to(run.o.run.device);
  const Gradients result =
      LossGradients(s.network, flags, Input(run.o, batch.images), labels,
                    training::OperandDtypeOf(run.o.run.precision));
  ALTPROP_RETURN_IF_ERROR(training::CheckFinite("loss", result.loss,
                                                s.at.epoch + 1, s.at.step + 1));
  s.optimizer.Step(result.gradients);
  const Score score = ScoreOf(result.output, labels, result.loss, true);
  meters.Add(score);
  meters.time.Add(absl::ToDoubleSeconds(absl::Now() - begin), 1);
  if (s.at.batch % run.o.print_freq == 0) {
    run.log.Print(StatusLine(absl::StrCat("Epoch: [", s.at.epoch, "]"),
                             s.at.batch, run.train_batches, meters, true));
  }
  ++s.at.batch;
  ++s.at.step;
  s.at.running += score;
  return run.record->Minibatch(s.at, score);
}

absl::StatusOr<Score> Validate(Run& run, const Flags& flags) {
  const at::NoGradGuard no_grad;
  const State& s = run.state;
  const Weights weights = EffectiveWeights(s.network, flags);
  Meters meters;
  Score total;
  for (int64_t i = 0; i < run.val_batches; ++i) {
    if (run.stop.Requested() != 0)
      return InterruptedError(run.stop.Requested());
    const absl::Time begin = absl::Now();
    ALTPROP_ASSIGN_OR_RETURN(const data::Batch batch, run.val.Get(0, i));
    const at::Tensor labels = batch.labels.to(run.o.run.device);
    const at::Tensor output =
        Forward(s.network, weights, Input(run.o, batch.images), false,
                training::OperandDtypeOf(run.o.run.precision));
    const Score score =
        ScoreOf(output, labels,
                Loss(s.network, output, labels).item().toDouble(), true);
    meters.Add(score);
    meters.time.Add(absl::ToDoubleSeconds(absl::Now() - begin), 1);
    if (i % run.o.print_freq == 0) {
      run.log.Print(
          StatusLine("Test: ", i, run.val_batches, meters, /*training=*/false));
    }
    total += score;
  }
  run.log.Print(absl::StrFormat(" * Acc@1 %.3f Acc@5 %.3f",
                                100 * total.accuracy(),
                                100 * total.accuracy5()));
  return total;
}

// ---- The loop ----

void BeginEpoch(const Run& run, const Flags& flags) {
  const State& s = run.state;
  if (s.at.batch > 0) return;  // resumed in its middle
  run.log.Print(absl::StrFormat("Epoch %d LR %g", s.at.epoch,
                                s.optimizer.groups().front().learning_rate));
  if (!run.o.binarize) {
    run.log.Print("No binarization");
  } else if (run.o.all_binary) {
    run.log.Print("Binarize all");
  } else {
    // In module order.
    const LayerOrder forward = PublishedOrder("resnet21", "forward");
    for (const std::string& line : FlagLines(s.network, forward, flags)) {
      run.log.Print(line);
    }
  }
}

absl::Status LogHistograms(const Run& run, const Flags& flags) {
  const Network& network = run.state.network;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const std::string tag =
        absl::StrCat("layer ", i + 1, " (", network.layers[i].name, ")");
    ALTPROP_RETURN_IF_ERROR(run.record->directory().LogHistogram(
        tag + " before binarization", run.state.at.step,
        network.layers[i].weight));
    ALTPROP_RETURN_IF_ERROR(run.record->directory().LogHistogram(
        tag + " after binarization", run.state.at.step,
        Effective(network.layers[i].weight, flags[i])));
  }
  return absl::OkStatus();
}

absl::Status EndEpoch(Run& run, const Flags& flags) {
  State& s = run.state;
  ALTPROP_ASSIGN_OR_RETURN(const Score val, Validate(run, flags));
  const double rate = s.optimizer.groups().front().learning_rate;
  training::MetricValues more = {{"learning_rate", rate}};
  if (run.o.binarize) {
    more.emplace_back("binary_layers",
                      std::count(flags.begin(), flags.end(), true));
    ALTPROP_RETURN_IF_ERROR(LogHistograms(run, flags));
  }
  ALTPROP_RETURN_IF_ERROR(run.record->Epoch(s.at, more, {{"val", val}}));
  s.at.NextEpoch();
  const bool best = s.at.IsBest(val);
  if (best) ALTPROP_RETURN_IF_ERROR(Save(run, "best.pt"));
  ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
  if (run.o.save_checkpoint) ALTPROP_RETURN_IF_ERROR(SaveAuthors(run, best));
  return run.record->ReportEpoch(s.at);
}

// Epochs are from 0; it begins wherever the state stands.
absl::Status Train(Run& run) {
  training::Position& at = run.state.at;
  const int64_t last = run.o.run.max_steps, every = run.o.run.checkpoint_every;
  const auto more = [&] { return last == 0 || at.step < last; };
  while (at.epoch < run.o.epochs && (more() || at.batch == run.train_batches)) {
    const Flags flags = FlagsOf(run.o, run.state, at.epoch);
    run.state.optimizer.set_learning_rate(
        0, PowerRate(run.o.learning_rate, run.o.milestones, at.epoch));
    BeginEpoch(run, flags);
    Meters meters;
    while (at.batch < run.train_batches && more()) {
      ALTPROP_RETURN_IF_ERROR(TrainMinibatch(run, flags, meters));
      if (run.stop.Requested() != 0) return Interrupt(run);
      if (every > 0 && at.step % every == 0) {
        ALTPROP_RETURN_IF_ERROR(Save(run, "checkpoint.pt"));
      }
    }
    if (at.batch < run.train_batches) break;  // --max_steps
    const absl::Status ended = EndEpoch(run, flags);
    if (absl::IsCancelled(ended)) return Interrupt(run);
    ALTPROP_RETURN_IF_ERROR(ended);
  }
  return Save(run, "checkpoint.pt");
}

// ---- Before and after ----

// A file of the authors' program, not a checkpoint of ours.
bool IsAuthors(const Start& start) {
  return start.resumes() && start.checkpoint.Find("state_dict") != nullptr;
}

// In percent; a number, or a tensor of one element as the authors' program
// writes. 0: none.
double BestAccuracy(const Value& checkpoint) {
  const absl::StatusOr<at::Tensor> tensor = checkpoint.GetTensor("best_acc1");
  const double best = tensor.ok() && tensor->numel() == 1
                          ? tensor->item().toDouble()
                          : checkpoint.GetDouble("best_acc1").value_or(0);
  return best >= 0 && best <= 100 ? best : 0;
}

// The next epoch, weights, optimizer, best.
absl::Status LoadAuthors(const Start& start, int64_t val_images, State& s) {
  ALTPROP_RETURN_IF_ERROR(training::CopyParameters(
      *start.checkpoint.Find("state_dict"), start.file, s.network.entries()));
  const absl::StatusOr<int64_t> epoch = start.checkpoint.GetInt("epoch");
  if (!epoch.ok()) return Annotate(epoch.status(), start.file);
  s.at.epoch = *epoch;
  // To the nearest: the percentage of a count is not exact.
  s.at.best_correct = std::llround(BestAccuracy(start.checkpoint) / 100 *
                                   static_cast<double>(val_images));
  return training::LoadOptimizer(start, s.optimizer);
}

absl::StatusOr<State> MakeState(const ImageNetOptions& o, const Start& start,
                                int64_t val_images) {
  Network network = MakeResNet21(models::SeededGenerator(o.run.seed));
  network.State().ConvertTo(training::DtypeOf(o.run.precision), o.run.device);
  training::Optimizer optimizer = training::Optimizer::Sgd(
      {{network.parameters(), o.learning_rate, o.weight_decay}}, o.momentum);
  State state{.network = std::move(network), .optimizer = std::move(optimizer)};
  if (o.binarize) {
    ALTPROP_ASSIGN_OR_RETURN(state.order,
                             ReadOrder(o.layers_json, state.network));
    if (o.reverse) state.order = Reversed(state.order);
  }
  state.at.epoch = o.start_epoch;
  if (IsAuthors(start)) {
    ALTPROP_RETURN_IF_ERROR(LoadAuthors(start, val_images, state));
    return state;
  }
  ALTPROP_RETURN_IF_ERROR(
      training::LoadModel(start, o.run.init_from, state.network.entries()));
  ALTPROP_RETURN_IF_ERROR(training::LoadOptimizer(start, state.optimizer));
  if (start.resumes()) {
    absl::StatusOr<training::Position> at =
        training::ReadPosition(start.checkpoint);
    if (!at.ok()) return Annotate(at.status(), start.file);
    state.at = *at;
  }
  state.optimizer.set_learning_rate(
      0, PowerRate(o.learning_rate, o.milestones, LastTrained(state.at)));
  return state;
}

data::ImageStreamOptions StreamOptions(const ImageNetOptions& o,
                                       bool training) {
  data::ImageStreamOptions options;
  options.batch_size = o.batch_size;
  options.shuffle = training && o.run.shuffle;
  options.seed = o.run.seed;
  options.transform =
      training && o.run.augment
          ? data::TrainTransform(o.image_size)
          : data::EvalTransform(o.image_size, o.image_size * 256 / 224);
  options.threads = o.workers;
  options.pinned = o.run.device.is_cuda();
  options.skip_corrupt = o.skip_corrupt;
  return options;
}

// LOGDIR/NAME_2021-11-13_120000_123456
std::string RunFolder(const ImageNetOptions& o) {
  if (!o.run.run_dir.empty() || o.log_folder.empty()) return o.run.run_dir;
  const absl::Time now = absl::Now();
  return absl::StrCat(
      o.log_folder, "/", ExperimentName(o), "_",
      absl::FormatTime("%Y-%m-%d_%H%M%S", now, absl::LocalTimeZone()),
      absl::StrFormat("_%06d", absl::ToUnixMicros(now) % 1000000));
}

training::RecordOptions RecordOptionsOf(const ImageNetOptions& o,
                                        const Start& start, bool binary,
                                        int64_t batches) {
  training::RecordOptions options;
  // A checkpoint of ours goes on where it lies, unless LOGDIR is given.
  options.directory.path = RunFolder(o);
  options.directory.method = "iterbin";
  options.directory.name = absl::StrCat(o.dataset, "-", ExperimentName(o));
  options.directory.flags = cli::FlagValues(ImageNetProgram(binary));
  if (!IsAuthors(start)) options.directory.resumed_from = start.file;
  options.directory.files = {"log.txt", "*.tar"};
  options.title =
      absl::StrCat("Iterative layer binarization: ResNet-21 on ", o.dataset);
  options.subtitle =
      "Lan 2021, Iterative Training: Finding Binary Weight Deep Neural "
      "Networks with Layer Binarization";
  options.epochs = o.epochs;
  options.batches = batches;
  options.top5 = true;
  return options;
}

absl::StatusOr<data::ImageFolder> ReadImages(const ImageNetOptions& o) {
  data::ImageFolderOptions which;
  which.name = o.dataset;
  which.root = o.run.data_root;
  which.limit_train = o.run.limit_train;
  which.limit_val = o.run.limit_test;
  ALTPROP_ASSIGN_OR_RETURN(data::ImageFolder folder,
                           data::ReadImageFolder(which));
  if (folder.train.classes() > 1000) {
    return absl::InvalidArgumentError(
        absl::StrCat(o.run.data_root, ": ", folder.train.classes(),
                     " classes, the network has 1000"));
  }
  return folder;
}

int64_t Limited(const ImageNetOptions& o, int64_t batches) {
  return o.dry_run ? std::min(batches, kDryBatches) : batches;
}

// --evaluate: under the flags of the checkpoint's last epoch. The authors'
// program sets none before it validates, and so scores the masters.
absl::Status EvaluateOnly(Run& run) {
  const State& s = run.state;
  const Flags flags = run.o.semantics == Semantics::kReference
                          ? Flags(s.network.layers.size(), false)
                          : FlagsOf(run.o, s, LastTrained(s.at));
  return Validate(run, flags).status();
}

absl::Status TrainRun(Run& run) {
  absl::Status trained = Train(run);
  if (absl::IsCancelled(trained)) return trained;
  if (!trained.ok()) {
    run.record->Report(RunState::kStopped, trained.message()).IgnoreError();
    return trained;
  }
  ALTPROP_RETURN_IF_ERROR(
      run.record->Report(RunState::kFinished,
                         absl::StrCat("after ", run.state.at.step, " steps")));
  if (!run.o.run.export_to.empty()) {
    ALTPROP_RETURN_IF_ERROR(training::ExportSafetensors(
        run.o.run.export_to, run.state.network.entries(),
        {{"format", "pt"}, {"method", "iterbin"}, {"model", "resnet21"}}));
  }
  std::cout << "run directory: " << run.record->path()
            << "  report: " << run.record->File("report.html") << std::endl;
  return absl::OkStatus();
}

}  // namespace

absl::Status ImageNetMain(const cli::ParsedArguments& arguments, bool binary) {
  ALTPROP_RETURN_IF_ERROR(CheckOneProcess());
  ALTPROP_ASSIGN_OR_RETURN(const training::RunOptions first,
                           training::RunOptionsFromFlags());
  ALTPROP_ASSIGN_OR_RETURN(const Start start,
                           training::ReadStart(first.resume));
  ALTPROP_ASSIGN_OR_RETURN(const ImageNetOptions o,
                           ReadImageNetOptions(arguments, start, binary));
  if (o.run.check_flags) return absl::OkStatus();
  training::ApplyRunOptions(o.run);
  ALTPROP_ASSIGN_OR_RETURN(const data::ImageFolder folder, ReadImages(o));
  ALTPROP_ASSIGN_OR_RETURN(State state, MakeState(o, start, folder.val.size()));
  data::ImageStream train(folder.train, StreamOptions(o, true));
  data::ImageStream val(folder.val, StreamOptions(o, false));
  const int64_t batches = Limited(o, train.batches_per_epoch());
  ALTPROP_RETURN_IF_ERROR(training::CheckPosition(
      start.file, state.at, absl::StrCat("--batch_size=", o.batch_size),
      batches));
  const training::StopSignal stop;
  RunLog log;
  std::unique_ptr<training::Record> record;
  if (!o.evaluate) {
    ALTPROP_ASSIGN_OR_RETURN(
        record,
        training::Record::Create(RecordOptionsOf(o, start, binary, batches),
                                 o.run, state.at));
    log.Open(record->File("log.txt"), start.resumes() && !IsAuthors(start));
  }
  log.Print(absl::StrCat("Hardware: ", o.run.device.str()));
  log.Print(o.binarize ? "=> creating model binarized resnet18"
                       : "=> creating model resnet18");
  for (const std::string& line : LayerLines(state.network)) log.Print(line);
  if (o.binarize) {
    log.Print(absl::StrCat("Loading layers from ", o.layers_json, "..."));
  }
  Run run{o,       binary,
          state,   train,
          val,     record.get(),
          log,     stop,
          batches, Limited(o, val.batches_per_epoch())};
  return o.evaluate ? EvaluateOnly(run) : TrainRun(run);
}

}  // namespace altprop::iterbin
