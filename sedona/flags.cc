#include "sedona/flags.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/cli/lists.h"
#include "common/cli/path.h"
#include "common/data/dataset.h"
#include "common/data/image_folder.h"
#include "common/logging.h"
#include "common/status.h"

ABSL_FLAG(std::string, name, "",
          "of the experiment; what stands before its first '-' is the network: "
          "vgg11, vgg13, vgg16, vgg19, resnet18, resnet34, resnet50, resnet101 "
          "or resnet152");
ABSL_FLAG(double, feat_mult, 1,
          "every width c of the networks is int(c times this)");
ABSL_FLAG(std::string, nonlin, "relu",
          "relu, or leakyrelu (slope 0.01) in VGG's units and in SEDONA's "
          "auxiliary networks");
ABSL_FLAG(double, dropout, 0.5, "probability in the head of a VGG; 0: none");
ABSL_FLAG(int64_t, min_dec_depth, 0,
          "candidate auxiliary networks are deeper than this");
ABSL_FLAG(int64_t, max_dec_depth, 4, "the deepest candidate's depth");
ABSL_FLAG(std::string, baseline_dec_type, "mlp_sr",
          "auxiliary network where none was searched for: mlp_sr (DGL) or "
          "predsim");
ABSL_FLAG(bool, no_beta, false,
          "alpha alone: the auxiliary networks are --baseline_dec_type's");
ABSL_FLAG(int64_t, dim_in_decoder, 512,
          "PredSim: values to pool to before its classifier (times feat_mult)");
ABSL_FLAG(bool, no_similarity_std, false,
          "PredSim: similarities of the features, not of their deviations per "
          "channel");

ABSL_FLAG(std::string, dataset, "cifar10",
          "cifar10, cifar100, tiny_imagenet, imagenet, folder, or mnist and "
          "glyphs (drawn by the program) as 32x32 images of three channels");
ABSL_FLAG(int64_t, image_size, 224,
          "folder: side of the network's input, a multiple of 32 [pixels]");
ABSL_FLAG(double, valid_size, 0.1,
          "fraction of the training set that is held out for validation (data "
          "sets in memory: folders bring a validation set)");
ABSL_FLAG(int64_t, classes_per_batch, 0,
          "draw batches that hold few classes, beginning with so many samples; "
          "0: any classes");
ABSL_FLAG(int64_t, classes_per_batch_until_iter, 0,
          "from the first pass that begins after so many iterations on, "
          "batches hold any classes; 0: from the second pass on");
ABSL_FLAG(int64_t, num_workers, 8, "threads that decode images of a folder");
ABSL_FLAG(int64_t, skip_corrupt, 0,
          "images of a folder that may fail to decode");
ABSL_FLAG(int64_t, batch_size, 128, "training batch [samples]");
ABSL_FLAG(int64_t, valid_batch_size, 1024,
          "validation and test batch [samples]");

ABSL_FLAG(int64_t, train_iters, 64000,
          "iterations, and the length of the schedule; search: of the schedule "
          "alone");
ABSL_FLAG(double, lr, 0.1, "learning rate at the start");
ABSL_FLAG(double, lr_min, 1e-3, "learning rate at the cosine's end");
ABSL_FLAG(std::string, lr_scheduler, "cosine",
          "cosine, or multistep: a tenth at each milestone");
ABSL_FLAG(altprop::cli::IntList, lr_decay_milestones,
          (altprop::cli::IntList{{150000, 275000, 375000}}),
          "multistep: iterations (a search takes a third and two thirds of "
          "--train_iters)");
ABSL_FLAG(std::string, optim, "momentum",
          "momentum, sgd (without momentum) or adam");
ABSL_FLAG(double, momentum, 0.9, "of --optim=momentum");
ABSL_FLAG(double, weight_decay, 1e-4, "L2, of every parameter");
ABSL_FLAG(double, smoothing, 0.1,
          "label smoothing: this much is spread over the other classes");

ABSL_FLAG(std::string, eval_base_dir, "",
          "folder with alpha.pt and beta.pt, or sedona_outputs/NETWORK, the "
          "authors' published ones; none: blocks of equal length");
ABSL_FLAG(int64_t, target_num_blocks, 1,
          "blocks K; 0: every K from one per unit down to 1, then as many as "
          "alpha asks for");
