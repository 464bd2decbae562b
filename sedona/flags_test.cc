// The command lines: the authors' published ones, and what they become.

#include "sedona/flags.h"

#include <string>
#include <vector>

#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "gtest/gtest.h"
#include "sedona/setup.h"

namespace altprop::sedona {
namespace {

constexpr Task kTasks[] = {Task::kPretrain, Task::kSearch, Task::kEvaluate,
                           Task::kDecode};

class FlagsTest : public ::testing::Test {
 protected:
  // As on a command line, words apart by spaces.
  absl::StatusOr<Options> Parse(Task task, const std::string& line) {
    const auto parsed = cli::ParseCommandLine(
        absl::StrSplit(line, ' ', absl::SkipEmpty()), SedonaProgram(task));
    if (!parsed.ok()) return parsed.status();
    const absl::Status defaults = ApplyDefaults(*parsed, task);
    if (!defaults.ok()) return defaults;
    return OptionsFromFlags(task);
  }

  // Puts the flags back after each test.
  absl::FlagSaver saver_;
};

TEST_F(FlagsTest, ProgramsListWhatTheyHave) {
  for (const Task task : kTasks) {
    const absl::Status checked = cli::CheckProgram(SedonaProgram(task));
    EXPECT_TRUE(checked.ok()) << checked;
  }
}

TEST_F(FlagsTest, PublishedPretraining) {
  const auto o = Parse(Task::kPretrain,
                       "--name resnet152 --train-iters 40000 --valid-size 0.4");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->architecture.name, "resnet152");
  EXPECT_EQ(o->train_iters, 40000);
  EXPECT_EQ(o->valid_size, 0.4);
  EXPECT_EQ(o->run.seed, 2021u);
  EXPECT_EQ(o->batch_size, 128);
  EXPECT_TRUE(absl::EndsWith(
      MemoryFolder(*o),
      "memory_dumps/resnet152/feat_mult_1-dataset_cifar10-step_40000-optim_"
      "momentum-lr_0.1000-lr_min_1.00e-03-smoothing_0.1000-batch_size_128-"
      "valid_batch_size_1024"))
      << MemoryFolder(*o);
}

TEST_F(FlagsTest, PublishedSearch) {
  const auto o =
      Parse(Task::kSearch,
            "--name vgg19 --train-iters 40000 --meta-train-iters 2000 "
            "--num-inner-steps 5 --valid-batch-size 1024 --valid-size 0.4");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->inner_steps, 5);
  EXPECT_EQ(o->meta_iters, 2000);
  EXPECT_EQ(o->meta_lr, 1e-2);
  EXPECT_EQ(o->objective, MetaObjective::kValid);
  EXPECT_TRUE(o->use_memory);
}

TEST_F(FlagsTest, PublishedTrainingOnTinyImagenet) {
  const auto o = Parse(
      Task::kEvaluate,
      "--dataset tiny-imagenet --batch-size 256 --train-iters 30000 "
      "--weight-decay 1e-4 --lr 0.001 --lr-min 1e-5 --target-num-blocks 4 "
      "--feat-mult 4 --fp16 --num-workers 32 --baseline-dec-type predsim "
      "--optimizer adam --classes-per-batch 40 "
      "--classes-per-batch-until-iter 15000 -name resnet50-predsim");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->name, "resnet50-predsim");
  EXPECT_EQ(o->architecture.name, "resnet50");
  EXPECT_EQ(o->dataset, "tiny_imagenet");
  EXPECT_EQ(o->optimizer, OptimizerKind::kAdam);
  EXPECT_EQ(o->baseline, AuxKind::kPredSim);
  EXPECT_TRUE(o->fp16);
  EXPECT_EQ(o->architecture.feat_mult, 4);
  EXPECT_EQ(o->classes_per_batch_until, 15000);
}

TEST_F(FlagsTest, PublishedEnsemble) {
  const auto o =
      Parse(Task::kEvaluate,
            "--dataset imagenet --batch-size 256 --train-iters 600000 "
            "--target-num-blocks 4 --eval-base-dir sedona_outputs/resnet101 "
            "--feat-mult 4 --fp16 --num-workers 32 --valid-freq 5000 "
            "-name resnet101 --test --num-ensemble 2");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_TRUE(o->test_only);
  EXPECT_EQ(o->ensemble, 2);
  EXPECT_TRUE(absl::EndsWith(o->base_dir, "sedona_outputs/resnet101"));
}

TEST_F(FlagsTest, SchedulesOfTheSearch) {
  const auto o = Parse(Task::kSearch,
                       "--name vgg11 --lr-scheduler multistep --train-iters "
                       "100 --lr 0.5");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->milestones, (std::vector<int64_t>{33, 66}));
  EXPECT_DOUBLE_EQ(LearningRate(*o, 32), 0.5);
  EXPECT_DOUBLE_EQ(LearningRate(*o, 33), 0.05);
  EXPECT_DOUBLE_EQ(LearningRate(*o, 66), 0.005);
}

TEST_F(FlagsTest, MilestonesOfTheSearchAreWholeThirds) {
  const auto o = Parse(
      Task::kSearch, "--name vgg11 --lr-scheduler multistep --train-iters 20");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->milestones, (std::vector<int64_t>{6, 12}));
}

TEST_F(FlagsTest, FlagsOfTheOtherProgramsChangeNothing) {
  const auto o = Parse(Task::kPretrain,
                       "--name vgg11 --target-num-blocks 99 --num-ensemble 7 "
                       "--eval-continuous --lr-scheduler multistep --meta-lr 3 "
                       "--tmp-dir somewhere --nonlin leaky_relu");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->ensemble, 1);
  EXPECT_FALSE(o->relaxed);
  EXPECT_EQ(o->schedule, ScheduleKind::kCosine);
  EXPECT_EQ(o->architecture.nonlin, Activation::kLeakyRelu);
  const auto search =
      Parse(Task::kSearch, "--name vgg11 --valid-freq 3 --fp16");
  ASSERT_TRUE(search.ok()) << search.status();
  EXPECT_FALSE(search->fp16);
}

TEST_F(FlagsTest, OtherMilestonesOfATraining) {
  const auto o = Parse(Task::kEvaluate,
                       "--name vgg11 --lr-scheduler multistep "
                       "--lr-decay-milestones 10 20 --lr 1");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_DOUBLE_EQ(LearningRate(*o, 9), 1);
  EXPECT_DOUBLE_EQ(LearningRate(*o, 20), 0.01);
}

TEST_F(FlagsTest, HalfPrecisionIsForCuda) {
  const auto o = Parse(Task::kEvaluate, "--name vgg11 --fp16 --device cpu");
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_FALSE(CheckHalfPrecision(*o).ok());
  const auto none = Parse(Task::kEvaluate, "--name vgg11 --fp16=false");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(CheckHalfPrecision(*none).ok());
}

}  // namespace
}  // namespace altprop::sedona