ABSL_FLAG(int64_t, valid_freq, 100, "validate every so many iterations");
ABSL_FLAG(int64_t, num_ensemble, 1,
          "with --test: the last so many blocks predict together");
ABSL_FLAG(int64_t, queue_size, 50,
          "batches that may wait between two blocks of the pipeline");
ABSL_FLAG(
    bool, eval_continuous, false,
    "train the whole supernet with the relaxed signals of alpha and beta");
ABSL_FLAG(bool, test, false, "no training: test the best checkpoint");
ABSL_FLAG(bool, fp16, false, "half precision with loss scaling (CUDA)");
ABSL_FLAG(std::string, pipeline, "auto",
          "sequential (auto too): one block after the other, which needs the "
          "memory of one; threads: a thread per block, all at the same time");
ABSL_FLAG(std::string, ckpt_dir, "ckpt", "folder of checkpoints by name");
ABSL_FLAG(std::string, result_dir, "results", "folder of results.json");

ABSL_FLAG(int64_t, memory_size, 50, "snapshots in the weight memory");
ABSL_FLAG(std::string, memory_eviction, "oldest",
          "what leaves a full memory: the oldest snapshot or the worst");
ABSL_FLAG(std::string, mem_dir, "memory_dumps", "folder of weight memories");
ABSL_FLAG(int64_t, meta_train_iters, 2000, "meta-iterations");
ABSL_FLAG(int64_t, num_inner_steps, 5,
          "weight updates that a meta-iteration differentiates through");
ABSL_FLAG(double, meta_lr, 1e-2, "learning rate of alpha and beta");
ABSL_FLAG(std::string, meta_optimizer, "adam",
          "adam (betas 0.5 and 0.999), momentum (0.9) or sgd");
ABSL_FLAG(double, meta_wd, 1e-6, "L2 of alpha and beta");
ABSL_FLAG(std::string, meta_objective, "valid",
          "what alpha and beta descend: valid (the validation loss after the "
          "inner steps, as in the paper) or last-inner (the last inner step's "
          "training loss, as the authors' program does)");
ABSL_FLAG(bool, not_load_memory, false,
          "no weight memory: one trajectory, from the initial weights");
ABSL_FLAG(int64_t, monitor_freq, 10, "meta-iterations between two validations");
ABSL_FLAG(int64_t, state_every, 0,
          "meta-iterations between two states that --resume can go on from; 0: "
          "at the end and when stopped");
ABSL_FLAG(std::string, out_dir, "sedona_outputs",
          "folder of alpha.pt and beta.pt");

ABSL_FLAG(std::string, tmp_dir, "temp",
          "read by no program: a search keeps its state in its run directory");
ABSL_FLAG(bool, no_cuda, false, "the same as --device=cpu");
ABSL_FLAG(int64_t, num_models, 1,
          "read by no program, the authors' neither: a warning");
ABSL_FLAG(int64_t, planes, 16,
          "read by no program, the authors' neither: a warning");

namespace altprop::sedona {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// Of these flags none decides what a run computes.
constexpr absl::string_view kPlaces[] = {
    "ckpt_dir",   "result_dir",  "mem_dir",      "out_dir",      "num_workers",
    "queue_size", "state_every", "test",         "num_ensemble", "no_cuda",
    "num_models", "planes",      "monitor_freq", "tmp_dir"};

absl::StatusOr<int> OneOf(absl::string_view flag, const std::string& value,
                          const std::vector<absl::string_view>& names) {
  const auto it = std::find(names.begin(), names.end(), value);
  if (it != names.end()) return static_cast<int>(it - names.begin());
  return FlagError(flag, value,
                   absl::StrCat("expected ", absl::StrJoin(names, ", ")));
}

absl::Status ReadCount(absl::string_view flag, int64_t value, int64_t least,
                       int64_t& into) {
  if (value < least) {
    return FlagError(flag, absl::StrCat(value),
                     absl::StrCat("must be at least ", least));
  }
  into = value;
  return absl::OkStatus();
}

absl::Status ReadReal(absl::string_view flag, double value, double low,
                      double high, double& into) {
  if (!std::isfinite(value) || value < low || value > high) {
    return FlagError(flag, absl::StrCat(value),
                     high == kInf
                         ? absl::StrCat("must be at least ", low)
                         : absl::StrCat("must be from ", low, " to ", high));
  }
  into = value;
  return absl::OkStatus();
}

#define SEDONA_COUNT(flag, least, into) \
  ALTPROP_RETURN_IF_ERROR(              \
      ReadCount(#flag, absl::GetFlag(FLAGS_##flag), least, into))
#define SEDONA_REAL(flag, low, high, into) \
  ALTPROP_RETURN_IF_ERROR(                 \
      ReadReal(#flag, absl::GetFlag(FLAGS_##flag), low, high, into))

absl::Status ReadNetwork(Options& o) {
  o.name = absl::GetFlag(FLAGS_name);
  if (o.name.empty()) {
    return UsageError(absl::StrCat(
        "--name: give the experiment a name that begins with the network: ",
        absl::StrJoin(ArchitectureNames(), ", ")));
  }
  if (o.name.find('/') != std::string::npos) {
    return FlagError("name", o.name, "names a folder, so it has no '/'");
  }
  Architecture& a = o.architecture;
  a.name = o.name.substr(0, o.name.find('-'));
  if (UnitCount(a.name) == 0) {
    return FlagError("name", o.name,
                     absl::StrCat("must begin with one of ",
                                  absl::StrJoin(ArchitectureNames(), ", ")));
  }
  SEDONA_REAL(feat_mult, 1e-3, 1e3, a.feat_mult);
  // Whatever is not relu is a leaky one, as in the authors' program.
  a.nonlin = absl::GetFlag(FLAGS_nonlin) == "relu" ? Activation::kRelu
                                                   : Activation::kLeakyRelu;
  SEDONA_REAL(dropout, 0, 0.999, o.dropout);
  SEDONA_COUNT(min_dec_depth, 0, a.min_depth);
  SEDONA_COUNT(max_dec_depth, a.min_depth + 1, a.max_depth);
  SEDONA_COUNT(dim_in_decoder, 1, a.predsim_features);
  a.similarity_std = !absl::GetFlag(FLAGS_no_similarity_std);
  ALTPROP_ASSIGN_OR_RETURN(
      const int baseline,
      OneOf("baseline_dec_type", absl::GetFlag(FLAGS_baseline_dec_type),
            {"mlp_sr", "predsim"}));
  o.baseline = baseline == 0 ? AuxKind::kMlpSr : AuxKind::kPredSim;
  o.no_beta = absl::GetFlag(FLAGS_no_beta);
  if (o.no_beta && o.task != Task::kEvaluate &&
      o.baseline == AuxKind::kPredSim) {
    return UsageError(
        "--no_beta: --baseline_dec_type=predsim has two outputs, which cannot "
        "be scaled; a search takes mlp_sr");
  }
  return absl::OkStatus();
}

absl::Status ReadData(Options& o) {
  o.dataset = absl::AsciiStrToLower(absl::GetFlag(FLAGS_dataset));
  o.dataset = absl::StrReplaceAll(o.dataset, {{"-", "_"}});
  ALTPROP_RETURN_IF_ERROR(OneOf("dataset", o.dataset,
                                {"cifar10", "cifar100", "tiny_imagenet",
                                 "imagenet", "folder", "glyphs", "mnist"})
                              .status());
  SEDONA_COUNT(image_size, 32, o.image_size);
  if (o.dataset == "folder" && o.image_size % 32 != 0) {
    return FlagError("image_size", absl::StrCat(o.image_size),
                     "must be a multiple of 32");
  }
  SEDONA_REAL(valid_size, 0, 0.99, o.valid_size);
  SEDONA_COUNT(classes_per_batch, 0, o.classes_per_batch);
  SEDONA_COUNT(num_workers, 0, o.workers);
  SEDONA_COUNT(skip_corrupt, 0, o.skip_corrupt);
  SEDONA_COUNT(batch_size, 1, o.batch_size);
  SEDONA_COUNT(valid_batch_size, 1, o.valid_batch_size);
  o.few_classes_always = o.task != Task::kEvaluate;
  SEDONA_COUNT(classes_per_batch_until_iter, 0, o.classes_per_batch_until);
  return absl::OkStatus();
}

absl::Status ReadLearning(Options& o) {
  SEDONA_COUNT(train_iters, 1, o.train_iters);
  SEDONA_REAL(lr, 0, 1e6, o.lr);
  SEDONA_REAL(lr_min, 0, 1e6, o.lr_min);
  ALTPROP_ASSIGN_OR_RETURN(
      const int schedule,
      OneOf("lr_scheduler", absl::GetFlag(FLAGS_lr_scheduler),
            {"cosine", "multistep"}));
  // Pretraining always anneals.
  o.schedule = schedule == 1 && o.task != Task::kPretrain
                   ? ScheduleKind::kMultiStep
                   : ScheduleKind::kCosine;
  o.milestones =
      o.task == Task::kSearch
          ? std::vector<int64_t>{o.train_iters / 3, 2 * (o.train_iters / 3)}
          : absl::GetFlag(FLAGS_lr_decay_milestones).values;
  for (const int64_t milestone : o.milestones) {
    if (milestone < 0) {
      return FlagError("lr_decay_milestones", absl::StrCat(milestone),
                       "must be at least 0");
    }
  }
  ALTPROP_ASSIGN_OR_RETURN(
      const int optimizer,
      OneOf("optim", absl::GetFlag(FLAGS_optim), {"momentum", "sgd", "adam"}));
  o.optimizer = static_cast<OptimizerKind>(optimizer);
  SEDONA_REAL(momentum, 0, 1, o.momentum);
  SEDONA_REAL(weight_decay, 0, 1e6, o.weight_decay);
  SEDONA_REAL(smoothing, 0, 1, o.smoothing);
  return absl::OkStatus();
}

absl::Status ReadEvaluation(Options& o) {
  o.base_dir = cli::ResolvePath(absl::GetFlag(FLAGS_eval_base_dir));
  SEDONA_COUNT(target_num_blocks, 0, o.blocks);
  const int64_t units = UnitCount(o.architecture.name);
  if (o.blocks > units) {
    return FlagError("target_num_blocks", absl::StrCat(o.blocks),
                     absl::StrCat("must be at most ", units, ", the units of ",
                                  o.architecture.name));
  }
  SEDONA_COUNT(valid_freq, 1, o.valid_freq);
  SEDONA_COUNT(num_ensemble, 1, o.ensemble);
  SEDONA_COUNT(queue_size, 1, o.queue_size);
  o.relaxed = absl::GetFlag(FLAGS_eval_continuous);
  o.test_only = absl::GetFlag(FLAGS_test);
  o.fp16 = absl::GetFlag(FLAGS_fp16);
  if (o.relaxed && o.base_dir.empty()) {
    return UsageError(
        "--eval_continuous: needs the alpha and beta of --eval_base_dir");
  }
  if (o.ensemble > 1 && !o.test_only) {
    return FlagError("num_ensemble", absl::StrCat(o.ensemble), "is for --test");
  }
  if (o.blocks > 0 && o.ensemble > o.blocks && !o.relaxed) {
    return FlagError(
        "num_ensemble", absl::StrCat(o.ensemble),
        absl::StrCat("must be at most --target_num_blocks=", o.blocks));
  }
  ALTPROP_ASSIGN_OR_RETURN(const int pipeline,
                           OneOf("pipeline", absl::GetFlag(FLAGS_pipeline),
                                 {"auto", "sequential", "threads"}));
  o.pipeline = pipeline == 2 ? Pipeline::kThreads : Pipeline::kSequential;
  o.ckpt_dir = cli::ResolvePath(absl::GetFlag(FLAGS_ckpt_dir));
  o.result_dir = cli::ResolvePath(absl::GetFlag(FLAGS_result_dir));
  return absl::OkStatus();
}

absl::Status ReadSearch(Options& o) {
  SEDONA_COUNT(memory_size, 1, o.memory_size);
  SEDONA_COUNT(meta_train_iters, 0, o.meta_iters);
  SEDONA_COUNT(num_inner_steps, 1, o.inner_steps);
  SEDONA_COUNT(monitor_freq, 1, o.monitor_freq);
  SEDONA_COUNT(state_every, 0, o.state_every);
  SEDONA_REAL(meta_lr, 0, 1e6, o.meta_lr);
  SEDONA_REAL(meta_wd, 0, 1e6, o.meta_decay);
  ALTPROP_ASSIGN_OR_RETURN(
      const int optimizer,
      OneOf("meta_optimizer", absl::GetFlag(FLAGS_meta_optimizer),
            {"momentum", "sgd", "adam"}));
  o.meta_optimizer = static_cast<OptimizerKind>(optimizer);
  ALTPROP_ASSIGN_OR_RETURN(
      const int objective,
      OneOf("meta_objective",
            absl::StrReplaceAll(absl::GetFlag(FLAGS_meta_objective),
                                {{"_", "-"}}),
            {"valid", "last-inner"}));
  o.objective = static_cast<MetaObjective>(objective);
  ALTPROP_ASSIGN_OR_RETURN(
      const int eviction,
      OneOf("memory_eviction", absl::GetFlag(FLAGS_memory_eviction),
            {"oldest", "worst"}));
  o.eviction = static_cast<Eviction>(eviction);
  o.use_memory = !absl::GetFlag(FLAGS_not_load_memory);
  o.out_dir = cli::ResolvePath(absl::GetFlag(FLAGS_out_dir));
  o.mem_dir = cli::ResolvePath(absl::GetFlag(FLAGS_mem_dir));
  return absl::OkStatus();
}

absl::Status ReadDevice(Options& o) {
  if (absl::GetFlag(FLAGS_no_cuda)) o.run.device = c10::Device(c10::kCPU);
  if (o.run.precision == training::Precision::kBf16 &&
      o.task != Task::kEvaluate) {
    return FlagError("precision", "bf16",
                     "is for greedy training; a search takes fp32 or fp64");
  }
  if (o.fp16 && o.run.precision == training::Precision::kFp64) {
    return UsageError("--fp16: not together with --precision=fp64");
  }
  return absl::OkStatus();
}

#undef SEDONA_COUNT
#undef SEDONA_REAL

// One parser served the authors' programs, so each took the flags of all.
constexpr absl::string_view kShared[] = {"eval_base_dir",
                                         "target_num_blocks",
                                         "dim_in_decoder",
                                         "no_similarity_std",
                                         "valid_freq",
                                         "queue_size",
                                         "fp16",
                                         "eval_continuous",
                                         "test",
                                         "num_ensemble",
                                         "ckpt_dir",
                                         "result_dir",
                                         "lr_scheduler",
                                         "lr_decay_milestones",
                                         "memory_size",
                                         "mem_dir",
                                         "meta_train_iters",
                                         "num_inner_steps",
                                         "meta_lr",
                                         "meta_optimizer",
                                         "meta_wd",
                                         "not_load_memory",
                                         "monitor_freq",
                                         "out_dir",
                                         "classes_per_batch",
                                         "classes_per_batch_until_iter"};
constexpr char kOthers[] = "Of the other programs, without effect here";

// Those of kShared that `program` does not read.
std::vector<std::string> OtherFlags(const cli::Program& program) {
  const std::vector<std::string> own = cli::FlagNames(program);
  std::vector<std::string> others;
  for (const absl::string_view flag : kShared) {
    if (std::find(own.begin(), own.end(), flag) == own.end()) {
      others.emplace_back(flag);
    }
  }
  return others;
}

}  // namespace

cli::Program SedonaProgram(Task task) {
  cli::Program program;
  const char* const kTargets[] = {"//sedona:init_memory", "//sedona:search",
                                  "//sedona:evaluate", "//sedona:decode"};
  program.name = kTargets[static_cast<size_t>(task)];
  program.summary =
      "SEDONA: search for decoupled neural networks toward greedy block-wise "
      "learning (Pyeon et al., ICLR 2021).";
  cli::FlagGroup network{"Network",
                         {"name", "feat_mult", "min_dec_depth", "max_dec_depth",
                          "baseline_dec_type", "no_beta"}};
  cli::FlagGroup learning{"Learning",
                          {"train_iters", "lr", "lr_min", "optim", "momentum",
                           "weight_decay", "smoothing", "nonlin", "dropout"}};
  cli::FlagGroup method{"Method", {}};
  if (task == Task::kEvaluate || task == Task::kDecode) {
    network.flags.insert(network.flags.end(),
                         {"eval_base_dir", "target_num_blocks",
                          "dim_in_decoder", "no_similarity_std"});
  }
  if (task == Task::kDecode) {
    network.flags.insert(network.flags.end(),
                         {"nonlin", "dataset", "image_size"});
    program.groups = {network};
    return program;
  }
  if (task == Task::kEvaluate) {
    method.title = "Greedy training";
    method.flags = {"valid_freq",   "pipeline",        "queue_size",
                    "fp16",         "eval_continuous", "test",
                    "num_ensemble", "ckpt_dir",        "result_dir"};
    learning.flags.insert(learning.flags.end(),
                          {"lr_scheduler", "lr_decay_milestones"});
  } else {
    method.title = task == Task::kSearch ? "Search" : "Weight memory";
    method.flags = {"memory_size", "memory_eviction", "mem_dir"};
  }
  if (task == Task::kSearch) {
    learning.flags.push_back("lr_scheduler");
    method.flags.insert(
        method.flags.end(),
        {"meta_train_iters", "num_inner_steps", "meta_lr", "meta_optimizer",
         "meta_wd", "meta_objective", "not_load_memory", "monitor_freq",
         "state_every", "out_dir"});
  }
  cli::FlagGroup data = training::DataFlagGroup();
  data.flags.insert(data.flags.begin(),
                    {"dataset", "image_size", "valid_size", "batch_size",
                     "valid_batch_size", "classes_per_batch"});
  if (task == Task::kEvaluate) {
    data.flags.push_back("classes_per_batch_until_iter");
  }
  data.flags.insert(data.flags.end(), {"num_workers", "skip_corrupt"});
  cli::FlagGroup run = training::RunFlagGroup();
  run.flags.insert(run.flags.end(),
                   {"no_cuda", "num_models", "planes", "tmp_dir"});
  program.groups = {network, learning, method, data, run};
  program.groups.push_back({kOthers, OtherFlags(program)});
  program.aliases = {{"data_dir", "data_root"}, {"optimizer", "optim"}};
  return program;
}

absl::Status ApplyDefaults(const cli::ParsedArguments& arguments, Task task) {
  for (const char* unused : {"num_models", "planes", "tmp_dir"}) {
    if (arguments.Given(unused)) {
      LOG(WARNING) << "--" << unused << ": read by no program";
    }
  }
  for (const cli::FlagGroup& group : SedonaProgram(task).groups) {
    if (group.title != kOthers) continue;
    for (const std::string& flag : group.flags) {
      if (!arguments.Given(flag)) continue;
      LOG(WARNING) << "--" << flag << ": without effect in this program";
      // What it says must neither be checked nor stand in a checkpoint.
      ALTPROP_RETURN_IF_ERROR(cli::SetFlagFromText(
          flag, absl::FindCommandLineFlag(flag)->DefaultValue()));
    }
  }
  if (arguments.Given("seed")) return absl::OkStatus();
  return cli::SetFlagFromText("seed", "2021");
}

absl::StatusOr<Options> OptionsFromFlags(Task task) {
  Options o;
  o.task = task;
  ALTPROP_RETURN_IF_ERROR(ReadNetwork(o));
  ALTPROP_RETURN_IF_ERROR(ReadData(o));
  ALTPROP_RETURN_IF_ERROR(ReadLearning(o));
  ALTPROP_RETURN_IF_ERROR(ReadEvaluation(o));
  ALTPROP_RETURN_IF_ERROR(ReadSearch(o));
  ALTPROP_ASSIGN_OR_RETURN(o.run, training::RunOptionsFromFlags());
  ALTPROP_RETURN_IF_ERROR(ReadDevice(o));
  return o;
}

absl::Status CheckHalfPrecision(const Options& options) {
  if (!options.fp16 || options.run.device.is_cuda()) return absl::OkStatus();
  return UsageError(
      "--fp16: half precision needs a CUDA device; on a CPU give --fp16=false, "
      "and maybe --precision=bf16");
}

std::vector<std::pair<std::string, std::string>> ResultFlags(Task task) {
  auto values = training::ResultFlags(SedonaProgram(task));
  values.erase(
      std::remove_if(values.begin(), values.end(),
                     [](const auto& flag) {
                       return std::find(std::begin(kPlaces), std::end(kPlaces),
                                        flag.first) != std::end(kPlaces);
                     }),
      values.end());
  return values;
}

}  // namespace altprop::sedona
